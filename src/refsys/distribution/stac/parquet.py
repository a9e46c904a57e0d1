"""Items as stac-geoparquet 1.1, which is GeoParquet 1.1: a row an item, its properties as columns.

The columns are those that the tables can make, whatever is written: so items are written as they come, in bounded
memory. Without footprint there is neither geometry nor bbox. A bbox has west > east across the antimeridian, as in
items. Formats: https://radiantearth.github.io/stac-geoparquet-spec and https://geoparquet.org.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import shapely

from refsys.core.errors import ConfigurationError
from refsys.core.times import parse_instant
from refsys.distribution.stac.assets import KEYS
from refsys.missions import TypeRegistry
from refsys.missions.stac import FieldType

try:
    import pyarrow as pa
    from pyarrow import parquet
except ModuleNotFoundError as error:
    raise ConfigurationError(
        "stac-geoparquet needs the package pyarrow, which is not installed",
        advice="pip install pyarrow, or --format ndjson",
    ) from error

#: Items of one row group: what is held in memory.
GROUP: Final = 5000

_INSTANT: Final = pa.timestamp("us", tz="UTC")
_TYPES: Final[dict[FieldType, pa.DataType]] = {
    "String": pa.string(),
    "Integer": pa.int64(),
    "Double": pa.float64(),
    "DateTimeOffset": _INSTANT,
    "Boolean": pa.bool_(),
    "Strings": pa.list_(pa.string()),
}
#: The properties that the tables do not make.
_PROPERTIES: Final[dict[str, FieldType]] = {
    **dict.fromkeys(("datetime", "start_datetime", "end_datetime"), "DateTimeOffset"),
    **dict.fromkeys(("created", "published", "updated", "expires"), "DateTimeOffset"),
    "refsys:online": "Boolean",
    "product:type": "String",
    "product:timeliness": "String",
    "sar:frequency_band": "String",
    "sar:center_frequency": "Double",
}
_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
_LINK: Final = pa.struct([(name, pa.string()) for name in ("rel", "href", "type")])
_ALTERNATE: Final = pa.struct([("s3", pa.struct([("href", pa.string()), ("alternate:name", pa.string())]))])
_ASSET: Final = pa.struct(
    [
        *((name, pa.string()) for name in ("href", "title", "type")),
        ("roles", pa.list_(pa.string())),
        ("file:size", pa.int64()),
        ("file:checksum", pa.string()),
        ("file:local_path", pa.string()),
        ("alternate:name", pa.string()),
        ("alternate", _ALTERNATE),
    ]
)
_GEO: Final = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {
        "geometry": {
            "encoding": "WKB",
            "geometry_types": [],
            "covering": {"bbox": {corner: ["bbox", corner] for corner in _CORNERS}},
        }
    },
}
_STAC: Final = {"version": "1.1.0"}


def schema_of(types: TypeRegistry) -> pa.Schema:
    """The columns of all items that these tables make."""
    kinds = dict(_PROPERTIES)
    for definition in types.attributes.values():
        kinds |= {field.name: field.type for field in definition.stac}
    columns: dict[str, Any] = {}
    for name, kind in sorted(kinds.items()):
        group, dot, member = name.partition(".")
        if dot:
            columns.setdefault(group, []).append((member, _TYPES[kind]))
        else:
            columns[name] = _TYPES[kind]
    return pa.schema(
        [
            ("type", pa.string()),
            ("stac_version", pa.string()),
            ("stac_extensions", pa.list_(pa.string())),
            ("id", pa.string()),
            ("collection", pa.string()),
            ("geometry", pa.binary()),
            ("bbox", pa.struct([(corner, pa.float64()) for corner in _CORNERS])),
            ("links", pa.list_(_LINK)),
            ("assets", pa.struct([(key, _ASSET) for key in KEYS])),
            *((name, pa.struct(kind) if isinstance(kind, list) else kind) for name, kind in columns.items()),
        ],
        metadata={"geo": orjson.dumps(_GEO), "stac-geoparquet": orjson.dumps(_STAC)},
    )


class ParquetWriter:
    """Writes items as they come. It is complete when it is closed."""

    def __init__(self, path: Path, types: TypeRegistry) -> None:
        self._schema = schema_of(types)
        self._instants = [field.name for field in self._schema if field.type == _INSTANT]
        self._waiting: list[str] = []
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, items: Sequence[str]) -> None:
        """Items as JSON texts."""
        self._waiting += items
        while len(self._waiting) >= GROUP:
            self._write(self._waiting[:GROUP])
            del self._waiting[:GROUP]

    def close(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            if waiting:
                self._write(waiting)
        finally:
            self._writer.close()

    def _write(self, items: Sequence[str]) -> None:
        rows = [orjson.loads(item) for item in items]
        shapes = shapely.from_geojson([orjson.dumps(row["geometry"]).decode() for row in rows if row["geometry"]])
        places: Iterator[bytes] = iter(shapely.to_wkb(shapes))
        table = pa.Table.from_pylist([self._row(row, places) for row in rows], schema=self._schema)
        self._writer.write_table(table)

    def _row(self, item: dict[str, Any], places: Iterator[bytes]) -> dict[str, Any]:
        row = {**item, **item.pop("properties")}
        row["geometry"] = next(places) if item["geometry"] else None
        if "bbox" in item:
            row["bbox"] = dict(zip(_CORNERS, item["bbox"], strict=True))
        for name in self._instants:
            if row.get(name) is not None:
                row[name] = parse_instant(row[name])
        return row
