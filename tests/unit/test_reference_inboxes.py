"""The reference's stream parameters become stations and inboxes of ours, and nothing is passed over in silence."""

import contextlib
import re
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.core.errors import ConfigurationError
from refsys.infra.settings import load_settings
from refsys.ingestion.reference.patterns import python_pattern, weaknesses
from refsys.ingestion.reference.properties import read_properties
from tests.main_called import caller

SESSIONS = (
    r"^([A-Za-z_]{4}/)?([0-9A-Za-z_]{1})1([0-9A-Za-z_]{1})/([0-9A-Za-z_]+)/(ch[0|_]?[1-2]/)?"
    r"(DCS_[0-9]{2}_([a-zA-Z0-9_]*)_ch([12])_(DSDB|DSIB).*\\.(raw|aisp|xml|RAW|AISP|XML))$"
)
XBIP = f"""\
# how it is run
app.*.spring.kafka.bootstrap-servers=kafka:9092
app.trigger.process.hostname=${{HOSTNAME}}
app.trigger.spring.integration.poller.fixed-delay=20s
app.trigger.ingestion-trigger.polling-interval-ms=10000
app.trigger.ingestion-trigger.polling.inbox1.directory=https://xbip.example/NOMINAL
app.trigger.ingestion-trigger.polling.inbox1.matchRegex={SESSIONS}
app.trigger.ingestion-trigger.polling.inbox1.ignoreRegex=(^\\\\..*|.*\\\\.tmp$|^lost\\+found$)
app.trigger.ingestion-trigger.polling.inbox1.family=EDRS_SESSION
app.trigger.ingestion-trigger.polling.inbox1.stationName=MTI_
app.trigger.ingestion-trigger.polling.inbox1.missionId=S1
app.trigger.ingestion-trigger.polling.inbox1.station-retention-time=7
app.trigger.ingestion-trigger.polling.inbox1.ignore-files-before-date=2020-11-24T08:00:00.000Z
app.trigger.ingestion-trigger.polling.inbox2.directory=https://xbip.example/RETRANSFER/
app.trigger.ingestion-trigger.polling.inbox2.family=SESSION_RETRANSFER
app.trigger.ingestion-trigger.polling.inbox2.stationName=MTI_
app.trigger.ingestion-trigger.polling.inbox2.missionId=S1
app.trigger.mongodb.password=${{MONGO_PASSWORD}}
app.trigger.xbip.host-configs.host1.serverName=xbip.example
app.trigger.xbip.host-configs.host1.trustSelfSignedCertificate=true
app.trigger.xbip.host-configs.host1.user=${{XBIP_USERNAME}}
app.trigger.xbip.host-configs.host1.pass=${{XBIP_PASSWORD}}
app.trigger.xbip.host-configs.host1.numRetries=5
app.filter.ingestion-filter.config.S1.cron-definition=* * 19-22 ? * FRI *
app.worker.xbip.host-configs.host1.serverName=xbip.example
app.worker.xbip.host-configs.host1.user=${{XBIP_USERNAME}}
deployer.*.kubernetes.imagePullPolicy=Always
deployer.trigger.kubernetes.secretKeyRefs=[{{ envVarName: 'XBIP_PASSWORD', secretName: 'cgs01', dataKey: 'PASSWORD' }}]
"""
AUXIP = """\
app.aux.ingestion-trigger.polling.inbox1.directory=https://aux.example/odata/v1/
app.aux.ingestion-trigger.polling.inbox1.matchRegex=^S1.*(?!(AUX_TRO|AUX_TEC)).*$
app.aux.ingestion-trigger.polling.inbox1.type=prip
app.aux.ingestion-trigger.polling.inbox1.stationName=PRIP
app.aux.ingestion-trigger.polling.inbox1.missionId=S1
app.aux.ingestion-trigger.polling.inbox1.family=AUXILIARY_FILE_ZIP
app.aux.ingestion-trigger.polling.inbox2.directory=https://aux.example/odata/v1
app.aux.ingestion-trigger.polling.inbox2.matchRegex=^S2.*AUX.*$
app.aux.ingestion-trigger.polling.inbox2.type=prip
app.aux.ingestion-trigger.polling.inbox2.stationName=PRIP
app.aux.ingestion-trigger.polling.inbox2.missionId=S2
app.aux.auxip.start=2022-04-10T12:00:00.000000
app.aux.auxip.time-window-sec=2400
app.aux.auxip.max-page-size=250
app.aux.auxip.proxy=http://proxy.example:3128
app.aux.auxip.host-configs.host1.serviceRootUri=https://aux.example/odata/v1
app.aux.auxip.host-configs.host1.user=mission
app.aux.auxip.host-configs.host1.pass=${AUXIP_PASSWORD}
app.aux.auxip.host-configs.host1.sslValidation=true
app.aux.auxip.host-configs.host1.authType=oauth2
app.aux.auxip.host-configs.host1.bearerTokenType=OAUTH2_ACCESS_TOKEN
app.aux.auxip.host-configs.host1.oauthAuthUrl=https://aux.example/auth/token
app.aux.auxip.host-configs.host1.oauthClientId = client
app.aux.auxip.host-configs.host1.oauthClientSecret = ${AUXIP_CLIENT_SECRET}
app.aux.auxip.host-configs.host1.creationDateAttributeName=creationDate
app.aux.auxip.host-configs.host1.idAttrName=Id
"""
CADIP = """\
ingestion-trigger.polling.mps.directory=https://cadip.example/odata/v1
ingestion-trigger.polling.mps.type=cadip
ingestion-trigger.polling.mps.satelliteId=S1A
ingestion-trigger.polling.mps.mission-id=S1
ingestion-trigger.polling.mps.station_name=MPS_
ingestion-trigger.polling.mps.stationName=MPX_
ingestion-trigger.polling.mps.timeliness=NRT
cadip.start=2022-04-10T12:00:00.000000
cadip.max-page-size=500
cadip.retransfer-family=SESSION_RETRANSFER
cadip.host-configs.a.serviceRootUri=https://cadip.example
cadip.host-configs.a.authType=oauth2
cadip.host-configs.a.user=u
cadip.host-configs.a.pass=in the clear
cadip.host-configs.a.oauthAuthUrl=https://cadip.example/token
cadip.host-configs.a.scope=openid
cadip.host-configs.a.additionalHeadersAuth.Authorization=Basic abc
cadip.host-configs.b.serviceRootUri=https://other.example
"""
EDIP = """\
app.e.ingestion-trigger.polling.inbox1.directory=ftps://edip.example:990/S2_SAD/
app.e.ingestion-trigger.polling.inbox1.type=edip
app.e.ingestion-trigger.polling.inbox1.ftpDirectoryListing=true
app.e.ingestion-trigger.polling.inbox1.family=S2_SAD
app.e.ingestion-trigger.polling.inbox2.directory=/data/in
app.e.ingestion-trigger.polling.inbox2.pathMetadataElements.missionId=2
app.e.ingestion-trigger.polling.inbox3.directory=ftps://edip.example/NOMINAL/
app.e.edip.host-configs.h.serverName=edip.example
app.e.edip.host-configs.h.user=u
app.e.edip.host-configs.h.pass=p
app.e.edip.host-configs.h.explicitFtps=false
app.e.edip.host-configs.h.pasv=false
app.e.edip.host-configs.h.trustManagerKeyStorePassword=hidden
"""


