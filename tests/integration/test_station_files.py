"""The simulated stations that offer files, asked by plain clients: WebDAV by httpx, FTP and FTPS by ftplib."""

import ftplib
import hashlib
import ssl
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from lxml import etree

from refsys.simulation.files import EdipStation, XbipStation
from refsys.simulation.station import Answer, Basic, Cut, Held, Html, NoRange, Short, Slow, Stall, TokensDie
from tests.waiting import wait_until

SESSION = "S1A_20241114143038056552"
EDRS = "L20171109175634707000125"
CERTIFICATE = Path(__file__).parent.parent / "self_signed.pem"
USER = Basic("user", "pässword")
FOLDER = f"NOMINAL/S1A/DCS_04_{SESSION}_dat/ch_1"
STATIONS = pytest.mark.parametrize("kind", [XbipStation, EdipStation])


def fill(station, retransfer=False):
    """A session of one channel with three blocks and a DSIB."""
    session = station.session(SESSION, channels=1, retransfer=retransfer)
    session.publish_channel(1, 3)
    session.publish_dsib(1)
    return session


class Client:
    """What both protocols can: list a folder, and read a file from an offset."""

    def __init__(self, station, timeout=5):
        self.station = station
        if isinstance(station, XbipStation):
            self.http = httpx.Client(auth=httpx.BasicAuth(USER.user, USER.password), verify=False, timeout=timeout)
            return
        self.ftp = ftplib.FTP()
        self.ftp.connect("127.0.0.1", station.port, timeout=timeout)
        self.ftp.login(USER.user, USER.password)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.http.close() if isinstance(self.station, XbipStation) else self.ftp.close()

    def sizes(self, folder):
        if isinstance(self.station, XbipStation):
            return {
                name: int(size or 0) for name, size in entries(self.http, f"{self.station.base_url}/{folder}/").items()
            }
        return {name: int(facts["size"]) for name, facts in self.ftp.mlsd(f"/{folder}", ["size", "type"])}

    def read(self, path, start=0):
        if isinstance(self.station, XbipStation):
            headers = {"Range": f"bytes={start}-"} if start else {}
            response = self.http.get(f"{self.station.base_url}/{path}", headers=headers)
            response.raise_for_status()
            return response.content
        pieces = []
        self.ftp.retrbinary(f"RETR /{path}", pieces.append, rest=start or None)
        return b"".join(pieces)


def entries(client, url, depth="1"):
    """Names (relative to the url) and lengths that PROPFIND tells."""
    response = client.request("PROPFIND", url, headers={"Depth": depth})
    response.raise_for_status()
    assert response.status_code == 207
    found = {}
    for each in etree.fromstring(response.content).iterfind("{DAV:}response"):
        name = each.findtext("{DAV:}href").removeprefix(httpx.URL(url).path).strip("/")
        found[name] = each.findtext(".//{DAV:}getcontentlength")
    found.pop("", None)
    return found


@STATIONS
def test_folders_hold_sessions_and_files_every_byte(kind):
    with kind(auth=USER) as station, Client(station) as client:
        session = fill(station)
        names = [f"DCS_04_{SESSION}_ch1_DSDB_{number:05}.raw" for number in (1, 2, 3)]
        sizes = client.sizes(FOLDER)
        assert sorted(sizes) == [*names, f"DCS_04_{SESSION}_ch1_DSIB.xml"]
        assert [sizes[name] for name in names] == [20440] * 3
        whole = client.read(f"{FOLDER}/{names[0]}")
        assert hashlib.md5(whole).hexdigest() == session.md5s()[names[0]]
        assert client.read(f"{FOLDER}/{names[0]}", 20000) == whole[20000:]
        dsib = etree.fromstring(client.read(f"{FOLDER}/DCS_04_{SESSION}_ch1_DSIB.xml"))
        assert dsib.tag == "DCSU_Session_Information_Block"
        assert [each.text for each in dsib.iterfind("dsdb_list/dsdb_name")] == names
        assert dsib.findtext("data_size") == str(3 * 20440)
        assert station.journal.ranges(names[0]) == ["", "bytes=20000-"]
        wait_until(lambda: station.journal.downloads_running == 0)


