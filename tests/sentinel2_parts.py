"""Metadata of parts of Sentinel-2 products as their formats have them, for types of which no real one is at hand."""

from __future__ import annotations

from collections.abc import Mapping

RING = "10.0 20.0 10.0 22.0 12.0 22.0 12.0 20.0 10.0 20.0"
DATATAKE = "GS2B_20230528T222549_032516_N04.00"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'

INVENTORY = {
    "File_ID": "a part",
    "Parent_ID": "S2B_OPER_MSI_L0__DS_REFS_20230601T211358_S20230528T222546_N04.00",
    "Group_ID": DATATAKE,
    "File_Version": "04.00",
    "Generation_Time": "UTC=2023-06-01T21:13:58.000000",
    "Validity_Start": "UTC=2023-05-28T22:28:36.341948",
    "Validity_Stop": "UTC=2023-05-28T22:28:39.941948",
    "Start_Orbit_Number": "032516",
    "Stop_Orbit_Number": "032517",
    "Quality_Info": "100.0",
    "File_Type": "",
    "Sensor_Code": "MSI",
    "Processing_Station": "2BPS",
    "Satellite_Code": "S2B",
    "Ascending_Flag": "false",
    "CloudPercentage": "12.5",
}


def inventory(changes: Mapping[str, str] | None = None, *, ring: str = RING) -> bytes:
    """An Inventory_Metadata.xml; a changed text may be blank."""
    numbers = ring.split()
    points = "".join(
        f"<Geo_Pnt><LATITUDE>{lat}</LATITUDE><LONGITUDE>{lon}</LONGITUDE></Geo_Pnt>"
        for lat, lon in zip(numbers[::2], numbers[1::2], strict=True)
    )
    texts = "".join(f"<{name}>{text}</{name}>" for name, text in (INVENTORY | dict(changes or {})).items())
    geography = f"<Geographic_Localization><List_Of_Geo_Pnt>{points}</List_Of_Geo_Pnt></Geographic_Localization>"
    return f'{_HEAD}<Inventory_Metadata xmlns="urn:psd">{texts}{geography}</Inventory_Metadata>'.encode()


def datastrip(*, lost: str = "0", ring: str = RING) -> bytes:
    """The metadata of a datastrip."""
    return f"""{_HEAD}<n1:Level-0_DataStrip_ID xmlns:n1="urn:psd"><n1:General_Info>
<Datatake_Info datatakeIdentifier="{DATATAKE}"><SPACECRAFT_NAME>Sentinel-2B</SPACECRAFT_NAME>
<DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE><SENSING_ORBIT_NUMBER>29</SENSING_ORBIT_NUMBER>
<SENSING_ORBIT_DIRECTION>Descending</SENSING_ORBIT_DIRECTION></Datatake_Info>
<Datastrip_Time_Info><DATASTRIP_SENSING_START>2023-05-28T22:25:46.000Z</DATASTRIP_SENSING_START>
<DATASTRIP_SENSING_STOP>2023-05-28T22:31:02.500Z</DATASTRIP_SENSING_STOP></Datastrip_Time_Info>
<Processing_Info><UTC_DATE_TIME>2023-06-01T21:13:58.000Z</UTC_DATE_TIME>
<PROCESSING_CENTER>2BPS</PROCESSING_CENTER></Processing_Info></n1:General_Info>
<n1:Quality_Indicators_Info><Quicklook_Info><Footprint><EXT_POS_LIST>{ring}</EXT_POS_LIST></Footprint></Quicklook_Info>
<Degradation_Summary><NUMBER_OF_LOST_PACKETS>{lost}</NUMBER_OF_LOST_PACKETS></Degradation_Summary>
</n1:Quality_Indicators_Info></n1:Level-0_DataStrip_ID>""".encode()


def granule(*, degraded: str = "0", ring: str = RING) -> bytes:
    """The metadata of a granule."""
    return f"""{_HEAD}<n1:Level-0_Granule_ID xmlns:n1="urn:psd"><n1:General_Info>
<GRANULE_ID>the granule</GRANULE_ID><DETECTOR_ID>07</DETECTOR_ID><DATASTRIP_ID>the datastrip</DATASTRIP_ID>
<SENSING_TIME>2023-05-28T22:28:36.840Z</SENSING_TIME>
<Archiving_Info><ARCHIVING_CENTRE>SGS_</ARCHIVING_CENTRE></Archiving_Info></n1:General_Info>
<n1:Geometric_Info><Granule_Footprint><Granule_Footprint><Footprint><EXT_POS_LIST>{ring}</EXT_POS_LIST></Footprint>
</Granule_Footprint></Granule_Footprint><Granule_Position><Geometric_Header>
<Incidence_Angles><ZENITH_ANGLE>10.8</ZENITH_ANGLE></Incidence_Angles>
<Solar_Angles><ZENITH_ANGLE>52.25</ZENITH_ANGLE></Solar_Angles></Geometric_Header></Granule_Position>
</n1:Geometric_Info><n1:Quality_Indicators_Info><Image_Content_QI><Common_IMG_QI>
<CLOUDY_PIXEL_PERCENTAGE>3.5</CLOUDY_PIXEL_PERCENTAGE>
<DEGRADED_MSI_DATA_PERCENTAGE>{degraded}</DEGRADED_MSI_DATA_PERCENTAGE></Common_IMG_QI></Image_Content_QI>
</n1:Quality_Indicators_Info></n1:Level-0_Granule_ID>""".encode()


def tile() -> bytes:
    """The metadata of a tile, which has no footprint in degrees."""
    return f"""{_HEAD}<n1:Level-1C_Tile_ID xmlns:n1="urn:psd"><n1:General_Info>
<TILE_ID>the tile</TILE_ID><DATASTRIP_ID>the datastrip</DATASTRIP_ID>
<SENSING_TIME>2023-05-28T22:28:36.341948Z</SENSING_TIME>
<Archiving_Info><ARCHIVING_CENTRE>VGS4</ARCHIVING_CENTRE></Archiving_Info></n1:General_Info>
<n1:Geometric_Info><Tile_Angles><Mean_Sun_Angle><ZENITH_ANGLE>26.5</ZENITH_ANGLE></Mean_Sun_Angle></Tile_Angles>
</n1:Geometric_Info><n1:Quality_Indicators_Info><Image_Content_QI>
<CLOUDY_PIXEL_PERCENTAGE>88.25</CLOUDY_PIXEL_PERCENTAGE>
<DEGRADED_MSI_DATA_PERCENTAGE>0.5</DEGRADED_MSI_DATA_PERCENTAGE></Image_Content_QI></n1:Quality_Indicators_Info>
</n1:Level-1C_Tile_ID>""".encode()


def picture(inside: bytes, *, before: int = 2_000, after: int = 5_000) -> bytes:
    """A JPEG 2000 file with boxes of XML before its code stream; `before` and `after` are bytes of other content."""
    return b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\xa7" * before + b"xml " + inside + b"\x00\x00jp2c" + b"\xff" * after
