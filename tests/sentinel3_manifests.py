"""An xfdumanifest.xml of Sentinel-3 as the format has it, for types of which no real product is at hand."""

from __future__ import annotations

RING = "10.0 20.0 10.0 22.0 12.0 22.0 12.0 20.0 10.0 20.0"


def manifest(
    *,
    timeliness: str = "NR",
    orbits: tuple[str, str, str] = ("29276", "43", "77"),
    ring: str = RING,
    dump: str = "<dumpStart>2021-09-30T19:17:12.009979Z</dumpStart>",
    unit: str = "<type>FRAME</type><duration>180</duration><alongtrackCoordinate>5400</alongtrackCoordinate>",
    extra: str = "",
) -> bytes:
    """The manifest of a product of level 0 to 2; `orbits` are orbit, relative orbit and cycle."""
    orbit, relative, cycle = orbits
    footprint = f"<frameSet><footPrint><posList>{ring}</posList></footPrint></frameSet>" if ring else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1"><metadataSection>
<acquisitionPeriod><startTime>2021-09-30T22:09:13.843538Z</startTime>
<stopTime>2021-09-30T22:12:13.843538Z</stopTime></acquisitionPeriod>
<platform><familyName>Sentinel-3</familyName><number>A</number></platform>{footprint}
<generalProductInformation><timeliness>{timeliness}</timeliness><baselineCollection>004</baselineCollection>
<creationTime>20211002T102150</creationTime><dumpInformation>{dump}</dumpInformation>
<productUnit>{unit}</productUnit></generalProductInformation>
<orbitReference><orbitNumber type="start" groundTrackDirection="ascending">{orbit}</orbitNumber>
<relativeOrbitNumber type="start" groundTrackDirection="ascending">{relative}</relativeOrbitNumber>
<cycleNumber>{cycle}</cycleNumber></orbitReference>{extra}
</metadataSection></xfdu:XFDU>""".encode()


def auxiliary(
    *, start: str = "2021-01-01T00:00:00.000000Z", stop: str = "", quality: str = "PASSED", timeliness: str = "AL"
) -> bytes:
    """The manifest of an auxiliary."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1"><metadataSection><generalProductInformation>
<timeliness>{timeliness}</timeliness><baselineCollection>001</baselineCollection>
<creationTime>20210102T000000</creationTime><familyName>Sentinel-3</familyName><number>_</number>
<validityStartTime>{start}</validityStartTime><validityStopTime>{stop}</validityStopTime></generalProductInformation>
<adfQuality><adfQualityCheck>{quality}</adfQualityCheck></adfQuality></metadataSection></xfdu:XFDU>""".encode()


def information(features: dict[str, str]) -> bytes:
    """The information file (IIF) of a granule."""
    texts = "".join(f'<feature key="{key}">{text}</feature>' for key, text in features.items())
    return f"""<IIF><item><administration><type>TM_0_HKM__G</type></administration>
<parameters><temporalCoverage><startTime>2021-09-30T22:09:14.000000</startTime>
<stopTime>2021-09-30T22:12:14.000000</stopTime></temporalCoverage><quality>APPROVED</quality></parameters>
<specificParameters>{texts}</specificParameters></item></IIF>""".encode()
