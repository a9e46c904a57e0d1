"""Sentinel-1 IW GRDH products: a slice of a data take, in the schema of S1-RS-MDA-52-7441 (product specification)."""

from __future__ import annotations

import binascii
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from refsys.simulation.samples.orbits import Orbit
from refsys.simulation.samples.package import DataObject, Ring, Sample, compact, fill, iso, lat_lon

SLICE_S: Final = 25.0
POLARISATIONS: Final = ("vv", "vh")
#: Distance of the swath's near and far edges from the track, to the right (incidence 30 to 46 degrees).
NEAR_M: Final = 370_000.0
FAR_M: Final = 622_000.0
GRID: Final = 5

_SCHEMAS = {
    "s1Level1ProductSchema": ("s1-level-1-product.xsd", "product"),
    "s1Level1NoiseSchema": ("s1-level-1-noise.xsd", "noise"),
    "s1Level1CalibrationSchema": ("s1-level-1-calibration.xsd", "calibration"),
    "s1Level1MeasurementSchema": ("s1-level-1-measurement.xsd", "measurement"),
    "s1Level1ProductPreviewSchema": ("s1-product-preview.xsd", "html"),
    "s1Level1QuickLookSchema": ("s1-level-1-quicklook.xsd", "quickLook"),
    "s1Level1MapOverlaySchema": ("s1-map-overlay.xsd", "kml"),
}


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of a data take; `rows` × `columns` is the size of its measurements."""

    orbit: Orbit
    start: datetime
    number: int
    total: int
    rows: int
    columns: int
    timeliness: str = "Fast-24h"

    @property
    def stop(self) -> datetime:
        return self.start + timedelta(seconds=SLICE_S - 0.000976)

    @property
    def absolute(self) -> int:
        return self.orbit.absolute_at(self.start)

    @property
    def datatake(self) -> int:
        """Data take numbers grow by about 8.6 an orbit (S1A: 302867 in orbit 39156)."""
        return 302867 + round((self.absolute - 39156) * 8.6)

    @property
    def segment_start(self) -> datetime:
        return self.start - timedelta(seconds=SLICE_S * (self.number - 1))

    @property
    def stem(self) -> str:
        """The product's name up to the CRC."""
        return (
            f"{self.orbit.satellite}_IW_GRDH_1SDV_{compact(self.start)}_{compact(self.stop)}"
            f"_{self.absolute:06d}_{self.datatake:06X}"
        )

    def member(self, polarisation: str) -> str:
        """The name that measurement, annotation and calibration of one polarisation share."""
        number = POLARISATIONS.index(polarisation) + 1
        times = f"{compact(self.start)}-{compact(self.stop)}".lower()
        satellite = self.orbit.satellite.lower()
        return f"{satellite}-iw-grd-{polarisation}-{times}-{self.absolute:06d}-{self.datatake:06x}-{number:03d}"

    def corners(self) -> Ring:
        """Last line near and far range, first line far and near range; (longitude, latitude)."""
        beside = self.orbit.beside
        return [
            beside(self.stop, NEAR_M),
            beside(self.stop, FAR_M),
            beside(self.start, FAR_M),
            beside(self.start, NEAR_M),
        ]

    def grid(self) -> Iterable[tuple[int, int, datetime, float, float]]:
        """GRID × GRID points of the image: line, pixel, time, longitude, latitude."""
        for i in range(GRID):
            instant = self.start + (self.stop - self.start) * i / (GRID - 1)
            for j in range(GRID):
                distance = NEAR_M + (FAR_M - NEAR_M) * j / (GRID - 1)
                longitude, latitude = self.orbit.beside(instant, distance)
                yield (
                    (self.rows - 1) * i // (GRID - 1),
                    (self.columns - 1) * j // (GRID - 1),
                    instant,
                    longitude,
                    latitude,
                )


