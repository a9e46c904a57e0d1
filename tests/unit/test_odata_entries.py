"""What stations write into their entities is read with tolerance, and nothing of it can do harm."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.infra.settings import InboxSettings, ODataSettings, Settings
from refsys.ingestion.model import Memory, Offer, SessionFile
from refsys.ingestion.protocols import cadip, prip
from refsys.ingestion.protocols.odatasource import Pace
from refsys.ingestion.protocols.odatavalues import read_instant, version_of

AT = datetime(2024, 11, 14, 14, 33, 13, tzinfo=UTC)
SESSION = "S1A_20241114143038056552"
FILE: dict[str, Any] = {
    "Id": "228b97bc-aa04-4036-8450-3106bc7684bb",
    "Name": f"DCS_04_{SESSION}_ch2_DSDB_00003.raw",
    "SessionId": SESSION,
    "Channel": 2,
    "BlockNumber": 3,
    "FinalBlock": False,
    "PublicationDate": "2024-11-14T14:33:13.05Z",
    "EvictionDate": "2024-11-21T14:30:00Z",
    "Size": 314571600,
    "Retransfer": False,
}
PRODUCT: dict[str, Any] = {
    "Id": "6894eb36-416e-469e-8788-9a0a2b8f3a8d",
    "Name": "S1A_OPER_AUX_RESORB_OPOD_20171213T143838_V20171213T102737_20171213T134507.EOF.zip",
    "ContentLength": 20_000,
    "PublicationDate": "2024-11-14T14:33:13.05Z",
    "OriginDate": "2024-11-14T14:00:00Z",
    "EvictionDate": "2024-11-21T14:30:00Z",
    "Checksum": [{"Algorithm": "md5", "Value": "D41D8CD98F00B204E9800998ECF8427A"}],
}


def product(**changes: Any) -> Offer:
    return prip.offer_of(PRODUCT | changes, ODataSettings())


def file(**changes: Any) -> Offer:
    return cadip.offer_of(FILE | changes)[0]


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("20241114143313", 0),
        ("20241114T143313", 0),
        ("20241114T143313Z", 0),
        ("UTC=2024-11-14T14:33:13", 0),
        ("UTC=20241114T143313", 0),
        ("2024-11-14T14:33:13", 0),
        ("2024-11-14T14:33:13Z", 0),
        ("2024-11-14T14:33:13.0Z", 0),
        ("2024-11-14T14:33:13.05Z", 50_000),
        ("2024-11-14T14:33:13.050", 50_000),
        ("2024-11-14T14:33:13.123456Z", 123_456),
        ("2024-11-14T15:33:13.123456+01:00", 123_456),
        ("2024-11-14T14:33:13.1234567Z", 123_456),
    ],
)
def test_instants_are_read_in_every_form_in_which_stations_write_them(text: str, microsecond: int) -> None:
    assert read_instant(text) == AT.replace(microsecond=microsecond)


@pytest.mark.parametrize("text", ["", "now", "2024-13-01T00:00:00Z", "20241399999999", "٢٠٢٤-11-14"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an instant|out of range|month|Invalid"):
        read_instant(text)


def test_a_version_is_the_same_however_the_station_writes_the_date() -> None:
    written = [
        "2024-11-14T14:33:13.05Z",
        "2024-11-14T14:33:13.050000Z",
        "2024-11-14T14:33:13.050",
        "UTC=2024-11-14T14:33:13.05",
    ]
    assert {version_of(text, 5, {"MD5": "a"}) for text in written} == {"2024-11-14T14:33:13.050000Z/5/MD5=a"}


@pytest.mark.parametrize(
    "text", ["2024-11-14", "20241114", "2024-11-14T00:00", "2024-W46-4T00:00:00.000Z", "UTC=2024-11-14"]
)
def test_a_version_is_made_of_every_date_that_can_be_read(text: str) -> None:
    assert version_of(text, None, {}) == "2024-11-14T00:00:00.000000Z/"


def test_a_product_has_what_the_station_says_of_it() -> None:
    offer = product()
    assert offer == Offer(
        remote_id=PRODUCT["Id"],
        version="2024-11-14T14:33:13.050000Z/20000/MD5=d41d8cd98f00b204e9800998ecf8427a",
        name=PRODUCT["Name"],
        size_bytes=20_000,
        published_at=AT + timedelta(milliseconds=50),
        origin_at=datetime(2024, 11, 14, 14, tzinfo=UTC),
        checksums={"MD5": "d41d8cd98f00b204e9800998ecf8427a"},
        evicted_at=datetime(2024, 11, 21, 14, 30, tzinfo=UTC),
    )


def test_attributes_may_have_other_names() -> None:
    entry = {"id": "7", "name": "a.zip", "contentLength": "12", "creationDate": "2024-11-14T14:33:13Z"}
    profile = ODataSettings(
        product_id="id", product_name="name", content_length="contentLength", publication_date="creationDate"
    )
    offer = prip.offer_of(entry, profile)
    assert (offer.remote_id, offer.name, offer.size_bytes, offer.published_at) == ("7", "a.zip", 12, AT)


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({"ContentLength": 0, "Checksum": []}, True),
        ({"ContentLength": "0", "Checksum": None}, True),
        ({"ContentLength": 0, "Checksum": [{"Algorithm": "MD5", "Value": "d41d8cd98f00b204e9800998ecf8427e"}]}, True),
        ({"ContentLength": 0}, False),  # its checksum is of something: the length is what is wrong
        ({"ContentLength": None}, False),
        ({"ContentLength": 1, "Checksum": []}, False),
    ],
)
def test_a_product_that_is_empty_is_held(changes: dict[str, Any], held: bool) -> None:
    offer = product(**changes)
    assert bool(offer.held) == held
    assert offer.size_bytes == (changes["ContentLength"] if changes["ContentLength"] == 1 else None)


@pytest.mark.parametrize(
    "changes", [{"EvictionDate": FILE["PublicationDate"]}, {"EvictionDate": None}, {"EvictionDate": 5}]
)
def test_an_eviction_that_cannot_be_is_none(changes: dict[str, Any]) -> None:
    assert file(**changes).evicted_at is None
    assert product(**changes).evicted_at is None


@pytest.mark.parametrize("name", ["FinalBlock", "Retransfer", "BlockNumber", "Channel", "EvictionDate", "Size"])
@pytest.mark.parametrize("value", [None, "", "N", [], {}])
def test_what_is_not_said_of_a_file_is_taken_from_its_name_or_left_open(name: str, value: Any) -> None:
    if name == "Size" and value not in (None, ""):
        return
    offer = file(**{name: value})
    assert offer.session == SessionFile(SESSION, False, 2, 3, None if name == "FinalBlock" else False)
    assert offer.path == f"{SESSION}/{FILE['Name']}"


@pytest.mark.parametrize(
    ("changes", "session", "differs"),
    [
        ({}, SessionFile(SESSION, False, 2, 3, False), ""),
        ({"Retransfer": "true", "FinalBlock": "True"}, SessionFile(SESSION, True, 2, 3, True), ""),
        ({"Channel": "1", "BlockNumber": "7"}, SessionFile(SESSION, False, 1, 7, False), "channel 1, block 7"),
        # a station that counts from zero in names
        ({"BlockNumber": 4}, SessionFile(SESSION, False, 2, 4, False), ""),
        ({"SessionId": "S1C_20241114143038056552"}, SessionFile("S1C_20241114143038056552", False, 2, 3, False),
         "session S1C_20241114143038056552"),
        ({"SessionId": "../../etc"}, SessionFile(SESSION, False, 2, 3, False), ""),
        ({"BlockNumber": 2**40, "Channel": 70}, SessionFile(SESSION, False, 2, 3, False), ""),
        ({"Name": "chunk-0003.dat"}, SessionFile(SESSION, False, 2, 3, False), ""),
        ({"Name": f"DCS_04_{SESSION}_ch2_DSIB.xml", "BlockNumber": 20, "FinalBlock": True},
         SessionFile(SESSION, False, 2, 0, None), ""),
        ({"Name": "chunk.dat", "Channel": None}, None, ""),
    ],
)  # fmt: skip
def test_of_which_session_a_file_is_its_record_decides(
    changes: dict[str, Any], session: SessionFile | None, differs: str
) -> None:
    offer, told = cadip.offer_of(FILE | changes)
    assert (offer.session, told) == (session, differs)


def test_a_real_session_is_understood(shared_data: Path) -> None:
    [entry] = json.loads((shared_data / "sessions" / f"{SESSION}.json").read_text())["value"]
    said = cadip.session_of(entry)
    assert (said.session, said.retransfer, said.satellite, said.channels, said.orbit) == (
        SESSION,
        False,
        "S1A",
        2,
        56552,
    )
    assert said.downlink_stop == datetime(2024, 11, 14, 14, 32, 52, 465_000, tzinfo=UTC)
    assert {channel: record["TotalVolume"] for channel, record in said.quality.items()} == {
        1: sum(each["Size"] for each in entry["Files"] if each["Channel"] == 1),
        2: sum(each["Size"] for each in entry["Files"] if each["Channel"] == 2),
    }
    assert said.facts["AntennaId"] == "TLR3"
    files = [cadip.offer_of(each) for each in entry["Files"]]
    assert not any(differs for _, differs in files)
    assert {(offer.session.channel, offer.session.block) for offer, _ in files if offer.session} == {
        (channel, block) for channel in (1, 2) for block in range(1, 20)
    }


@pytest.mark.parametrize(
    "changes", [{"Id": None}, {"Name": ""}, {"PublicationDate": None}, {"Size": -1}, {"Size": 2**63}]
)
def test_a_file_without_what_is_needed_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        file(**changes)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*FILE, *PRODUCT, "NumChannels", "QualityInfo", "DownlinkOrbit"]), anything))
@settings(max_examples=150, deadline=None)
def test_no_entity_does_harm(changes: dict[str, Any]) -> None:
    for read in (cadip.offer_of, cadip.session_of, lambda entry: prip.offer_of(entry, ODataSettings())):
        try:
            found: Any = read(FILE | PRODUCT | changes)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
            continue
        offer = found[0] if isinstance(found, tuple) else found
        if isinstance(offer, Offer):
            assert offer.size_bytes is None or 0 < offer.size_bytes < 2**63
            assert all("\0" not in text for text in (offer.name, offer.remote_id, offer.version, offer.path))
        else:
            assert b"\\u0000" not in orjson.dumps(
                [dict(offer.facts), {str(k): dict(v) for k, v in offer.quality.items()}]
            )
            assert offer.orbit is None or 0 <= offer.orbit < 2**31


def test_what_is_asked_for_again_is_due_ever_less_often_and_forgotten_when_it_is_no_longer_wanted() -> None:
    pace: Pace[str] = Pace(30.0)
    due = [now for now in range(0, 4_000, 10) if pace.due(["a"], float(now))]
    assert due == [0, 30, 90, 210, 450, 930, 1530, 2130, 2730, 3330, 3930]
    assert pace.due(["b"], 4_000.0) == ["b"]
    assert pace.due(["a", "b"], 4_001.0) == ["a"]


async def test_what_cannot_be_understood_is_told_once_and_hides_nothing() -> None:

    class Lists:
        station = "a station"

        async def get_json(self, url: str) -> Any:
            return (
                {"value": [PRODUCT, {"Id": "1"}, PRODUCT | {"Id": "2", "ContentLength": math.inf}]}
                if "$skip" not in url
                else []
            )

    source = prip.PripSource(InboxSettings(id="a", type="prip", url="http://station"), Lists(), Settings())
    with structlog.testing.capture_logs() as told:
        for _ in range(2):
            findings = [each async for each in source.look(Memory())]
            assert [offer.remote_id for each in findings for offer in each.offers] == [PRODUCT["Id"]] * 1
            assert not any(each.is_whole for each in findings)
    assert [each["event"] for each in told] == ["look.entry_ignored"] * 2
