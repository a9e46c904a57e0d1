"""Manifests of Sentinel-1 level 0 as their format has them, for types of which no real product is at hand."""

from __future__ import annotations

from collections.abc import Sequence

CORNERS = "30.4307,-103.1979 17.9991,-105.6059 17.7208,-103.3109 30.1622,-100.6624"
TRACK = "-62.29,105.8055 -65.5655,108.5909"


def manifest(
    *,
    mode: str = "IW",
    satellite: str = "A",
    start: str = "2020-01-20T12:47:46.019051Z",
    stop: str = "2020-01-20T12:51:11.706993Z",
    stores: Sequence[int | str] = (),
    polarisations: Sequence[str] = ("VH",),
    consolidation: str = "FULL",
    footprint: str = CORNERS,
    sar: bool = True,
) -> bytes:
    """A manifest.safe without data objects; without `sar` as GPS and housekeeping have it."""
    instrument = f"""<instrument><familyName abbreviation="SAR">Synthetic Aperture Radar</familyName><extension>
        <s1sar:instrumentMode><s1sar:mode>{mode}</s1sar:mode></s1sar:instrumentMode></extension></instrument>"""
    information = "".join(
        [
            '<standAloneProductInformation xmlns="urn:sar"><productClass>S</productClass>',
            f"<productConsolidation>{consolidation}</productConsolidation>",
            "<productSensingConsolidation> </productSensingConsolidation>",
            "<instrumentConfigurationID>6</instrumentConfigurationID><missionDataTakeID>232286</missionDataTakeID>",
            "<circulationFlag>5</circulationFlag><sliceProductFlag>FALSE</sliceProductFlag>",
            *(f"<transmitterReceiverPolarisation>{p}</transmitterReceiverPolarisation>" for p in polarisations),
            *(f"<packetStoreID>{store}</packetStoreID>" for store in stores),
            "</standAloneProductInformation>",
        ]
    )
    frames = f"<frameSet><frame><footPrint><coordinates>{footprint}</coordinates></footPrint></frame></frameSet>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<xfdu:XFDU xmlns:s1="urn:s1" xmlns:s1sar="urn:s1sar" xmlns:xfdu="urn:ccsds:schema:xfdu:1"><metadataSection>
  <acquisitionPeriod xmlns="urn:safe"><startTime>{start}</startTime><stopTime>{stop}</stopTime></acquisitionPeriod>
  <platform xmlns="urn:safe"><nssdcIdentifier>2014-016A</nssdcIdentifier><familyName>SENTINEL-1</familyName>
    <number>{satellite}</number>{instrument if sar else ""}</platform>
  {information if sar else ""}
  <orbitReference xmlns="urn:safe"><orbitNumber type="start">30884</orbitNumber>
    <orbitNumber type="stop">30884</orbitNumber><relativeOrbitNumber type="start">12</relativeOrbitNumber>
    <relativeOrbitNumber type="stop">12</relativeOrbitNumber><cycleNumber>191</cycleNumber>
    <extension><s1:orbitProperties><s1:pass>DESCENDING</s1:pass></s1:orbitProperties></extension></orbitReference>
  <processing xmlns="urn:safe" start="2021-04-19T14:45:16.778287"><facility site="DLR-Oberpfaffenhofen"/></processing>
  {frames if footprint else ""}
</metadataSection></xfdu:XFDU>
""".encode()


def memory_map(
    kinds: dict[int, str], *, start: str = "2014-02-01T00:00:00", stop: str = "2099-12-31T23:59:59"
) -> bytes:
    """An AUX_OBMEMC file: packet stores and their kinds."""
    entries = "".join(
        f"<PacketStoreAssociation><PacketStoreId>PS-{store}</PacketStoreId><VirtualChannelId>VC-{store}"
        f"</VirtualChannelId><PacketStoreType>{kind}</PacketStoreType></PacketStoreAssociation>"
        for store, kind in kinds.items()
    )
    return f"""<OnBoardMemoryConfigurationUpdate><Creation_Time>UTC={start}</Creation_Time>
<Validity_Start>UTC={start}</Validity_Start><Validity_Stop>UTC={stop}</Validity_Stop>
<List_of_PacketStoreAssociations>{entries}</List_of_PacketStoreAssociations></OnBoardMemoryConfigurationUpdate>
""".encode()