@STATIONS
def test_retransfers_and_relay_sessions_have_folders_of_their_own(kind):
    with kind(auth=USER, prefix="SGS_") as station, Client(station) as client:
        fill(station, retransfer=True)
        assert len(client.sizes(f"RETRANSFER/SGS_/S1A/DCS_04_{SESSION}_dat/ch_1")) == 4
        assert client.sizes("NOMINAL") == {}
    with kind(auth=USER, layout="edrs") as relay, Client(relay) as client:
        relay.session(EDRS, satellite="S1B", channels=2).publish(2, 1)
        assert [*client.sizes(f"NOMINAL/S1B/{EDRS}/ch02")] == [f"DCS_04_{EDRS}_ch2_DSDB_00001.raw"]


@STATIONS
def test_files_grow_lie_vanish_and_are_evicted(kind):
    with kind(auth=USER, retention=timedelta(seconds=3600)) as station, Client(station) as client:
        session = station.session(SESSION, channels=1)
        growing = session.publish(1, 1, written_bytes=0)
        session.publish(1, 2, size_bytes=4096, announced_bytes=4_000_000_000)
        gone = session.publish(1, 3)
        assert [client.sizes(FOLDER)[block.name] for block in session.blocks] == [0, 4_000_000_000, 20440]
        assert [len(client.read(f"{FOLDER}/{block.name}")) for block in session.blocks] == [0, 4096, 20440]
        session.grow(growing, 100)
        assert client.sizes(FOLDER)[growing.name] == len(client.read(f"{FOLDER}/{growing.name}")) == 100
        station.archive.withdraw(gone)
        assert gone.name not in client.sizes(FOLDER)
        with pytest.raises((httpx.HTTPStatusError, ftplib.error_perm), match=r"404|550"):
            client.read(f"{FOLDER}/{gone.name}")
        session.publish(1, 4, evicted_at=station.archive.now())
        assert len(client.sizes(FOLDER)) == 2
        station.put("NOMINAL/S1A/.hidden.tmp", Held(b"?"))
        assert client.read("NOMINAL/S1A/.hidden.tmp") == b"?"


@STATIONS
def test_downloads_break_off_end_early_stall_and_drip(kind):
    broken = (httpx.RemoteProtocolError, httpx.ReadTimeout, EOFError, OSError)
    with kind(auth=USER) as station:
        path = f"{FOLDER}/{fill(station).blocks[0].name}"
        for fault in (Cut(1000), Stall(1000, seconds=None)):
            station.faults.on_download(fault)
            with Client(station, timeout=0.3) as client, pytest.raises(broken):
                client.read(path)
        with Client(station) as client:
            whole = client.read(path)
            for fault, wanted in (
                (Short(1000), whole[:1000]),
                (Stall(1000, seconds=0.1), whole),
                (Slow(200_000), whole),
            ):
                station.faults.on_download(fault)
                assert client.read(path) == wanted
            station.faults.on_download(Answer(404))
            with pytest.raises((httpx.HTTPStatusError, ftplib.error_perm), match=r"404|550"):
                client.read(path)
        asked = station.journal.downloads()
        wait_until(lambda: (asked[0].sent_bytes, asked[0].complete) == (1000, False))
        wait_until(lambda: (asked[2].sent_bytes, asked[2].complete) == (20440, True))
        assert station.faults.pending == 0


@STATIONS
def test_listings_are_refused_or_break_off(kind):
    with kind(auth=USER) as station:
        fill(station)
        for fault, broken in (
            (Answer(503), (httpx.HTTPStatusError, ftplib.error_temp)),
            (Cut(100), (httpx.RemoteProtocolError, EOFError)),
        ):
            station.faults.on_listing(fault)
            with Client(station) as client, pytest.raises(broken):
                client.sizes(FOLDER)
        with Client(station) as client:
            assert len(client.sizes(FOLDER)) == 4
        assert [request.name for request in station.journal.listings()] == [FOLDER] * 3
        wait_until(lambda: station.journal.listings()[1].sent_bytes == 100)