@pytest.fixture
def imported(tmp_path, capsys, monkeypatch):
    """Writes files and imports them; gives the TOML, its inboxes by id, and what was said besides."""
    call = caller(tmp_path, monkeypatch, capsys)

    def run(*texts, options=(), code=0):
        names = [f"stream{number}.properties" for number in range(len(texts))]
        for name, text in zip(names, texts, strict=True):
            (tmp_path / name).write_bytes(text.encode())
        done = call("config", "import-inboxes", *names, *options, code=code)
        (tmp_path / "inboxes.toml").write_text(done.stdout)
        settings = load_settings(tmp_path / "inboxes.toml", environ={})
        return done.stdout, {inbox.id: inbox for inbox in settings.inbox}, done.stderr

    return run


def unwrapped(toml):
    """With each comment on one line."""
    return re.sub(r"\n#   ", " ", toml)


def test_sessions_by_webdav(imported):
    toml, inboxes, told = imported(XBIP)
    nominal, again = inboxes["mti-xbip-s1-edrs-session"], inboxes["mti-xbip-s1-session-retransfer"]
    assert (nominal.type, nominal.url, nominal.station) == ("xbip", "https://xbip.example/NOMINAL/", "MTI_")
    assert re.fullmatch(nominal.match, "S1A/DCS_01_X_dat/ch_1/DCS_01_S1A_X_ch1_DSDB_00001.raw")
    assert not re.fullmatch(nominal.match, "S2A/DCS_01_X_dat/ch_1/DCS_01_S2A_X_ch1_DSDB_00001.raw")
    assert re.fullmatch(nominal.ignore, ".hidden")
    assert (nominal.mission, nominal.since, nominal.poll_s) == ("S1", "2020-11-24T08:00:00.000000Z", 20.0)
    assert (nominal.window, nominal.window_auxiliaries) == ("* * 19-22 ? * FRI *", False)
    assert (nominal.retransfer, again.retransfer, again.match) == (False, True, ".*")
    assert not nominal.verify_tls
    assert (nominal.auth.kind, nominal.auth.user) == ("basic", "${XBIP_USERNAME}")
    assert nominal.auth.password.get_secret_value() == ""
    assert "TO BE FILLED IN: ${XBIP_USERNAME}" in toml
    assert 'password_file = "…/XBIP_PASSWORD" (Kubernetes secret cgs01, key PASSWORD)' in toml
    assert "4 values to be filled in" in told


