"""Sentinel-2 user products: one tile as L1C or L2A, in the compact SAFE of the S2 PSD (S2-PDGS-TAS-DI-PSD), issue 15.

Rasters are thinned (`EDGE`); the tile metadata states the sizes and spacings that the files really have, so that
image and footprint agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

import numpy as np

from refsys.simulation.samples import rasters
from refsys.simulation.samples.orbits import Orbit
from refsys.simulation.samples.package import DataObject, Sample, compact, fill, lat_lon
from refsys.simulation.samples.rasters import Array
from refsys.simulation.samples.tiles import TILE_M, Tile

BASELINE: Final = "05.11"
#: Pixels along the edge of a tile at each resolution (m): real ones have 10980, 5490, 1830.
EDGE: Final = {10: 240, 20: 120, 60: 40}
_NATIVE = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20,
    "B08": 10, "B8A": 20, "B09": 60, "B10": 60, "B11": 20, "B12": 20,
}  # fmt: skip
#: Reflectances of water, plants and soil in the order of `_NATIVE`.
_REFLECTANCES = (
    (0.09, 0.08, 0.06, 0.03, 0.03, 0.02, 0.02, 0.02, 0.02, 0.01, 0.00, 0.01, 0.01),
    (0.05, 0.05, 0.09, 0.05, 0.13, 0.31, 0.38, 0.40, 0.42, 0.40, 0.01, 0.22, 0.11),
    (0.11, 0.12, 0.16, 0.21, 0.24, 0.26, 0.28, 0.30, 0.31, 0.31, 0.01, 0.38, 0.33),
)
_L2A_BANDS = {
    10: ("AOT", "B02", "B03", "B04", "B08", "TCI", "WVP"),
    20: ("AOT", "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B11", "B12", "B8A", "SCL", "TCI", "WVP"),
    60: ("AOT", "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B09", "B11", "B12", "B8A", "SCL", "TCI", "WVP"),
}
_CHECKS = ("FORMAT_CORRECTNESS", "GENERAL_QUALITY", "GEOMETRIC_QUALITY", "RADIOMETRIC_QUALITY", "SENSOR_QUALITY")
_EMPTY_FOLDERS = ("AUX_DATA", "HTML", "rep_info")


@dataclass(frozen=True)
class Acquisition:
    """A tile seen in one pass: the data take begins at `start`, the tile is seen at `sensing`."""

    orbit: Orbit
    tile: Tile
    sensing: datetime
    seed: int

    @property
    def absolute(self) -> int:
        return self.orbit.absolute_at(self.sensing)

    @property
    def start(self) -> datetime:
        return (self.sensing - timedelta(minutes=6)).replace(microsecond=24_000)

    @property
    def strip_start(self) -> datetime:
        return (self.sensing - timedelta(seconds=95)).replace(microsecond=0)

    @property
    def direction(self) -> str:
        return "DESCENDING" if self.orbit.descending(self.sensing) else "ASCENDING"

    @cached_property
    def ground(self) -> Array:
        return rasters.texture(self.seed, EDGE[10], EDGE[10])

    @cached_property
    def clouds(self) -> Array:
        """True where a cloud covers the ground."""
        return rasters.texture(self.seed + 1, EDGE[10], EDGE[10]) > 0.72

    @property
    def cloud_cover(self) -> float:
        return float(self.clouds.mean() * 100)

    def band(self, name: str, resolution: int) -> Array:
        """Digital numbers as the format scales them: reflectance × 10000 + 1000."""
        step = EDGE[10] // EDGE[resolution]
        ground, clouds = self.ground[::step, ::step], self.clouds[::step, ::step]
        if name in {"AOT", "WVP"}:
            return rasters.numbers(0.2 + 0.1 * ground, 1000)
        if name == "SCL":
            # scene classification: 4 vegetation, 5 not vegetated, 6 water, 9 cloud of high probability
            classes = np.select([ground < 0.25, ground < 0.6], [6, 4], 5)
            return np.where(clouds, 9, classes).astype(np.uint8)
        water, plants, soil = (spectrum[list(_NATIVE).index(name)] for spectrum in _REFLECTANCES)
        surface = np.select([ground < 0.25, ground < 0.6], [water, plants], soil) * (0.5 + ground)
        return (1000 + 10_000 * np.where(clouds, 0.8, surface)).astype(np.uint16)

    def true_colour(self, resolution: int) -> bytes:
        bands = (self.band(name, resolution) for name in ("B04", "B03", "B02"))
        return rasters.jp2_picture(*((band.astype(float) - 1000) / 3500 for band in bands))


@dataclass(frozen=True)
class _Product:
    """The names and fields that the documents of one product share."""

    seen: Acquisition
    level: str
    created: datetime

    @property
    def name(self) -> str:
        seen = self.seen
        return (
            f"{seen.orbit.satellite}_MSIL{self.level}_{compact(seen.start)}_N{BASELINE.replace('.', '')}"
            f"_R{seen.orbit.relative(seen.absolute):03d}_T{seen.tile.name}_{compact(self.created)}.SAFE"
        )

    @property
    def centre(self) -> str:
        return f"2{self.seen.orbit.platform}PS"

    @property
    def datastrip(self) -> str:
        return f"DATASTRIP/DS_{self.centre}_{compact(self.created)}_S{compact(self.seen.strip_start)}"

    @property
    def granule(self) -> str:
        seen = self.seen
        return f"GRANULE/L{self.level}_T{seen.tile.name}_A{seen.absolute:06d}_{compact(seen.strip_start)}"

    def image(self, band: str, resolution: int) -> str:
        """Path of an image without suffix, as the product metadata lists it."""
        stem = f"T{self.seen.tile.name}_{compact(self.seen.start)}_{band}"
        if self.level == "1C":
            return f"{self.granule}/IMG_DATA/{stem}"
        return f"{self.granule}/IMG_DATA/R{resolution}m/{stem}_{resolution}m"

    @property
    def preview(self) -> str:
        return f"{self.granule}/QI_DATA/T{self.seen.tile.name}_{compact(self.seen.start)}_PVI"

    def fields(self) -> dict[str, object]:
        """What the templates share."""
        seen, orbit = self.seen, self.seen.orbit
        pdi = f"{orbit.satellite}_OPER_MSI_L{self.level}_{{}}_{self.centre}_{compact(self.created)}"
        return {
            "name": self.name,
            "level": self.level,
            "level_lower": self.level.lower(),
            "platform": orbit.platform,
            "cospar": orbit.cospar,
            "baseline": BASELINE,
            "centre": self.centre,
            "absolute": f"{seen.absolute:06d}",
            "relative": orbit.relative(seen.absolute),
            "direction": seen.direction,
            "start": _z(seen.start),
            "sensing": _z(seen.sensing),
            "strip_start": _z(seen.strip_start),
            "strip_stop": _z(seen.sensing + timedelta(seconds=40)),
            "created": _z(self.created),
            "date": self.created.strftime("%Y-%m-%d"),
            "datatake": f"G{orbit.satellite}_{compact(seen.start)}_{seen.absolute:06d}_N{BASELINE}",
            "datastrip_id": f"{pdi.format('DS')}_S{compact(seen.strip_start)}_N{BASELINE}",
            "tile_id": f"{pdi.format('TL')}_A{seen.absolute:06d}_T{seen.tile.name}_N{BASELINE}",
            "coordinates": lat_lon(seen.tile.ring(), separator=" ", digits=10),
            "cloud_cover": f"{seen.cloud_cover:.6f}",
            "preview": self.preview,
        }


def msi(seen: Acquisition, level: str) -> Sample:
    """The product of a tile: level `1C` or `2A`."""
    hours = {"1C": 2.5, "2A": 4.25}[level]
    created = seen.start.replace(microsecond=0) + timedelta(hours=hours)
    product = _Product(seen, level, created)
    images = dict(_images(product))
    objects = [
        DataObject(
            f"S2_Level-{level}_Product_Metadata", f"MTD_MSIL{level}.xml", "text/xml", _metadata(product, images)
        ),
        DataObject("INSPIRE_Metadata", "INSPIRE.xml", "text/xml", _inspire(product)),
        *_datastrip(product),
        *(_image_object(path, content) for path, content in images.items()),
        *_tile(product),
    ]
    units = "".join(
        f'      <xfdu:contentUnit ID="{each.id}_Unit">\n'
        f'        <dataObjectPointer dataObjectID="{each.id}"/>\n'
        f"      </xfdu:contentUnit>\n"
        for each in objects
    )
    data_objects = "".join(each.element(algorithm="SHA3-256") for each in objects)
    fields = product.fields() | {"direction": seen.direction.lower(), "units": units, "data_objects": data_objects}
    fields["relative"] = f"{fields['relative']:03d}"
    contents = {"manifest.safe": fill("s2_manifest.xml", **fields)} | {each.path: each.content for each in objects}
    return Sample(product.name, contents, (*_EMPTY_FOLDERS, f"{product.granule}/AUX_DATA"))


def _z(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"


def _images(product: _Product) -> Iterable[tuple[str, bytes]]:
    """Path with suffix and bytes of each image."""
    seen = product.seen
    wanted = [(10, "TCI"), *((resolution, band) for band, resolution in _NATIVE.items())]
    if product.level == "2A":
        wanted = [(resolution, band) for resolution, bands in _L2A_BANDS.items() for band in bands]
    for resolution, band in wanted:
        path = product.image(band, resolution) + ".jp2"
        yield path, seen.true_colour(resolution) if band == "TCI" else rasters.jp2(seen.band(band, resolution))


def _image_object(path: str, content: bytes) -> DataObject:
    stem = path.rsplit("/", 1)[1].removesuffix(".jp2")
    return DataObject(f"IMG_DATA_{stem}", path, "application/octet-stream", content)


def _metadata(product: _Product, images: Iterable[str]) -> bytes:
    listed = "".join(f"            <IMAGE_FILE>{path.removesuffix('.jp2')}</IMAGE_FILE>\n" for path in images)
    offsets, quantification = ("RADIO_ADD_OFFSET", '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>')
    content_quality = ""
    if product.level == "2A":
        offsets = "BOA_ADD_OFFSET"
        quantification = (
            '<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>'
            '<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>'
            '<WVP_QUANTIFICATION_VALUE unit="cm">1000.0</WVP_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>'
        )
        content_quality = _content_quality(product.seen)
    listed_offsets = "".join(f'<{offsets} band_id="{number}">-1000</{offsets}>' for number in range(len(_NATIVE)))
    group = "Radiometric_Offset_List" if product.level == "1C" else "BOA_ADD_OFFSET_VALUES_LIST"
    return fill(
        "s2_product.xml",
        **product.fields(),
        images=listed,
        quantification=f"      {quantification}\n      <{group}>{listed_offsets}</{group}>\n",
        content_quality=content_quality,
    )


def _content_quality(seen: Acquisition) -> str:
    classes = seen.band("SCL", 20)
    shares = {"VEGETATION": 4, "NOT_VEGETATED": 5, "WATER": 6, "HIGH_PROBA_CLOUDS": 9}
    lines = "".join(
        f"      <{name}_PERCENTAGE>{(classes == number).mean() * 100:.6f}</{name}_PERCENTAGE>\n"
        for name, number in shares.items()
    )
    return f"    <Image_Content_QI>\n{lines}    </Image_Content_QI>\n"


def _inspire(product: _Product) -> bytes:
    longitudes, latitudes = zip(*product.seen.tile.ring(), strict=True)
    # across the antimeridian west is the larger number (RFC 7946, 5.2)
    crosses = max(longitudes) - min(longitudes) > 180
    west = min(x for x in longitudes if x > 0) if crosses else min(longitudes)
    east = max(x for x in longitudes if x < 0) if crosses else max(longitudes)
    return fill("s2_inspire.xml", **product.fields(), west=west, east=east, south=min(latitudes), north=max(latitudes))


def _reports(product: _Product, folder: str, parent: str, label: str) -> Iterable[DataObject]:
    for check in _CHECKS:
        content = fill("s2_quality.xml", parent=parent, check=check, date=_z(product.created))
        yield DataObject(f"{check}_{label}", f"{folder}/QI_DATA/{check}.xml", "application/xml", content)


def _datastrip(product: _Product) -> Iterable[DataObject]:
    fields = product.fields()
    path = f"{product.datastrip}/MTD_DS.xml"
    content = fill("s2_datastrip.xml", **fields)
    yield DataObject(f"S2_Level-{product.level}_Datastrip1_Metadata", path, "application/xml", content)
    yield from _reports(product, product.datastrip, str(fields["datastrip_id"]), "Datastrip1")


def _tile(product: _Product) -> Iterable[DataObject]:
    fields, tile, seen = product.fields(), product.seen.tile, product.seen
    zenith, azimuth = _sun(*tile.geographic(tile.ulx + TILE_M / 2, tile.uly - TILE_M / 2), seen.sensing)
    content = fill(
        "s2_tile.xml",
        **fields,
        zone=f"{tile.zone:02d}{'S' if tile.south else 'N'}",
        epsg=tile.epsg,
        sizes="".join(
            f'      <Size resolution="{resolution}"><NROWS>{edge}</NROWS><NCOLS>{edge}</NCOLS></Size>\n'
            for resolution, edge in EDGE.items()
        ),
        positions="".join(
            f'      <Geoposition resolution="{resolution}"><ULX>{tile.ulx}</ULX><ULY>{tile.uly}</ULY>'
            f"<XDIM>{TILE_M / edge:g}</XDIM><YDIM>{-TILE_M / edge:g}</YDIM></Geoposition>\n"
            for resolution, edge in EDGE.items()
        ),
        sun_zenith=f"{zenith:.6f}",
        sun_azimuth=f"{azimuth:.6f}",
    )
    yield DataObject(f"S2_Level-{product.level}_Tile1_Metadata", f"{product.granule}/MTD_TL.xml", "text/xml", content)
    yield from _reports(product, product.granule, str(fields["tile_id"]), "Tile1")
    path = f"{product.preview}.jp2"
    yield DataObject("Preview_0_Tile1_Data", path, "application/octet-stream", seen.true_colour(60))


def _sun(longitude: float, latitude: float, instant: datetime) -> tuple[float, float]:
    """Zenith and azimuth of the sun in degrees, good to a degree or two (no equation of time)."""
    day = instant.timetuple().tm_yday
    declination = math.radians(-23.44 * math.cos(math.tau * (day + 10) / 365.25))
    hour = math.radians(15 * (instant.hour + instant.minute / 60 - 12) + longitude)
    phi = math.radians(latitude)
    cosine = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour)
    east = -math.sin(hour) * math.cos(declination)
    north = math.sin(declination) * math.cos(phi) - math.cos(declination) * math.cos(hour) * math.sin(phi)
    return math.degrees(math.acos(cosine)), math.degrees(math.atan2(east, north)) % 360
