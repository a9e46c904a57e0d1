"""How attributes become fields of STAC items: named transforms, which the column `stac` of attributes refers to.

A transform makes a value that the field's extension allows, or None where the attribute's value cannot be made one: the
item then lacks the field. Names and meanings are those of the Copernicus Data Space (standards 2.5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from refsys.core.times import format_instant, parse_instant

#: The kinds of values that fields have; `Strings` is a list of texts.
FieldType = Literal["String", "Integer", "Double", "DateTimeOffset", "Boolean", "Strings"]
#: Attributes of a product, by name.
Attributes = Mapping[str, Any]

#: Members that items have anyway: no attribute can be one of them.
RESERVED: Final = frozenset(
    (
        *("type", "id", "stac_version", "stac_extensions", "collection", "geometry", "bbox", "links", "assets"),
        *("properties", "datetime", "start_datetime", "end_datetime", "created", "published", "updated", "expires"),
        *("product:type", "product:timeliness", "sar:frequency_band", "sar:center_frequency", "refsys:online"),
    )
)
#: One name, with the prefix of its extension or below another name: `eo:cloud_cover`, `statistics.land`.
FIELD: Final = r"^[a-z][a-z0-9_]*([:.][a-z][a-z0-9_]*)?$"

#: What the template of a collection's name can refer to besides groups of the product's name.
COLLECTION_NAMES: Final = ("constellation", "product_type", "timeliness_category")

#: As core.times.format_instant writes it.
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z", re.ASCII)
_LEVEL: Final = re.compile(r"(?:LEVEL|S2MSI)?([0-3])[ABC]?")
_TILE: Final = re.compile(r"T?(0[1-9]|[1-5][0-9]|60)([C-HJ-NP-X])([A-HJ-NP-Z]{2})")
_POLARISATIONS: Final = frozenset({"HH", "VV", "HV", "VH"})


@dataclass(frozen=True, slots=True)
class Transform:
    """What makes a field's value of an attribute's value and all the product's attributes; the type that it has."""

    make: Callable[[Any, Attributes], Any]
    type: FieldType


@dataclass(frozen=True, slots=True)
class StacField:
    """Where an attribute stands in items: its name there, the kind of its value, and what makes that."""

    name: str
    type: FieldType
    transform: str = ""

    def value(self, value: Any, attributes: Attributes) -> Any:
        """The field's value; None where it has none."""
        if self.transform:
            return TRANSFORMS[self.transform].make(value, attributes)
        return value if _is_of(self.type, value) else None


def _is_of(kind: FieldType, value: Any) -> bool:
    """Whether a value is what its attribute's definition says now; another one may have given it."""
    match kind:
        case "Strings":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case "Boolean":
            return isinstance(value, bool)
        case "Integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "Double":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "String":
            return isinstance(value, str)
        case "DateTimeOffset":
            return isinstance(value, str) and _INSTANT.fullmatch(value) is not None


def _lower(value: Any, _: Attributes) -> str:
    return str(value).lower()


def _lower_list(value: Any, _: Attributes) -> list[str] | None:
    return [str(item).lower() for item in (value if isinstance(value, list) else [value])] or None


def _instruments(value: Any, _: Attributes) -> list[str]:
    name = str(value).lower()
    # synergy is no instrument: the products are made of what two of them saw
    return ["olci", "slstr"] if name == "synergy" else [name]


def _platform(value: Any, attributes: Attributes) -> str | None:
    mission = attributes.get("platformShortName")
    return f"{mission}{value}".lower() if isinstance(mission, str) and re.fullmatch("[A-Z]", str(value)) else None


def _level(value: Any, _: Attributes) -> str | None:
    match = _LEVEL.fullmatch(str(value))
    return f"L{match[1]}" if match else None


def _positive(value: Any, _: Attributes) -> int | None:
    return value if _is_of("Integer", value) and value >= 1 else None


def _percent(value: Any, _: Attributes) -> float | None:
    return float(value) if _is_of("Double", value) and 0 <= value <= 100 else None


def _orbit_state(value: Any, _: Attributes) -> str | None:
    state = str(value).lower()
    return state if state in ("ascending", "descending") else None


def _node(value: Any, attributes: Attributes) -> str | None:
    """When the ascending node was crossed: milliseconds before the start."""
    try:
        return format_instant(parse_instant(attributes["beginningDateTime"]) - timedelta(milliseconds=value))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _polarisations(value: Any, _: Attributes) -> list[str] | None:
    known = [item for item in value if item in _POLARISATIONS] if isinstance(value, list) else []
    return list(dict.fromkeys(known)) or None


def _radar_mode(value: Any, attributes: Attributes) -> str | None:
    return str(value) if attributes.get("instrumentShortName") == "SAR" else None


def _other_mode(value: Any, attributes: Attributes) -> str | None:
    return None if attributes.get("instrumentShortName") == "SAR" else str(value)


def _integer(value: Any, _: Attributes) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None


def _text(value: Any, _: Attributes) -> str:
    return str(value)


def _tile(form: str) -> Callable[[Any, Attributes], str | None]:
    def make(value: Any, _: Attributes) -> str | None:
        match = _TILE.fullmatch(str(value))
        return match.expand(form) if match else None

    return make


def _zone(value: Any, _: Attributes) -> int | None:
    match = _TILE.fullmatch(str(value))
    return int(match[1]) if match else None


TRANSFORMS: Final[Mapping[str, Transform]] = {
    "lower": Transform(_lower, "String"),
    "lower_list": Transform(_lower_list, "Strings"),
    "instruments": Transform(_instruments, "Strings"),
    "platform": Transform(_platform, "String"),
    "level": Transform(_level, "String"),
    "positive": Transform(_positive, "Integer"),
    "percent": Transform(_percent, "Double"),
    "orbit_state": Transform(_orbit_state, "String"),
    "ascending_node": Transform(_node, "DateTimeOffset"),
    "polarisations": Transform(_polarisations, "Strings"),
    "radar_mode": Transform(_radar_mode, "String"),
    "other_mode": Transform(_other_mode, "String"),
    "integer": Transform(_integer, "Integer"),
    "text": Transform(_text, "String"),
    "grid_code": Transform(_tile(r"MGRS-\1\2\3"), "String"),
    "utm_zone": Transform(_zone, "Integer"),
    "latitude_band": Transform(_tile(r"\2"), "String"),
    "grid_square": Transform(_tile(r"\3"), "String"),
}