def test_every_line_that_is_not_translated_is_named_with_its_reason(imported):
    told = unwrapped(imported(XBIP)[0])
    for line, name, reason in (
        (2, "kafka", "Kafka"),
        (3, "process.hostname", "remembered by its id"),
        (5, "polling-interval-ms", "fixed-delay"),
        (8, "ignoreRegex", r"\+ has none"),
        (12, "station-retention-time", "never forgotten"),
        (18, "mongodb", "PostgreSQL"),
        (23, "numRetries", "tried again"),
        (27, "imagePullPolicy", "pods"),
    ):
        (comment,) = [text for text in told.splitlines() if text.startswith("# - ") and name in text]
        assert reason in comment
        assert re.search(rf"line {line}\b", comment)


def test_products_by_odata_and_two_inboxes_at_one_url(imported):
    toml, inboxes, _ = imported(AUXIP)
    first, second = inboxes["prip-s1-auxiliary-file"], inboxes["prip-s2"]
    assert first.type == second.type == "prip"
    assert (first.since, first.page_size, first.verify_tls) == ("2022-04-10T12:00:00.000000Z", 250, True)
    assert (first.auth.kind, first.auth.token_url) == ("oauth2", "https://aux.example/auth/token")
    assert (first.auth.user, first.auth.client_id, first.auth.token_header) == (
        "mission", "client", "OAUTH2-ACCESS-TOKEN",
    )  # fmt: skip
    assert second.auth == first.auth
    assert "a negative look-ahead between .* and anything excludes nothing" in unwrapped(toml)
    assert "in the reference they take files from each other" in unwrapped(toml)
    station = tomllib.loads(toml)["station"]
    assert station == [
        {"name": "PRIP", "proxy": "http://proxy.example:3128", "odata": {"publication_date": "creationDate"}}
    ]


def test_sessions_by_cadip_without_the_prefix_of_a_stream(imported):
    toml, inboxes, _ = imported(CADIP)
    inbox = inboxes["mps"]
    assert (inbox.type, inbox.satellite, inbox.mission, inbox.timeliness) == ("cadip", "S1A", "S1", "NRT")
    assert inbox.station == "MPX_"
    assert (inbox.page_size, inbox.auth.scope) == (500, "openid")
    assert inbox.auth.password.get_secret_value() == "in the clear"
    assert [(header.name, header.value.get_secret_value()) for header in inbox.auth.header] == [
        ("Authorization", "Basic abc")
    ]
    told = unwrapped(toml)
    assert "line 6 says it again, and the last one counts: mps.station_name (line 5)" in told
    assert "the reference's code does not read it: cadip.max-page-size (line 9)" in told
    assert "no inbox of this file is at this host: cadip.host-configs.b.serviceRootUri (line 18)" in told


def test_ftp_folders_and_what_the_reference_skips(imported):
    toml, inboxes, told = imported(EDIP, code=1)
    assert set(inboxes) == {"edip-s2-sad", "folder"}
    edip, folder = inboxes["edip-s2-sad"], inboxes["folder"]
    assert (edip.url, edip.directories, edip.encrypt_data) == ("ftpis://edip.example:990/S2_SAD/", True, False)
    assert (folder.type, folder.url) == ("folder", "/data/in")
    assert "inbox3 of stream0.properties, line 7: the reference skips it" in told
    assert '#url = "ftpis://edip.example/NOMINAL/"' in toml
    assert "ours are passive always" in toml
    assert "hidden" not in toml