def grd(scene: Slice, *, measurement: Callable[[str], bytes], quick_look: bytes, whole: bool = True) -> Sample:
    """The product of a slice; `measurement(polarisation)` gives its TIFF. Not `whole`: without the texts for people."""
    objects = [one for polarisation in POLARISATIONS for one in _annotations(scene, polarisation, whole)]
    objects.append(_object("mapoverlay", "preview/map-overlay.kml", _map_overlay(scene), "s1Level1MapOverlaySchema"))
    if whole:
        html = _product_preview(scene, [each.path for each in objects])
        objects.append(_object("productpreview", "preview/product-preview.html", html, "s1Level1ProductPreviewSchema"))
    for polarisation in POLARISATIONS:
        path = f"measurement/{scene.member(polarisation)}.tiff"
        objects.append(_object(_id(scene.member(polarisation)), path, measurement(polarisation)))
    objects.append(_object("quicklook", "preview/quick-look.png", quick_look, "s1Level1QuickLookSchema"))
    manifest = _manifest(scene, objects)
    contents = {"manifest.safe": manifest} | {each.path: each.content for each in objects}
    if whole:
        for file, root in _SCHEMAS.values():
            contents[f"support/{file}"] = fill("schema.xsd", root=root)
    # the suffix is the CRC-16 (CCITT, preset FFFF) of the manifest: real products agree
    return Sample(f"{scene.stem}_{binascii.crc_hqx(manifest, 0xFFFF):04X}.SAFE", contents)


def _annotations(scene: Slice, polarisation: str, whole: bool) -> Iterable[DataObject]:
    member = scene.member(polarisation)
    annotation, calibration = _annotation(scene, polarisation), _calibration(scene, polarisation)
    yield _object("product" + _id(member), f"annotation/{member}.xml", annotation, "s1Level1ProductSchema")
    if whole:
        path = f"annotation/calibration/noise-{member}.xml"
        yield _object("noise" + _id(member), path, _noise(scene, polarisation), "s1Level1NoiseSchema")
    path = f"annotation/calibration/calibration-{member}.xml"
    yield _object("calibration" + _id(member), path, calibration, "s1Level1CalibrationSchema")


def _id(member: str) -> str:
    return member.replace("-", "")


def _object(id: str, path: str, content: bytes, schema: str = "s1Level1MeasurementSchema") -> DataObject:
    text = path.endswith((".xml", ".kml", ".html"))
    return DataObject(id, path, "text/xml" if text else "application/octet-stream", content, schema)


def _manifest(scene: Slice, objects: list[DataObject]) -> bytes:
    orbit, anx = scene.orbit, scene.orbit.anx_of(scene.absolute)
    processed = scene.stop + timedelta(hours=2, minutes=29)
    units = "".join(
        f'      <xfdu:contentUnit unitType="{_unit(each)}" repID="{each.schema}">\n'
        f'        <dataObjectPointer dataObjectID="{each.id}"/>\n'
        f"      </xfdu:contentUnit>\n"
        for each in objects
    )
    schemas = "".join(
        f'    <metadataObject ID="{schema}" classification="SYNTAX" category="REP">\n'
        f'      <metadataReference mimeType="text/xml" vocabularyName="XML Schema" locatorType="URL"'
        f' href="./support/{_SCHEMAS[schema][0]}"/>\n'
        f"    </metadataObject>\n"
        for schema in _SCHEMAS
        if any(each.schema == schema for each in objects)
    )
    return fill(
        "s1_manifest.xml",
        units=units,
        schemas=schemas,
        data_objects="".join(each.element() for each in objects),
        processing_start=iso(processed),
        processing_stop=iso(processed + timedelta(minutes=11)),
        raw_name=f"{orbit.satellite}_IW_RAW__0SDV_{scene.stem[17:]}_0000.SAFE",
        cospar=orbit.cospar,
        platform=orbit.platform,
        absolute=scene.absolute,
        relative=orbit.relative(scene.absolute),
        cycle=orbit.cycle_of(scene.absolute),
        direction="DESCENDING" if orbit.descending(scene.start) else "ASCENDING",
        anx=iso(anx),
        datatake=scene.datatake,
        timeliness=scene.timeliness,
        segment_start=iso(scene.segment_start),
        slice_number=scene.number,
        total_slices=scene.total,
        start=iso(scene.start),
        stop=iso(scene.stop),
        start_anx_ms=f"{(scene.start - anx).total_seconds() * 1000:.6e}",
        stop_anx_ms=f"{(scene.stop - anx).total_seconds() * 1000:.6e}",
        coordinates=lat_lon(scene.corners(), separator=","),
    )


def _unit(each: DataObject) -> str:
    return "Measurement Data Unit" if each.path.startswith("measurement/") else "Metadata Unit"


def _header(scene: Slice, polarisation: str) -> str:
    fields = {
        "missionId": scene.orbit.satellite,
        "productType": "GRD",
        "polarisation": polarisation.upper(),
        "mode": "IW",
        "swath": "IW",
        "startTime": iso(scene.start),
        "stopTime": iso(scene.stop),
        "absoluteOrbitNumber": scene.absolute,
        "missionDataTakeId": scene.datatake,
        "imageNumber": f"{POLARISATIONS.index(polarisation) + 1:03d}",
    }
    return "  <adsHeader>\n" + "".join(f"    <{k}>{v}</{k}>\n" for k, v in fields.items()) + "  </adsHeader>\n"


