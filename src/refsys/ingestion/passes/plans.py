"""Station acquisition plans (MPL_SP): which passes a station is to receive from a satellite.

    S2A_OPER_MPL_SPMPS__PDMC_20180719T090005_V20180720T090000_20180726T090000.EOF

An Earth Explorer file; its data block lists /SCHEDULE/ACQ with Orbit_Number, Acquisition_Start, Acquisition_Stop (when
the station receives), Data_Start and Data_Stop (when the satellite sends), all instants as `UTC=…`. The station is in
the file type, the satellite in the file's name. The format is ESA-EOPG-EOPGCS-SP-1, which is not public; these are the
elements that published readers of such files use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from refsys.core.errors import InvalidProduct
from refsys.core.times import parse_instant
from refsys.infra import xml

if TYPE_CHECKING:
    from lxml import etree

#: The product types of such plans, as the tables have them.
PLAN: Final = re.compile(r"MPL_SP(?P<station>\w{4})")
_SATELLITE: Final = re.compile(r"(?P<satellite>S[123][A-Z])_")
#: A station's plan of a week has less than a hundred.
MOST_PASSES: Final = 20_000


@dataclass(frozen=True, slots=True)
class PlannedPass:
    """One acquisition: the station receives in [starts_at, ends_at], the satellite sends in [data_start, data_stop]."""

    orbit: int | None
    starts_at: datetime
    ends_at: datetime
    data_start: datetime | None
    data_stop: datetime | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one file plans for one station and satellite in [valid_from, valid_to); the later `planned_at` counts."""

    name: str
    satellite: str
    station: str
    valid_from: datetime
    valid_to: datetime
    planned_at: datetime
    passes: tuple[PlannedPass, ...]


def is_plan(product_type: str) -> bool:
    """Whether products of this type are station acquisition plans."""
    return PLAN.fullmatch(product_type) is not None


def read_plan(data: bytes, name: str) -> Plan:
    """Read a plan. Raises InvalidProduct that names what lacks or cannot be, and as `xml.parse` does."""
    root = xml.parse(data, subject=name)
    satellite = _SATELLITE.match(name)
    header = _child(root, "Earth_Explorer_Header", "Fixed_Header")
    kind = PLAN.fullmatch(_text(header, "File_Type") or "")
    if satellite is None or kind is None:
        raise _invalid(name, "is no station acquisition plan: name or File_Type say neither satellite nor station")
    schedule = _child(root, "Data_Block", "SCHEDULE")
    if header is None or schedule is None:
        raise _invalid(name, "has no Data_Block/SCHEDULE")
    passes = tuple(_passes(schedule, name))
    return Plan(
        name=name,
        satellite=satellite["satellite"],
        station=kind["station"].strip("_"),
        valid_from=_instant(_child(header, "Validity_Period"), "Validity_Start", name),
        valid_to=_instant(_child(header, "Validity_Period"), "Validity_Stop", name),
        planned_at=_instant(_child(header, "Source"), "Creation_Date", name),
        passes=passes,
    )


def _passes(schedule: etree._Element, name: str) -> Iterator[PlannedPass]:
    entries = [child for child in schedule if _tag(child) == "ACQ"]
    if len(entries) > MOST_PASSES:
        raise _invalid(name, f"plans {len(entries)} passes, more than {MOST_PASSES}")
    for entry in entries:
        starts_at, ends_at = _instant(entry, "Acquisition_Start", name), _instant(entry, "Acquisition_Stop", name)
        if ends_at < starts_at:
            raise _invalid(name, f"has a pass that ends before it starts, at {starts_at.isoformat()}")
        orbit = _text(entry, "Orbit_Number")
        yield PlannedPass(
            orbit=int(orbit) if orbit and re.fullmatch(r"\d{1,9}", orbit) else None,
            starts_at=starts_at,
            ends_at=ends_at,
            data_start=_instant(entry, "Data_Start", name) if _text(entry, "Data_Start") else None,
            data_stop=_instant(entry, "Data_Stop", name) if _text(entry, "Data_Stop") else None,
        )


def _child(element: etree._Element | None, *names: str) -> etree._Element | None:
    for name in names:
        element = next((child for child in element if _tag(child) == name), None) if element is not None else None
    return element


def _text(element: etree._Element | None, name: str) -> str | None:
    found = _child(element, name)
    return found.text.strip() if found is not None and found.text else None


def _instant(element: etree._Element | None, name: str, subject: str) -> datetime:
    text = _text(element, name)
    if text is None:
        raise _invalid(subject, f"lacks {name}")
    try:
        return parse_instant(text)
    except ValueError as error:
        raise _invalid(subject, f"has a {name} that is {error}") from None


def _tag(element: etree._Element) -> str:
    """Without namespace: some files have one, others none."""
    return str(element.tag).rpartition("}")[2]


def _invalid(name: str, problem: str) -> InvalidProduct:
    return InvalidProduct(problem, subject=name, advice="ask the planning service to send it anew")