def test_several_files_have_ids_and_stations_of_their_own(imported):
    other = XBIP.replace("xbip.example", "second.example").replace("XBIP_", "SECOND_")
    odd = AUXIP.replace("https://aux.example", "https://two.example").replace("creationDate", "PublicationDate")
    toml, inboxes, _ = imported(XBIP, other, AUXIP, odd)
    assert len(inboxes) == 8
    assert inboxes["mti-xbip-s1-edrs-session-2"].url == "https://second.example/NOMINAL/"
    assert inboxes["mti-xbip-s1-edrs-session-2"].auth.user == "${SECOND_USERNAME}"
    assert [station["name"] for station in tomllib.loads(toml)["station"]] == ["MTI_", "PRIP", "PRIP two.example"]
    assert inboxes["prip-s2-2"].station == "PRIP two.example"


def test_secrets_come_from_files_and_placeholders_from_the_command_line(imported, tmp_path):
    for name in ("XBIP_PASSWORD", "AUXIP_PASSWORD", "AUXIP_CLIENT_SECRET"):
        (tmp_path / "secrets").mkdir(exist_ok=True)
        (tmp_path / "secrets" / name).write_text(f"secret of {name}\n")
    options = ("--secrets", "secrets", "--value", "XBIP_USERNAME=me", "--value", "HOST=xbip.example")
    text = XBIP.replace("directory=https://xbip.example/RE", "directory=https://${HOST}/${KIND:RE}")
    toml, inboxes, told = imported(text, AUXIP, options=options)
    inbox = inboxes["mti-xbip-s1-session-retransfer"]
    assert inbox.url == "https://xbip.example/RETRANSFER/"
    assert (inbox.auth.user, inbox.auth.password.get_secret_value()) == ("me", "secret of XBIP_PASSWORD")
    assert "secret of" not in toml
    assert "0 values to be filled in" in told


def test_the_file_that_is_written_is_readable_by_its_owner_only_and_overwrites_none(imported, tmp_path):
    assert imported(CADIP, options=("--output", "out.toml"))[0] == ""
    assert (tmp_path / "out.toml").stat().st_mode & 0o777 == 0o600
    assert load_settings(tmp_path / "out.toml", environ={}).inbox
    assert "out.toml" in imported(CADIP, options=("--output", "out.toml"), code=2)[2]


def test_dates_that_are_none_or_to_come_are_told(imported):
    for text, told in (("yesterday", "takes for 1970"), ("2999-01-01T00:00:00.000Z", "lies in the future")):
        toml, inboxes, _ = imported(XBIP.replace("2020-11-24T08:00:00.000Z", text))
        assert told in unwrapped(toml)
        assert inboxes["mti-xbip-s1-edrs-session"].since == "1970-01-01T00:00:00Z"


def test_credentials_that_the_reference_does_not_send_are_not_sent(imported):
    toml, inboxes, _ = imported(CADIP.replace("authType=oauth2", "authType=disable"))
    assert inboxes["mps"].auth.kind == "none"
    told = unwrapped(toml)
    assert "authType is neither basic nor oauth2" in told
    assert "it is sent with authType basic or oauth2 only: cadip.host-configs.a.user, cadip.host-configs.a.pass" in told
    assert "it counts for authType oauth2 only: cadip.host-configs.a.oauthAuthUrl" in told
    assert "in the clear" not in toml


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("missionId=S1", "missionId=S9"), "mission: Input should be"),
        (("matchRegex=^(", r"matchRegex=\\p{Lu}("), "match has to be written anew"),
    ],
)
def test_an_inbox_that_cannot_be_used_is_a_comment(imported, change, told):
    toml, inboxes, said = imported(XBIP.replace(*change, 1), code=1)
    assert "mti-xbip-s1-edrs-session" not in inboxes
    assert told in said
    assert "NOT USABLE AS IT IS" in toml


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("directory=https://xbip.example/NOMINAL", "directory=https://${HOST}/"),
            r"stream0.properties:6: .*--value HOST",
        ),
        (("inbox1.directory", "inbox1.direct"), r"stream0.properties:6: the inbox inbox1 has no directory"),
        (("https://xbip", "https://user:secret@xbip"), "stream0.properties:6: .*holds a user or password"),
        (("missionId=S1", r"missionId=\u00zz"), r"stream0.properties:11: .*four hexadecimal digits"),
        (("* * 19-22 ? * FRI *", "every day"), "stream0.properties:24: is no cron expression"),
        (("fixed-delay=20s", "fixed-delay=often"), "stream0.properties:4: is no duration"),
        (("station-retention-time", "type"), "stream0.properties:12: is the type '7'"),
        (("polling.inbox", "voting.inbox"), "no inbox is in there"),
        (("kafka", "\0"), "stream0.properties: is no text"),
    ],
)
def test_what_cannot_be_understood_is_told_with_file_and_line(imported, change, told):
    toml, _, said = imported(XBIP.replace(*change), code=2)
    assert toml == ""
    assert re.search(told, said)
    assert "secret@" not in said


