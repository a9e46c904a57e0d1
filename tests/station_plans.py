"""Station acquisition plans for tests, with the elements of real ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

_PLAN = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<Earth_Explorer_File{namespace}>
  <Earth_Explorer_Header>
    <Fixed_Header>
      <File_Name>{name}</File_Name>
      <File_Description>Acquisition plan</File_Description>
      <Mission>Sentinel-{number}</Mission>
      <File_Class>OPER</File_Class>
      <File_Type>MPL_SP{station}</File_Type>
      <Validity_Period>
        <Validity_Start>{start}</Validity_Start>
        <Validity_Stop>{stop}</Validity_Stop>
      </Validity_Period>
      <File_Version>0001</File_Version>
      <Source><System>PDMC</System><Creator>MPL</Creator><Creation_Date>{created}</Creation_Date></Source>
    </Fixed_Header>
    <Variable_Header/>
  </Earth_Explorer_Header>
  <Data_Block type="xml">
    <SCHEDULE>{passes}
    </SCHEDULE>
  </Data_Block>
</Earth_Explorer_File>
"""
_PASS = """
      <ACQ>
        <Orbit_Number>{orbit}</Orbit_Number>
        <Acquisition_Start>{start}</Acquisition_Start>
        <Acquisition_Stop>{stop}</Acquisition_Stop>
        <Data_Start>{start}</Data_Start>
        <Data_Stop>{stop}</Data_Stop>
      </ACQ>"""


def plan_name(
    start: datetime, stop: datetime, *, created: datetime, satellite: str = "S1A", station: str = "SGS_"
) -> str:
    """As the planning services name them."""
    return (
        f"{satellite}_OPER_MPL_SP{station}_PDMC_{created:%Y%m%dT%H%M%S}_V{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}.EOF"
    )


def plan_document(
    passes: Sequence[tuple[int, datetime, datetime]],
    start: datetime,
    stop: datetime,
    *,
    created: datetime,
    satellite: str = "S1A",
    station: str = "SGS_",
    namespace: str = ' xmlns="http://eop-cfi.esa.int/CFI"',
) -> bytes:
    """A plan of passes (orbit, start, stop), valid from `start` to `stop`."""
    return _PLAN.format(
        namespace=namespace,
        name=plan_name(start, stop, created=created, satellite=satellite, station=station)[:-4],
        number=f"{satellite[1:]}",
        station=station,
        start=_utc(start),
        stop=_utc(stop),
        created=_utc(created),
        passes="".join(_PASS.format(orbit=orbit, start=_utc(a), stop=_utc(b)) for orbit, a, b in passes),
    ).encode()


def _utc(instant: datetime) -> str:
    return f"UTC={instant:%Y-%m-%dT%H:%M:%S}"