def _annotation(scene: Slice, polarisation: str) -> bytes:
    instants = [scene.start + timedelta(seconds=10 * step) for step in range(-2, 5)]
    points = list(scene.grid())
    return fill(
        "s1_annotation.xml",
        header=_header(scene, polarisation),
        direction="Descending" if scene.orbit.descending(scene.start) else "Ascending",
        timeliness=scene.timeliness,
        heading=f"{scene.orbit.heading(scene.start):.15e}",
        orbit_count=len(instants),
        orbit_list="".join(_orbit_state(scene.orbit, instant) for instant in instants),
        start=iso(scene.start),
        stop=iso(scene.stop),
        anx=iso(scene.orbit.anx_of(scene.absolute)),
        segment_start=iso(scene.segment_start),
        slice_number=scene.number,
        range_spacing=f"{(FAR_M - NEAR_M) / scene.columns:.6e}",
        azimuth_spacing=f"{SLICE_S * 6_800.0 / scene.rows:.6e}",
        line_interval=f"{SLICE_S / scene.rows:.15e}",
        columns=scene.columns,
        rows=scene.rows,
        grid_count=len(points),
        grid_points="".join(
            f"      <geolocationGridPoint><azimuthTime>{iso(instant)}</azimuthTime><line>{line}</line>"
            f"<pixel>{pixel}</pixel><latitude>{latitude:.15e}</latitude><longitude>{longitude:.15e}</longitude>"
            f"<height>0.000000000000000e+00</height></geolocationGridPoint>\n"
            for line, pixel, instant, longitude, latitude in points
        ),
    )


def _orbit_state(orbit: Orbit, instant: datetime) -> str:
    position, velocity = (
        "".join(f"<{axis}>{value:.6e}</{axis}>" for axis, value in zip("xyz", vector, strict=True))
        for vector in orbit.state(instant)
    )
    return (
        f"      <orbit><time>{iso(instant)}</time><frame>Earth Fixed</frame>"
        f"<position>{position}</position><velocity>{velocity}</velocity></orbit>\n"
    )


def _vectors(scene: Slice, element: str, values: dict[str, Callable[[int], float]]) -> str:
    """Two vectors along range, at the first and the last line."""
    pixels = [*range(0, scene.columns - 1, 40), scene.columns - 1]
    body = "".join(
        f'    <{name} count="{len(pixels)}">{" ".join(f"{value(pixel):.6e}" for pixel in pixels)}</{name}>\n'
        for name, value in values.items()
    )
    pixel_list = f'    <pixel count="{len(pixels)}">{" ".join(map(str, pixels))}</pixel>\n'
    return "".join(
        f"   <{element}>\n    <azimuthTime>{iso(instant)}</azimuthTime>\n    <line>{line}</line>\n"
        f"{pixel_list}{body}   </{element}>\n"
        for instant, line in ((scene.start, 0), (scene.stop, scene.rows - 1))
    )


def _calibration(scene: Slice, polarisation: str) -> bytes:
    def table(factor: float) -> Callable[[int], float]:
        return lambda pixel: factor * (1 - 0.1 * math.sin(math.pi * pixel / scene.columns))

    values = {"sigmaNought": table(330.0), "betaNought": lambda _: 237.0, "gamma": table(310.0), "dn": lambda _: 237.0}
    vectors = _vectors(scene, "calibrationVector", values)
    return fill("s1_calibration.xml", header=_header(scene, polarisation), vectors=vectors)


def _noise(scene: Slice, polarisation: str) -> bytes:
    vectors = _vectors(scene, "noiseRangeVector", {"noiseRangeLut": lambda pixel: 900.0 + pixel})
    return fill("s1_noise.xml", header=_header(scene, polarisation), vectors=vectors)


def _map_overlay(scene: Slice) -> bytes:
    coordinates = " ".join(f"{longitude:.6f},{latitude:.6f}" for longitude, latitude in scene.corners())
    return fill("s1_map_overlay.kml", coordinates=coordinates)


def _product_preview(scene: Slice, paths: list[str]) -> bytes:
    links = "".join(f'<li><a href="../{path}">{path}</a></li>\n' for path in paths)
    return fill("s1_product_preview.html", title=scene.stem, links=links)