def test_properties_are_read_as_java_does():
    text = (
        b"# comment\r\n! comment\n\n  spaced.key : value with spaces \nempty\ncontinued=one,\\\n    two\\\n\tthree\n"
        b"a\\ key\\=\\:=v\\u00e9\\t\\\\\\.\nback=slash\\\\\nafter=1\nlast=\\"
    )
    found = read_properties(text, "f")
    assert [(each.key, each.value, each.line) for each in found] == [
        ("spaced.key", "value with spaces ", 4),
        ("empty", "", 5),
        ("continued", "one,twothree", 6),
        ("a key=:", "vé\t\\.", 9),
        ("back", "slash\\", 10),
        ("after", "1", 11),
        ("last", "", 12),
    ]
    assert found[3].dropped == ("\\.",)


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=12), max_size=5))
@settings(max_examples=100)
def test_what_java_writes_is_read_back(properties):
    def escaped(text):
        utf16 = text.encode("utf-16-be")
        return "".join(f"\\u{utf16[at : at + 2].hex()}" for at in range(0, len(utf16), 2))

    data = "\n".join(f"{escaped(key)}={escaped(value)}" for key, value in properties.items())
    assert {each.key: each.value for each in read_properties(data.encode(), "f")} == properties


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(ConfigurationError):
        assert all(each.line > 0 for each in read_properties(data, "f"))


@pytest.mark.parametrize(
    ("java", "matches", "fails"),
    [
        (r"^S1.*(AUX_|AMH_).*$", "S1A_AUX_CAL", "S2A_AUX"),
        (r"\p{Upper}+[\p{Digit}x]\P{Alpha}", "ABx1", "abx1"),
        (r"(?<mission>S1)-\k<mission>", "S1-S1", "S1-S2"),
        (r"\Qa.b\E+", "a.bb", "axb"),
        (r"(?i)s1[^]a]*+x?", "S1bcd", "S1a"),
        (r"[a&]\[z]\z", "&[z]", "b[z]"),
        (r"(?<=S1)A|(?<!S)1", "1", "2"),
        (r"a{2}+b", "aab", "ab"),
    ],
)
def test_patterns_of_java_mean_the_same_here(java, matches, fails):
    pattern = re.compile(python_pattern(java))
    assert pattern.fullmatch(matches)
    assert not pattern.fullmatch(fails)


@pytest.mark.parametrize(
    "java", [r"[a-z&&[^b]]", r"[a[bc]]", r"\p{Lu}", r"\R", r"\h", "(?<=a+)b", "(", r"\x{1F600}", r"[\P{Alpha}]"]
)
def test_patterns_that_only_java_knows_are_refused(java):
    with pytest.raises(ValueError, match=r"Java only|look-behind|unterminated"):
        python_pattern(java)


def test_a_look_ahead_that_excludes_nothing_is_told():
    for wrong in ("^S1.*(?!(AUX_TRO|AUX_TEC)).*$", r"S1.*((?![)]|AUX_TRO)).*", ".+(?!AUX_TRO)$"):
        assert re.fullmatch(wrong, "S1__AUX_TRO_X")
        assert weaknesses(wrong)
    for right in ("^S1.*(?!(AUX_TRO|AUX_TEC))(AUX_|AMH_).*$", "^S1(?!.*AUX_TRO).*$", ".*?(?!S1__AUX_TRO).*"):
        assert not weaknesses(right)
    assert not re.fullmatch("^S1.*(?!(AUX_TRO|AUX_TEC))(AUX_|AMH_).*$", "S1__AUX_TRO_X")
