"""Sentinel-3 packages: what every .SEN3 has in common (S3IPF.PDS.008, metadata specification)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from refsys.simulation.samples.orbits import Orbit
from refsys.simulation.samples.package import DataObject, Ring, Sample, compact, fill, iso, lat_lon

#: Names of files that hold measurements; everything else is annotation.
_MEASURES = ("radiance", "measurement")


@dataclass(frozen=True, slots=True)
class Kind:
    """A product type: its name in 11 characters, the names around its instrument, and where and how it is made."""

    type: str
    level: int
    instrument: str
    instrument_name: str
    title: str
    centre: str
    timeliness: str
    baseline: str
    delay: timedelta

    @property
    def prefix(self) -> str:
        return self.instrument.lower()


@dataclass(frozen=True, slots=True)
class Acquisition:
    """A frame (`along_track_s` = seconds from the node to its start) or, without that, a stripe."""

    orbit: Orbit
    start: datetime
    stop: datetime
    along_track_s: int | None = None

    @property
    def absolute(self) -> int:
        return self.orbit.absolute_at(self.start)

    @property
    def duration_s(self) -> int:
        return int((self.stop - self.start).total_seconds())

    def instants(self, count: int) -> list[datetime]:
        """Evenly from start to stop."""
        return [self.start + (self.stop - self.start) * step / (count - 1) for step in range(count)]

    def swath(self, left_m: float, right_m: float, count: int) -> Ring:
        """Outline of a swath between two distances to the right of the track, closed."""
        instants = self.instants(count)
        right = [self.orbit.beside(instant, right_m) for instant in instants]
        left = [self.orbit.beside(instant, left_m) for instant in reversed(instants)]
        return [*right, *left, right[0]]


def sen3(
    kind: Kind, seen: Acquisition, *, ring: Ring, contents: Mapping[str, bytes], information: Sequence[str]
) -> Sample:
    """The package of netCDF files `contents` (file name → bytes); `information` are the lines about the instrument."""
    created = (seen.stop + kind.delay).replace(microsecond=0)
    orbit, absolute = seen.orbit, seen.absolute
    relative, cycle = orbit.relative(absolute), orbit.cycle_of(absolute)
    coordinate = "____" if seen.along_track_s is None else f"{seen.along_track_s:04d}"
    name = (
        f"{orbit.satellite}_{kind.type}_{compact(seen.start)}_{compact(seen.stop)}_{compact(created)}"
        f"_{seen.duration_s:04d}_{cycle:03d}_{relative:03d}_{coordinate}_{kind.centre}_O_{kind.timeliness}"
        f"_{kind.baseline}.SEN3"
    )
    objects = [DataObject(f"{_id(path)}Data", path, "application/x-netcdf", contents[path]) for path in contents]
    descending = orbit.descending(seen.start)
    anx = orbit.anx_of(absolute)
    (x, y, z), (vx, vy, vz) = orbit.state(anx)
    manifest = fill(
        "s3_manifest.xml",
        name=name,
        prefix=kind.prefix,
        level=kind.level,
        title=kind.title,
        type=kind.type,
        instrument=kind.instrument,
        instrument_name=kind.instrument_name,
        timeliness=kind.timeliness,
        baseline=kind.baseline,
        centre=kind.centre,
        units="".join(_unit(each) for each in objects),
        data_objects="".join(each.element(prefix="./" if kind.instrument == "OLCI" else "") for each in objects),
        information="".join(f"            {line}\n" for line in information),
        product_unit=_product_unit(seen),
        start=iso(seen.start, "Z"),
        stop=iso(seen.stop, "Z"),
        creation=compact(created),
        processing_start=iso(created - timedelta(minutes=9), "Z"),
        processing_stop=iso(created, "Z"),
        dump_start=iso(seen.start - timedelta(minutes=42), "Z"),
        received=iso(seen.stop + timedelta(minutes=57), "Z"),
        positions=lat_lon(ring, separator=" ", digits=4),
        size=sum(map(len, contents.values())),
        cospar=orbit.cospar,
        platform=orbit.platform,
        absolute=absolute,
        relative=relative,
        cycle=cycle,
        direction="descending" if descending else "ascending",
        pass_number=2 * absolute - (not descending),
        relative_pass=2 * relative - (not descending),
        anx=iso(anx, "Z"),
        **{
            axis: f"{value:.6f}"
            for axis, value in zip(("x", "y", "z", "vx", "vy", "vz"), (x, y, z, vx, vy, vz), strict=True)
        },
    )
    return Sample(name, {"xfdumanifest.xml": manifest, **contents})


def _id(path: str) -> str:
    """The data object's id: `Oa01_radiance`, else camel case (`tie_geo_coordinates.nc` is tieGeoCoordinates)."""
    stem = path.removesuffix(".nc")
    if stem.startswith("Oa"):
        return stem
    first, *rest = stem.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _unit(each: DataObject) -> str:
    kind = "Measurement" if any(word in each.path for word in _MEASURES) else "Annotation"
    return (
        f'      <xfdu:contentUnit ID="{each.id.removesuffix("Data")}Unit" unitType="{kind} Data Unit">\n'
        f'        <dataObjectPointer dataObjectID="{each.id}"/>\n'
        f"      </xfdu:contentUnit>\n"
    )


def _product_unit(seen: Acquisition) -> str:
    fields: dict[str, object] = {"type": "STRIPE", "duration": seen.duration_s}
    if seen.along_track_s is not None:
        fields |= {"type": "FRAME", "alongtrackCoordinate": seen.along_track_s}
    return "".join(f"              <sentinel3:{k}>{v}</sentinel3:{k}>\n" for k, v in fields.items())
