"""What the missions plan, as files say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from refsys.core.errors import HostileInput, InvalidProduct
from refsys.ingestion.passes.plans import is_plan, read_plan
from refsys.missions import load_types
from tests.station_plans import plan_document, plan_name

DAY = datetime(2026, 11, 24, tzinfo=UTC)
WEEK = timedelta(days=7)
FIRST = (56552, DAY + timedelta(hours=1), DAY + timedelta(hours=1, minutes=10))
SECOND = (56553, DAY + timedelta(hours=3), DAY + timedelta(hours=3, minutes=9))


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://eop-cfi.esa.int/CFI"'])
def test_a_plan_tells_station_satellite_and_passes(namespace: str) -> None:
    data = plan_document([FIRST, SECOND], DAY, DAY + WEEK, created=DAY - timedelta(hours=15), namespace=namespace)
    plan = read_plan(data, plan_name(DAY, DAY + WEEK, created=DAY - timedelta(hours=15)))
    assert (plan.satellite, plan.station) == ("S1A", "SGS")
    assert (plan.valid_from, plan.valid_to, plan.planned_at) == (DAY, DAY + WEEK, DAY - timedelta(hours=15))
    assert [(each.orbit, each.starts_at, each.ends_at) for each in plan.passes] == [FIRST, SECOND]
    assert plan.passes[0].data_start == FIRST[1]


def test_plans_are_known_by_their_product_type() -> None:
    types = load_types()
    for satellite in ("S1A", "S1C", "S2B", "S3A"):
        name = plan_name(DAY, DAY + WEEK, created=DAY, satellite=satellite, station="MTI_")
        assert is_plan(types.recognise(name).product_type), name
    assert not is_plan("MPL_FSSGS_")
    assert not is_plan("AUX_RESORB")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"<SCHEDULE>", b"<OTHER>", "not well-formed"),
        (b"Data_Block", b"Other_Block", "SCHEDULE"),
        (b"MPL_SPSGS_", b"MPL_FSSGS_", "no station acquisition plan"),
        (b"<Acquisition_Start>UTC=2026-11-24T01:00:00", b"<Acquisition_Start>soon", "Acquisition_Start"),
        (b"<Acquisition_Stop>UTC=2026-11-24T01:10:00", b"<Acquisition_Stop>UTC=2026-11-24T00:10:00", "ends before"),
        (b"<Creation_Date>", b"<Created>", "not well-formed"),
    ],
)
def test_what_is_no_plan_is_told(old: bytes, new: bytes, told: str) -> None:
    data = plan_document([FIRST], DAY, DAY + WEEK, created=DAY)
    assert old in data
    with pytest.raises(InvalidProduct, match=told) as caught:
        read_plan(data.replace(old, new), plan_name(DAY, DAY + WEEK, created=DAY))
    assert caught.value.subject.startswith("S1A_OPER_MPL_SPSGS_")


def test_a_plan_cannot_reach_out() -> None:
    data = plan_document([FIRST], DAY, DAY + WEEK, created=DAY)
    hostile = data.replace(b"<Earth", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Earth', 1)
    with pytest.raises(HostileInput):
        read_plan(hostile, plan_name(DAY, DAY + WEEK, created=DAY))