def test_webdav_asks_for_the_password_and_may_refuse_infinity():
    with XbipStation(auth=USER) as station, Client(station) as client:
        fill(station)
        refused = httpx.request("PROPFIND", station.url)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="station"')
        client = client.http
        everything = entries(client, station.url, depth="infinity")
        assert len(everything) == 7
        assert everything["S1A"] is None
        station.infinity = False
        response = client.request("PROPFIND", station.url, headers={"Depth": "infinity"})
        assert (response.status_code, b"propfind-finite-depth" in response.content) == (403, True)
        station.absolute = True
        response = client.request("PROPFIND", station.url, headers={"Depth": "1"})
        hrefs = [each.text for each in etree.fromstring(response.content).iterfind(".//{DAV:}href")]
        assert hrefs == [station.url, f"{station.url}S1A/"]
        station.faults.on_listing(Html())
        assert "html" in client.request("PROPFIND", station.url).headers["content-type"]
        path = f"{station.base_url}/{FOLDER}/DCS_04_{SESSION}_ch1_DSDB_00001.raw"
        station.faults.on_download(NoRange())
        assert client.get(path, headers={"Range": "bytes=5-"}).status_code == 200
        assert client.put(path, content=b"x").status_code == 405


def test_webdav_over_tls():
    with XbipStation(auth=USER, certificate=CERTIFICATE) as station, Client(station) as client:
        fill(station)
        assert station.url.startswith("https://")
        assert len(client.sizes(FOLDER)) == 4
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(station.url)


class Ftps(ftplib.FTP_TLS):
    """Goes on with the control connection's TLS session where `reuse` is set; TLS from the start if `implicit`."""

    reuse = False
    implicit = False

    @property
    def sock(self):
        return self._sock

    @sock.setter
    def sock(self, sock):
        secured = self.implicit and sock is not None and not isinstance(sock, ssl.SSLSocket)
        self._sock = self.context.wrap_socket(sock) if secured else sock

    def ntransfercmd(self, cmd, rest=None):
        if not self.reuse:
            return super().ntransfercmd(cmd, rest)
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        return self.context.wrap_socket(connection, session=self.sock.session), size


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("reuse", [False, True])
def test_ftps_explicit_or_implicit_and_sessions_that_have_to_be_reused(implicit, reuse):
    station = EdipStation(auth=USER, certificate=CERTIFICATE)
    station.implicit, station.session_reuse = implicit, reuse
    with station:
        fill(station)
        assert station.url == f"{'ftpis' if implicit else 'ftps'}://127.0.0.1:{station.port}/NOMINAL/"
        with Ftps(context=ssl._create_unverified_context(), timeout=5) as client:
            client.implicit, client.reuse = implicit, reuse
            client.connect("127.0.0.1", station.port)
            client.login(USER.user, USER.password, secure=not implicit)
            client.prot_p()
            assert len(list(client.mlsd(f"/{FOLDER}"))) == 4
            if reuse:
                client.reuse = False
                with pytest.raises(ftplib.error_perm, match="session reuse required"):
                    client.nlst("/")


def test_ftp_refuses_strangers_clear_logins_writers_and_commands():
    with EdipStation(auth=USER) as station, Client(station) as client, ftplib.FTP() as stranger:
        stranger.connect("127.0.0.1", station.port, timeout=5)
        with pytest.raises(ftplib.error_perm, match="530"):
            stranger.login("user", "wrong")
        client = client.ftp
        for command in ("DELE x", "MKD x", "CWD /nowhere", "RETR /NOMINAL"):
            with pytest.raises(ftplib.error_perm, match="550"):
                client.sendcmd(command)
        assert client.nlst("/") == ["NOMINAL", "RETRANSFER"]
    secured = EdipStation(auth=USER, certificate=CERTIFICATE)
    secured.refuses = frozenset({"MLSD", "MLST"})
    with secured, ftplib.FTP() as client:
        client.connect("127.0.0.1", secured.port, timeout=5)
        with pytest.raises(ftplib.error_perm, match="550"):
            client.login("user", "pässword")
        with pytest.raises(ftplib.error_perm, match="500"):
            client.sendcmd("MLSD /")


def test_a_fault_that_such_a_station_cannot_have_is_refused():
    with pytest.raises(ValueError, match="TokensDie is no fault of a download here"):
        XbipStation().faults.on_download(TokensDie(1))
    with pytest.raises(ValueError, match="NoRange is no fault of a download here"):
        EdipStation().faults.on_download(NoRange())


@STATIONS
def test_the_port_is_kept_and_a_taken_one_is_named(kind):
    station = kind()
    with station:
        url = station.url
        with pytest.raises(Exception, match=f"cannot listen on 127.0.0.1 port {httpx.URL(url).port}"):
            kind(port=httpx.URL(url).port).__enter__()
    with station:
        assert station.url == url
