"""What STAC items have to be: the schema of STAC 1.1, and what the extensions that ours name allow."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from jsonschema import Draft7Validator, FormatChecker
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

from refsys.distribution.stac.items import COMMON, EXTENSIONS, STAC_VERSION

_SCHEMA = f"https://schemas.stacspec.org/v{STAC_VERSION}/item-spec/json-schema/item.json"
_COLLECTION = _SCHEMA.replace("item", "collection")
_SCHEMAS = get_local_schema_cache()
_REGISTRY = Registry().with_resources((url, Resource.from_contents(schema)) for url, schema in _SCHEMAS.items())
_VALIDATOR = Draft7Validator(_SCHEMAS[_SCHEMA], registry=_REGISTRY, format_checker=FormatChecker())
_OF_COLLECTIONS = Draft7Validator(_SCHEMAS[_COLLECTION], registry=_REGISTRY, format_checker=FormatChecker())

Check = Callable[[Any], bool]


def _texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(item, str) for item in value)


def _matches(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _integer(least: int, most: int | None = None) -> Check:
    return lambda value: type(value) is int and least <= value and (most is None or value <= most)


_TEXT = _matches("(?s).+")
_INSTANT = _matches(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
#: The fields of the extensions in the versions that items name, as far as ours have them.
FIELDS: dict[str, Check] = {
    "eo:cloud_cover": lambda value: type(value) is float and 0 <= value <= 100,
    "eopf:datatake_id": _TEXT,
    "eopf:datastrip_id": _TEXT,
    "eopf:instrument_mode": _TEXT,
    "eopf:instrument_configuration_id": _integer(0),
    "grid:code": _matches(r"MGRS-\d\d[C-X][A-Z]{2}"),
    "mgrs:utm_zone": _integer(1, 60),
    "mgrs:latitude_band": _matches("[C-HJ-NP-X]"),
    "mgrs:grid_square": _matches("[A-Z]{2}"),
    "processing:level": _matches("L[0-3]"),
    "processing:facility": _TEXT,
    "processing:datetime": _INSTANT,
    "processing:version": _TEXT,
    "product:type": _TEXT,
    "product:timeliness": _matches(r"P(\d+D|T\d+[HS])"),
    "product:timeliness_category": _TEXT,
    "sar:instrument_mode": _TEXT,
    "sar:frequency_band": _matches("C"),
    "sar:center_frequency": lambda value: value == 5.405,
    "sar:polarizations": lambda value: _texts(value) and set(value) <= {"HH", "VV", "HV", "VH"},
    "sar:beam_ids": _texts,
    "sat:platform_international_designator": _TEXT,
    "sat:orbit_state": _matches("ascending|descending"),
    "sat:absolute_orbit": _integer(1),
    "sat:relative_orbit": _integer(1),
    "sat:orbit_cycle": _integer(1),
    "sat:anx_datetime": _INSTANT,
    "file:size": _integer(0),
    "file:checksum": _matches(r"d50110[0-9a-f]{32}|1e20[0-9a-f]{64}"),
    "file:local_path": _matches(r"(?!-)[^/]+(?<!-)(/(?!-)[^/]+(?<!-))*"),
    "alternate:name": _TEXT,
}


def collection_problems(collection: dict[str, Any]) -> list[str]:
    """What is wrong with a collection; nothing where it is sound."""
    return [f"{error.json_path}: {error.message[:200]}" for error in _OF_COLLECTIONS.iter_errors(collection)]


def problems(item: dict[str, Any]) -> list[str]:
    """What is wrong with an item; nothing where it is sound."""
    found = [f"{error.json_path}: {error.message[:200]}" for error in _VALIDATOR.iter_errors(item)]
    properties = item["properties"]
    used = {name.partition(":")[0] for name in properties if ":" in name} - {"refsys"}
    named = {EXTENSIONS[prefix] for prefix in used} | set(COMMON)
    if set(item["stac_extensions"]) != named:
        found.append(f"stac_extensions {item['stac_extensions']}, not {sorted(named)}")
    for members in (properties, *item["assets"].values()):
        for name, value in members.items():
            if ":" in name and not name.startswith("refsys:") and not FIELDS.get(name, lambda _: False)(value):
                found.append(f"{name}: {value!r}")
    if "product:timeliness_category" in properties and "product:timeliness" not in properties:
        found.append("product:timeliness_category without product:timeliness")
    if (item["geometry"] is None) == ("bbox" in item):
        found.append("bbox without geometry, or geometry without bbox")
    if control := re.search("[\x00-\x1f]", str(item)):
        found.append(f"a place that was not filled: {control[0]!r}")
    return found
