"""Asking stations: who gets which credentials, how long anything may take, and what an operator is told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import ssl
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from refsys.core.errors import Gone, Overloaded, Permanent, RefsysError, Transient, Unreachable
from refsys.infra.settings import AuthSettings, HeaderSettings
from refsys.infra.settings_text import MASK
from refsys.infra.stations.client import StationClient
from tests.stranger import Stranger, stranger
from tests.waiting import wait_for

PASSWORD = 'p@ss wörd/"+&'
SECRET = "cl13nt-s3cret"
CERTIFICATE = Path(__file__).parent.parent / "self_signed.pem"
NOTHING = AuthSettings()
BASIC = AuthSettings(kind="basic", user="anna", password=SecretStr(PASSWORD))


@pytest.fixture
async def station() -> AsyncIterator[Stranger]:
    async with stranger() as station:
        yield station


@pytest.fixture
async def elsewhere() -> AsyncIterator[Stranger]:
    async with stranger() as elsewhere:
        yield elsewhere


def client(station: Stranger, auth: AuthSettings = NOTHING, **changes: Any) -> StationClient:
    return StationClient("the station", auth, **({"url": station.url, "read_timeout_s": 10.0} | changes))


def oauth2(station: Stranger, **changes: Any) -> AuthSettings:
    return AuthSettings(
        **{
            "kind": "oauth2",
            "user": "anna",
            "password": SecretStr(PASSWORD),
            "token_url": f"{station.url}/token",
            "client_id": "us",
            "client_secret": SecretStr(SECRET),
            **changes,
        }
    )


def give_tokens(station: Stranger, **told: Any) -> None:
    """The token endpoint gives out token-1, token-2 …, with `told` in its answers."""
    numbers = iter(range(1, 1000))

    def grant(request: web.Request) -> web.Response:
        return web.json_response({"access_token": f"token-{next(numbers)}", "expires_in": 3600} | told)

    station.answers["/token"] = grant


def accept(station: Stranger, *tokens: str, header: str = "Authorization") -> None:
    """`/p` answers to these alone."""

    def check(request: web.Request) -> web.Response:
        given = request.headers.get(header, "").removeprefix("Bearer ")
        return web.json_response({"used": given}) if given in tokens else web.Response(status=401, text=f"no: {given}")

    station.answers["/p"] = check


async def refused(station: Stranger, auth: AuthSettings = NOTHING, path: str = "/p", **changes: Any) -> RefsysError:
    """What asking for JSON at this path raises."""
    async with client(station, auth, **changes) as asking:
        with pytest.raises(RefsysError) as caught:
            await asking.get_json(station.url + path)
    return caught.value


async def test_basic_credentials_go_with_every_request(station: Stranger) -> None:
    station.answer("/p", body='{"value": []}')
    async with client(station, BASIC) as asking:
        assert await asking.get_json(f"{station.url}/p") == {"value": []}
    expected = "Basic " + base64.b64encode(f"anna:{PASSWORD}".encode()).decode()
    assert [asked.headers["Authorization"] for asked in station.asked] == [expected]


async def test_cookies_are_not_kept(station: Stranger) -> None:
    station.answer("/p", Set_Cookie="session=1")
    async with client(station) as asking:
        await asking.get_json(f"{station.url}/p")
        await asking.get_json(f"{station.url}/p")
    assert not any("Cookie" in asked.headers for asked in station.asked)


async def test_fifty_requests_at_once_ask_for_one_token(station: Stranger) -> None:
    give_tokens(station)
    accept(station, "token-1")
    at_once = station.answers["/token"]
    may_answer = asyncio.Event()

    async def grant(request: web.Request) -> web.StreamResponse:
        await may_answer.wait()
        answer = at_once(request)
        assert isinstance(answer, web.StreamResponse)
        return answer

    station.answers["/token"] = grant
    async with client(station, oauth2(station), connections=60) as asking:
        asked = [asyncio.create_task(asking.get_json(f"{station.url}/p")) for _ in range(50)]
        await wait_for(lambda: station.asked_at("/token"))
        may_answer.set()
        assert await asyncio.gather(*asked) == [{"used": "token-1"}] * 50
    [asked_for] = station.asked_at("/token")
    assert asked_for.method == "POST"
    assert asked_for.form == {
        "grant_type": "password",
        "username": "anna",
        "password": PASSWORD,
        "client_id": "us",
        "client_secret": SECRET,
    }


async def test_all_who_wait_for_a_token_learn_that_there_is_none(station: Stranger) -> None:
    may_answer = asyncio.Event()

    async def grant(request: web.Request) -> web.StreamResponse:
        await may_answer.wait()
        return web.Response(status=503)

    station.answers["/token"] = grant
    async with client(station, oauth2(station), connections=60) as asking:
        asked = [asyncio.create_task(asking.get_json(f"{station.url}/p")) for _ in range(50)]
        await wait_for(lambda: station.asked_at("/token"))
        may_answer.set()
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(error) for error in told} == {Unreachable}
        assert len(station.asked) == 1
        give_tokens(station)
        accept(station, "token-1")
        assert await asking.get_json(f"{station.url}/p") == {"used": "token-1"}


async def test_one_who_gives_up_waiting_for_a_token_does_not_take_it_from_the_others(station: Stranger) -> None:
    give_tokens(station)
    accept(station, "token-1")
    at_once = station.answers["/token"]
    may_answer = asyncio.Event()

    async def grant(request: web.Request) -> web.StreamResponse:
        await may_answer.wait()
        answer = at_once(request)
        assert isinstance(answer, web.StreamResponse)
        return answer

    station.answers["/token"] = grant
    async with client(station, oauth2(station)) as asking:
        impatient = asyncio.create_task(asking.get_json(f"{station.url}/p"))
        await wait_for(lambda: station.asked_at("/token"))
        patient = asyncio.create_task(asking.get_json(f"{station.url}/p"))
        impatient.cancel()
        await asyncio.wait([impatient])
        may_answer.set()
        assert await patient == {"used": "token-1"}
    assert impatient.cancelled()
    assert len(station.asked_at("/token")) == 1


async def test_a_token_is_renewed_by_its_refresh_token_before_it_ends(station: Stranger) -> None:
    give_tokens(station, expires_in=0.2, refresh_token="refresh-1")
    accept(station, "token-1", "token-2")
    async with client(station, oauth2(station)) as asking:

        async def second_is_used() -> bool:
            used: dict[str, str] = await asking.get_json(f"{station.url}/p")
            return used["used"] == "token-2"

        await wait_for(second_is_used)
    first, second = station.asked_at("/token")
    assert first.form["grant_type"] == "password"
    assert (second.form["grant_type"], second.form["refresh_token"]) == ("refresh_token", "refresh-1")
    assert "password" not in second.form
    assert second.form["client_secret"] == SECRET


async def test_a_refresh_token_that_is_refused_is_replaced_by_the_password(station: Stranger) -> None:
    def grant(request: web.Request) -> web.Response:
        asked = station.asked_at("/token")
        if asked[-1].form["grant_type"] == "refresh_token":
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"access_token": f"token-{len(asked)}", "expires_in": 0.05, "refresh_token": "r"})

    station.answers["/token"] = grant
    accept(station, "token-1", "token-3")
    async with client(station, oauth2(station)) as asking:

        async def third_is_used() -> bool:
            used: dict[str, str] = await asking.get_json(f"{station.url}/p")
            return used["used"] == "token-3"

        await wait_for(third_is_used)
    grants = [asked.form["grant_type"] for asked in station.asked_at("/token")]
    assert grants[:3] == ["password", "refresh_token", "password"]


async def test_a_token_that_the_station_refuses_is_replaced_once(station: Stranger) -> None:
    give_tokens(station)
    accept(station, "token-1")
    async with client(station, oauth2(station)) as asking:
        await asking.get_json(f"{station.url}/p")
        accept(station, "token-2")  # it has forgotten the first
        found = await asyncio.gather(*(asking.get_json(f"{station.url}/p") for _ in range(10)))
        assert found == [{"used": "token-2"}] * 10
    assert len(station.asked_at("/token")) == 2


async def test_a_station_that_refuses_every_token_is_not_asked_for_ever(station: Stranger) -> None:
    give_tokens(station)
    accept(station)
    error = await refused(station, oauth2(station))
    assert isinstance(error, Transient)
    assert str(error).startswith(f"the station: answered 401 Unauthorized to {station.url}/p")
    assert "check user, password and kind in the inbox's auth" in str(error)
    assert len(station.asked_at("/token")) == 2
    assert len(station.asked_at("/p")) == 2


async def test_tokens_travel_in_the_header_that_the_station_wants(station: Stranger) -> None:
    give_tokens(station)
    accept(station, "token-1", header="OAUTH2-ACCESS-TOKEN")
    async with client(station, oauth2(station, token_header="OAUTH2-ACCESS-TOKEN")) as asking:
        assert await asking.get_json(f"{station.url}/p") == {"used": "token-1"}
    assert "Authorization" not in station.asked_at("/p")[0].headers


SECRET_HEADER = HeaderSettings(name="Authorization", value=SecretStr("Basic c3lzdGVtOmtleQ=="))
PASSWORD_FORM = {"grant_type": "password", "username": "anna", "password": PASSWORD}
CLIENT_FORM = {"client_id": "us", "client_secret": SECRET}
BASIC_OF_CLIENT = "Basic " + base64.b64encode(f"us:{SECRET}".encode()).decode()


@pytest.mark.parametrize(
    ("auth", "form", "authorization"),
    [
        pytest.param({"header": (SECRET_HEADER,)}, CLIENT_FORM, "Basic c3lzdGVtOmtleQ==", id="CADIP MPS"),
        pytest.param({"scope": "openid"}, CLIENT_FORM | {"scope": "openid"}, None, id="CADIP MTI"),
        pytest.param({}, CLIENT_FORM, None, id="CADIP NSG SGS SSC INS, PRIP S1A S1D"),
        pytest.param(
            {"client_auth": "basic", "scope": "openid"}, {"scope": "openid"}, BASIC_OF_CLIENT, id="ADGS",
        ),
        pytest.param({"scope": "s"}, CLIENT_FORM | {"scope": "s"}, None, id="PRIP S1C"),
        pytest.param(
            {"client_id": "", "client_secret": SecretStr(""), "scope": "s", "header": (SECRET_HEADER,)},
            {"scope": "s"}, "Basic c3lzdGVtOmtleQ==", id="PRIP S2A S2C",
        ),
        pytest.param(
            {"client_secret": SecretStr(""), "header": (SECRET_HEADER,)},
            {"client_id": "us"}, "Basic c3lzdGVtOmtleQ==", id="PRIP S3A",
        ),
    ],
)  # fmt: skip
async def test_a_token_is_asked_for_as_each_station_wants_it(
    station: Stranger, auth: dict[str, Any], form: dict[str, str], authorization: str | None
) -> None:
    give_tokens(station)
    accept(station, "token-1")
    async with client(station, oauth2(station, **auth)) as asking:
        assert await asking.get_json(f"{station.url}/p") == {"used": "token-1"}
    [asked] = station.asked_at("/token")
    assert asked.form == PASSWORD_FORM | form
    assert asked.headers.get("Authorization") == authorization


async def test_a_client_gets_tokens_by_its_own_secret(station: Stranger) -> None:
    give_tokens(station)
    accept(station, "token-1")
    auth = oauth2(station, grant="client_credentials", user="", password=SecretStr(""))
    async with client(station, auth) as asking:
        assert await asking.get_json(f"{station.url}/p") == {"used": "token-1"}
    assert station.asked_at("/token")[0].form == {"grant_type": "client_credentials"} | CLIENT_FORM


@pytest.mark.parametrize("status", [307, 308])
async def test_a_request_for_a_token_is_redirected_at_its_own_origin_only(
    station: Stranger, elsewhere: Stranger, status: int
) -> None:
    give_tokens(station)
    station.answers["/realm"] = station.answers["/token"]
    accept(station, "token-1")
    station.answer("/token", status, Location="/realm")
    async with client(station, oauth2(station)) as asking:
        assert await asking.get_json(f"{station.url}/p") == {"used": "token-1"}
    assert station.asked_at("/realm")[0].form == PASSWORD_FORM | CLIENT_FORM
    station.answer("/token", status, Location=f"{elsewhere.url}/realm")
    assert f"answered {status}" in (await refused(station, oauth2(station))).message
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, '{"error": "invalid_grant"}', "answered 400 Bad Request"),
        (404, "", "answered 404 Not Found"),
        (302, "", "answered 302 Found"),
        (500, "", "answered 500 Internal Server Error"),
        (200, "<html>", "answers with no JSON"),
        (200, "[1]", "answers with no access_token that a header can carry"),
        (200, '{"access_token": null}', "answers with no access_token that a header can carry"),
        (200, '{"access_token": "a\\r\\nX: y"}', "answers with no access_token that a header can carry"),
        (200, "x" * (2**20 + 1), "answers with 1048577 bytes"),
    ],
)
async def test_no_product_is_to_blame_for_what_a_token_endpoint_answers(
    station: Stranger, status: int, body: str, told: str
) -> None:
    station.answer("/token", status, body)
    error = await refused(station, oauth2(station))
    assert type(error) is Unreachable
    assert str(error).startswith(f"token endpoint of the station: {told}")
    assert "token_url" in error.advice


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Permanent), (401, Unreachable), (403, Transient), (404, Gone), (408, Unreachable), (410, Gone),
     (416, Permanent), (425, Unreachable), (429, Overloaded), (500, Unreachable), (501, Unreachable),
     (503, Unreachable)],
)  # fmt: skip
async def test_a_status_means_what_to_do_next(station: Stranger, status: int, kind: type) -> None:
    station.answer("/p", status, "because of   the\nweather")
    error = await refused(station)
    assert type(error) is kind
    assert f"answered {status}" in error.message
    assert "because of the weather" in error.message
    assert error.advice


async def test_a_station_that_wants_credentials_and_gets_none_says_where_to_set_them(station: Stranger) -> None:
    station.answer("/p", 401)
    assert (await refused(station)).advice == "it wants credentials: set the inbox's auth"


async def test_416_is_an_answer_to_whoever_asked_for_a_range(station: Stranger) -> None:
    station.answer("/p", 416)
    async with client(station) as asking, asking.get(f"{station.url}/p", {"Range": "bytes=9-"}) as response:
        assert response.status == 416


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("1.5", 1.5), ("99999999", 86_400.0), ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0)],
)
async def test_patience_asked_for_in_seconds(station: Stranger, header: str, seconds: float) -> None:
    for status in (429, 503):
        station.answer("/p", status, Retry_After=header)
        error = await refused(station)
        assert isinstance(error, Overloaded)
        assert error.retry_after_s == seconds


async def test_patience_asked_for_by_a_date(station: Stranger) -> None:
    station.answer("/p", 503, Retry_After=format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True))
    error = await refused(station)
    assert isinstance(error, Overloaded)
    assert error.retry_after_s == pytest.approx(99, abs=10)


@pytest.mark.parametrize("header", ["soon", "-5", "inf", "nan", "1e9", "", "٧", "Mon, 99 Jan 2001"])
async def test_patience_that_cannot_be_read_is_none(station: Stranger, header: str) -> None:
    station.answer("/p", 429, Retry_After=header)
    error = await refused(station)
    assert isinstance(error, Overloaded)
    assert error.retry_after_s is None


async def test_credentials_follow_redirects_at_the_station_and_nowhere_else(
    station: Stranger, elsewhere: Stranger
) -> None:
    station.answer("/p", 302, Location="/q")
    station.answer("/q", 307, Location=f"{elsewhere.url}/r")
    elsewhere.answer("/r", 303, Location=f"{station.url}/s")
    station.answer("/s", body='"there"')
    async with client(station, BASIC) as asking, asking.get(f"{station.url}/p", {"Range": "bytes=0-"}) as response:
        assert await response.text() == '"there"'
    assert [(asked.target, "Authorization" in asked.headers) for asked in station.asked] == [
        ("/p", True),
        ("/q", True),
        ("/s", True),
    ]
    assert [("Authorization" in asked.headers, asked.headers["Range"]) for asked in elsewhere.asked] == [
        (False, "bytes=0-")
    ]


async def test_a_link_elsewhere_gets_no_credentials_and_the_error_says_so(
    station: Stranger, elsewhere: Stranger
) -> None:
    elsewhere.answer("/next", 401)
    async with client(station, BASIC) as asking:
        with pytest.raises(Transient) as caught:
            await asking.get_json(f"{elsewhere.url}/next")
    assert not any("Authorization" in asked.headers for asked in elsewhere.asked)
    assert caught.value.advice == (
        f"credentials go to {station.url} only: should the inbox's url begin with {elsewhere.url}, or does 127.0.0.1 "
        "belong into redirect_hosts of its [[station]]?"
    )


async def test_tokens_do_not_go_elsewhere_either(station: Stranger, elsewhere: Stranger) -> None:
    give_tokens(station)
    station.answer("/p", 302, Location=f"{elsewhere.url}/r")
    elsewhere.answer("/r", 401)
    async with client(station, oauth2(station)) as asking:
        with pytest.raises(Transient):
            await asking.get_json(f"{station.url}/p")
    assert len(elsewhere.asked) == 1
    assert "token-1" not in str(elsewhere.asked[0].headers)
    assert len(station.asked_at("/token")) == 1


async def test_a_signed_link_stays_as_it_was_signed(station: Stranger, elsewhere: Stranger) -> None:
    signed = "/bucket/a%2Fb(1)?X-Sig=%20b+c%2Bd%2F%7E%c3%a9&X-Date='2024'"
    station.answer("/p", 302, Location=elsewhere.url + signed)
    elsewhere.answer("/bucket/a/b(1)")
    async with client(station) as asking:
        await asking.get_json(f"{station.url}/p")
    assert elsewhere.asked[0].target == signed


async def test_a_redirect_with_blanks_in_it_is_followed(station: Stranger) -> None:
    station.answer("/p", 302, Location="/a b")
    station.answer("/a b")
    async with client(station) as asking:
        assert await asking.get_json(f"{station.url}/p") == {}


async def test_credentials_in_a_redirect_are_not_used(station: Stranger, elsewhere: Stranger) -> None:
    station.answer("/p", 302, Location=elsewhere.url.replace("//", "//eve:owned@") + "/r")
    elsewhere.answer("/r")
    async with client(station, BASIC) as asking:
        await asking.get_json(f"{station.url}/p")
    assert "Authorization" not in elsewhere.asked[0].headers


async def test_redirects_in_a_circle_end(station: Stranger) -> None:
    station.answer("/p", 302, Location="/q?secret=1")
    station.answer("/q", 302, Location="/p")
    error = await refused(station)
    assert isinstance(error, Transient)
    assert error.message == f"redirects more than 5 times, last to {station.url}/p"
    assert len(station.asked) == 6


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("file:///etc/passwd", "redirects to 'file:///etc/passwd', which is no URL"),
        ("ftp://127.0.0.1/x", "redirects to ftp:, which is not HTTP"),
        ("http://[::1", "redirects to 'http://[::1', which is no URL"),
        ("http://x:99999/", "redirects to 'http://x:99999/', which is no URL"),
        ("http://a..b/", "redirects to 'http://a..b/', which is no URL"),
        ("javascript:alert(1)", "redirects to 'javascript:alert(1)', which is no URL"),
    ],
)
async def test_a_redirect_away_from_http_is_not_followed(station: Stranger, location: str, told: str) -> None:
    station.answer("/p", 302, Location=location)
    error = await refused(station)
    assert isinstance(error, Permanent)
    assert error.message == told


@pytest.mark.parametrize("link", ["http://a..b/", "http://[::1", "file:///etc/passwd", "\ud800", "", "http://x:99999/"])
async def test_a_link_that_is_no_url_is_told_as_such(station: Stranger, link: str) -> None:
    async with client(station) as asking:
        with pytest.raises(Permanent, match=r"links to .*, which is no URL"):
            await asking.get_json(link)


async def test_a_certificate_is_verified_unless_the_settings_say_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE)
    async with stranger(tls) as station:
        station.answer("/p")
        error = await refused(station, BASIC)
        assert isinstance(error, Transient)
        assert error.message == "has a certificate that cannot be trusted: self-signed certificate"
        assert "verify_tls" in error.advice
        assert station.asked == []
        async with client(station, verify_tls=False) as asking:
            assert await asking.get_json(f"{station.url}/p") == {}
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        async with client(station) as asking:
            assert await asking.get_json(f"{station.url}/p") == {}


async def stream(request: web.Request, piece: bytes, times: int, **headers: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={name.replace("_", "-"): value for name, value in headers.items()})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for _ in range(times):
            await response.write(piece)
    return response


async def test_json_of_a_hundred_mebibytes_is_refused_by_its_length(station: Stranger) -> None:
    station.answers["/p"] = lambda request: stream(request, b" ", 1, Content_Length=str(100 * 2**20))
    error = await refused(station)
    assert isinstance(error, Transient)
    assert error.message == f"answered {station.url}/p with 104857600 bytes, more than 67108864"
    assert "page_size" in error.advice


async def test_json_of_a_hundred_mebibytes_is_refused_without_a_length_too(station: Stranger) -> None:
    station.answers["/p"] = lambda request: stream(request, b" " * 2**20, 100)
    error = await refused(station)
    assert isinstance(error, Transient)
    assert error.message == f"answered {station.url}/p with more than 67108864 bytes"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_bomb_is_refused(station: Stranger, encoding: str) -> None:
    bomb = gzip.compress(b" " * (100 * 2**20), 1)
    if encoding == "deflate":
        bomb = bomb[10:-8]
    station.answer("/p", body=bomb, Content_Encoding=encoding)
    error = await refused(station)
    assert isinstance(error, Transient)
    assert error.message == f"answered {station.url}/p with more than 67108864 bytes"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"<html>\n Please log in </html>", "<html> Please log in </html>"),
        (b"", ""),
        (b'{"value": [', '{"value": ['),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"NaN", "NaN"),
    ],
)
async def test_what_is_not_json_is_told_with_its_beginning(station: Stranger, body: bytes, shown: str) -> None:
    station.answer("/p", body=body, Content_Type="text/html")
    error = await refused(station)
    assert isinstance(error, Transient)
    assert error.message == f"answered {station.url}/p with text/html that is not JSON: {shown}"
    assert "OData root" in error.advice


async def test_silence_is_not_waited_out(station: Stranger) -> None:
    for_ever = asyncio.Event()

    async def say_nothing(request: web.Request) -> web.StreamResponse:
        await for_ever.wait()
        return web.Response()

    async def begin(request: web.Request) -> web.StreamResponse:
        response = await stream(request, b"[", 1)
        await for_ever.wait()
        return response

    for silent in (say_nothing, begin):
        station.answers["/p"] = silent
        error = await refused(station, read_timeout_s=0.2)
        assert isinstance(error, Transient)
        assert "cannot be reached: Timeout on reading data from socket" in str(error)
    for_ever.set()


async def test_an_answer_that_drips_in_is_not_waited_for_either(station: Stranger) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.02)
        return response

    station.answers["/p"] = drip
    async with asyncio.timeout(20):
        error = await refused(station, read_timeout_s=0.1, connect_timeout_s=0.1)
    assert isinstance(error, Transient)
    assert "cannot be reached: no whole answer in time" in str(error)


async def test_nobody_there_somebody_rude_and_somebody_who_speaks_another_tongue() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    for answer in (hang_up, greet):
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            there = Stranger(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            error = await refused(there)
            assert isinstance(error, Transient)
            assert str(error).startswith("the station: cannot be reached: ")
    assert (
        await refused(there)
    ).message == f"cannot be reached: Connection refused ({there.url.removeprefix('http://')})"


def echo(request: web.Request, asked: list[Any], status: int, kind: str) -> web.Response:
    """Everything that came, as it came and as JSON would hold it."""
    told = {"headers": asked[-1].headers, "form": asked[-1].form, "body": asked[-1].body}
    return web.Response(status=status, body=json.dumps(told, ensure_ascii=False), content_type=kind)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("kind", ["basic", "token", "endpoint", "header", "client"])
async def test_secrets_are_in_no_error_though_a_station_repeats_them(station: Stranger, kind: str, status: int) -> None:
    auth = BASIC if kind == "basic" else oauth2(station, header=(SECRET_HEADER,))
    if kind == "client":
        auth = oauth2(station, client_auth="basic")
    if kind == "header":
        auth = oauth2(station, token_header="OAUTH2-ACCESS-TOKEN")
    give_tokens(station, refresh_token="refresh-1")
    repeated = "/token" if kind in ("endpoint", "client") else "/p"

    def repeat(request: web.Request) -> web.Response:
        answer = echo(request, station.asked, status, "text/html")
        assert answer.text
        # not all of it fits into an excerpt: what is secret comes first
        return web.Response(status=status, text=f"x{answer.text[answer.text.find('Authorization') :]}")

    station.answers[repeated] = repeat
    error = await refused(station, auth)
    told = str(error) + "".join(traceback.format_exception(error))
    forms = (
        PASSWORD,
        SECRET,
        "p%40ss",
        "p@ss",
        base64.b64encode(f"anna:{PASSWORD}".encode()).decode(),
        "token-",
        "refresh-",
        "c3lzdGVtOmtleQ",
        BASIC_OF_CLIENT.removeprefix("Basic "),
    )
    assert not [form for form in forms if form in told]


async def test_a_form_that_a_token_endpoint_repeats_is_masked(station: Stranger) -> None:
    def repeat(request: web.Request) -> web.Response:
        return web.Response(status=400, text=f"cannot read {station.asked[-1].body} nor {PASSWORD} nor {SECRET}")

    station.answers["/token"] = repeat
    error = await refused(station, oauth2(station))
    assert error.message.count(MASK) == 4
    assert "grant_type=password&username=anna" in error.message


async def test_what_a_station_says_cannot_paint_on_a_terminal(station: Stranger) -> None:
    station.answer("/p", 500, "\x1b[31mred\x1b[0m \x07 \u202e reversed")
    assert (await refused(station)).message.isprintable()


async def test_queries_and_users_are_not_shown(station: Stranger) -> None:
    station.answer("/p", 500)
    error = await refused(station, path="/p?signature=abc")
    assert "signature" not in str(error)
