"""What can be asked of items, by the names that they have in items: generated from the tables.

Fields that transforms make of attributes (missions.stac) are found by what the attribute can be. What cannot be turned
back exactly (`mgrs:utm_zone`, `sat:anx_datetime`) is no queryable.
"""

from __future__ import annotations

import string
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from refsys.core.filters import (
    Attribute,
    Comparison,
    Expression,
    In,
    IsNull,
    Kind,
    Literal,
    Not,
    Op,
    Property,
    Value,
    all_of,
)
from refsys.core.times import FOREVER
from refsys.distribution.cql2 import Queryable, Source
from refsys.distribution.stac.collections import Collection
from refsys.distribution.stac.items import duration
from refsys.missions import COLLECTIONS, AttributeDefinition, TypeRegistry
from refsys.missions.stac import StacField

_KINDS: Final = {
    "String": Kind.TEXT,
    "Integer": Kind.NUMBER,
    "Double": Kind.NUMBER,
    "DateTimeOffset": Kind.INSTANT,
    "Boolean": Kind.BOOLEAN,
    "Strings": Kind.LIST,
}
_SCHEMAS: Final[Mapping[str, dict[str, Any]]] = {
    "String": {"type": "string"},
    "Integer": {"type": "integer"},
    "Double": {"type": "number"},
    "DateTimeOffset": {"type": "string", "format": "date-time"},
    "Boolean": {"type": "boolean"},
    "Strings": {"type": "array", "items": {"type": "string"}},
}
_INSTANT: Final = _SCHEMAS["DateTimeOffset"]
#: What names have that ids have not.
SUFFIXES: Final = (".SAFE", ".SEN3", "")
_DIGITS: Final = 9
#: Longer lists of values are no help.
_ENUM_LIMIT: Final = 20


@dataclass(frozen=True, slots=True)
class Term:
    """A queryable, its JSON Schema, and the attributes that it is made of (none: every product has it)."""

    queryable: Queryable
    schema: Mapping[str, Any]
    attributes: frozenset[str] = frozenset()


def terms(types: TypeRegistry) -> dict[str, Term]:
    """All queryables but `collection`, by name."""
    found = _common(types)
    sources: dict[str, list[tuple[AttributeDefinition, StacField]]] = defaultdict(list)
    for definition in types.attributes.values():
        for stac in definition.stac:
            sources[stac.name].append((definition, stac))
    for name, given in sources.items():
        term = found.get(name) or _term(given, types)
        if term is not None:
            found[name] = term
    # the name that STAC's common metadata have for it
    found["mission"] = found["constellation"]
    return dict(sorted(found.items()))


def collection_term(collections: Mapping[str, Collection]) -> Term:
    """The queryable `collection`: of those in the list, as whoever asks knows no others."""
    shown = (collection for collection in collections.values() if collection.is_shown)
    sources = tuple(Source(Literal(collection.id), collection.expression) for collection in shown)
    return Term(Queryable(Kind.TEXT, sources), {"title": "Collection", "type": "string"})


def _common(types: TypeRegistry) -> dict[str, Term]:
    def plain(name: str, title: str, schema: Mapping[str, Any]) -> Term:
        return Term(Queryable.of(Property(name)), {"title": title, **schema})

    text, number = _SCHEMAS["String"], _SCHEMAS["Integer"]
    geometry = {"title": "Footprint", "$ref": "https://geojson.org/schema/Geometry.json"}
    identity = Queryable(Kind.TEXT, (Source(Property("name"), inverse=_names, suffixes=SUFFIXES),))
    evicted = Property("evicted_at")
    expires = (Source(evicted, Not(IsNull(evicted))), Source(Literal(FOREVER), IsNull(evicted)))
    return {
        "id": Term(identity, {"title": "Identifier: the name without its suffix", **text}),
        "geometry": Term(Queryable.of(Property("footprint")), geometry),
        "datetime": plain("sensing_start", "Start of sensing, of validity for auxiliaries", _INSTANT),
        "start_datetime": plain("sensing_start", "Start of sensing, of validity for auxiliaries", _INSTANT),
        "end_datetime": plain("sensing_stop", "End of sensing, of validity for auxiliaries", _INSTANT),
        "created": plain("t0_raw", "Publication at the origin", _INSTANT),
        "published": plain("published_at", "Publication here", _INSTANT),
        "updated": plain("modified_at", "Last change of the metadata", _INSTANT),
        "expires": Term(Queryable(Kind.INSTANT, expires), {"title": "Eviction of the bytes", **_INSTANT}),
        "product:type": plain("product_type", "Product type", text),
        "file:size": plain("package_size", "Size of the package in bytes", {**number, "minimum": 0}),
        "refsys:name": plain("name", "Name with its suffix", text),
        "refsys:online": plain("online", "Whether the bytes are here", _SCHEMAS["Boolean"]),
        **_timeliness(types),
    }


def _timeliness(types: TypeRegistry) -> dict[str, Term]:
    """As items have it: the limit of a product's class as a duration; where there is one, what the metadata say."""
    classes: dict[str, list[str]] = defaultdict(list)
    for name, limits in types.timeliness_classes.items():
        if limits.from_sensing_s is not None:
            classes[duration(limits.from_sensing_s)].append(name)

    def of(names: Iterable[str]) -> Expression:
        return In(Property("timeliness"), tuple(map(Literal, names)))

    limits_of = tuple(Source(Literal(text), of(names)) for text, names in classes.items())
    category = Source(Attribute("timeliness"), of(name for names in classes.values() for name in names))
    text = _SCHEMAS["String"]
    return {
        "product:timeliness": Term(
            Queryable(Kind.TEXT, limits_of),
            {"title": "Limit from sensing to publication, ISO 8601", **text, "enum": sorted(classes)},
        ),
        "product:timeliness_category": Term(
            Queryable(Kind.TEXT, (category,)), {"title": "Timeliness", **text}, frozenset(("timeliness",))
        ),
    }


def _term(given: Sequence[tuple[AttributeDefinition, StacField]], types: TypeRegistry) -> Term | None:
    """A field that attributes make; of several the first that a product has counts."""
    sources: list[Source] = []
    before: list[Expression] = []
    for definition, stac in given:
        attribute = Attribute(definition.name, definition.separator if definition.many else "")
        made = _sources(attribute, stac, types)
        if not made:
            return None
        sources += [Source(source.operand, all_of(*before, source.when), source.inverse) for source in made]
        before.append(IsNull(attribute))
    definition, stac = given[0]
    values = sorted({str(source.operand.value) for source in sources if isinstance(source.operand, Literal)})
    schema = {"title": definition.about[:1].upper() + definition.about[1:], **_SCHEMAS[stac.type]}
    if 0 < len(values) <= _ENUM_LIMIT and stac.type == "String":
        schema["enum"] = values
    names = frozenset(definition.name for definition, _ in given)
    return Term(Queryable(_KINDS[stac.type], tuple(sources)), schema, names)


def _sources(attribute: Attribute, stac: StacField, types: TypeRegistry) -> list[Source]:
    """None where the transform cannot be turned back."""
    name = attribute.name
    radar = Comparison(Attribute("instrumentShortName"), Op.EQ, Literal("SAR"))
    match stac.transform:
        # values that an extension does not allow are compared all the same: no product of ours has one
        case "" | "polarisations" | "percent" | "positive":
            return [Source(attribute)]
        case "radar_mode":
            return [Source(attribute, radar)]
        case "other_mode":
            return [Source(attribute, Not(radar))]
        case "platform":
            return _platforms(name)
        case transform if transform in _SPELLINGS:
            return _spelt(name, stac, _SPELLINGS[transform](types))
        case transform if transform in _INVERSES:
            return [Source(attribute, inverse=_INVERSES[transform])]
    return []


def _spelt(name: str, stac: StacField, spellings: Iterable[str]) -> list[Source]:
    """The field's values, each where the attribute is one of its spellings."""
    by_value: dict[Value, list[str]] = defaultdict(list)
    for spelling in spellings:
        value = stac.value(spelling, {})
        by_value[tuple(value) if isinstance(value, list) else value].append(spelling)
    attribute = Attribute(name)
    return [
        Source(
            Literal(value),
            Comparison(attribute, Op.EQ, Literal(found[0])) if len(found) == 1 else In(attribute, _literals(found)),
        )
        for value, found in by_value.items()
    ]


def _platforms(name: str) -> list[Source]:
    return [
        Source(
            Literal(f"{mission}{letter}".lower()),
            all_of(
                Comparison(Attribute("platformShortName"), Op.EQ, Literal(mission)),
                Comparison(Attribute(name), Op.EQ, Literal(letter)),
            ),
        )
        for mission in sorted(COLLECTIONS.values())
        for letter in string.ascii_uppercase
    ]


def _literals(values: Iterable[str]) -> tuple[Literal, ...]:
    return tuple(map(Literal, values))


def _instruments(types: TypeRegistry) -> list[str]:
    """What the tables say that the instrument can be."""
    given = {kind.instrument for kind in types.types.values()}
    for kind in types.types.values():
        for rule in kind.attributes:
            if rule.attribute.name == "instrumentShortName":
                given |= {str(rule.value or ""), *map(str, rule.translate.values())}
    return sorted(given - {""})


#: Transform → what the catalogue may have, where that is a short list.
_SPELLINGS: Final[Mapping[str, Callable[[TypeRegistry], Iterable[str]]]] = {
    "lower": lambda types: sorted(COLLECTIONS.values()),
    "instruments": _instruments,
    "level": lambda types: [
        f"{prefix}{level}{letter}" for level in "0123" for prefix in ("LEVEL", "S2MSI", "") for letter in ("", *"ABC")
    ],
    "orbit_state": lambda types: ["ASCENDING", "DESCENDING", "ascending", "descending", "Ascending", "Descending"],
}


def _names(value: Value) -> list[Value]:
    return [f"{value}{suffix}" for suffix in SUFFIXES]


def _upper(value: Value) -> list[Value]:
    text = str(value)
    return [text.upper(), text] if text == text.lower() else []


def _tiles(value: Value) -> list[Value]:
    grid, _, tile = str(value).partition("-")
    return [tile, f"T{tile}"] if grid == "MGRS" and tile else []


def _padded(value: Value) -> list[Value]:
    text = str(value)
    return [text.zfill(length) for length in range(len(text), _DIGITS + 1)] if text.isdecimal() else []


def _number(value: Value) -> list[Value]:
    text = str(value)
    return [int(text)] if text.isascii() and text.isdecimal() and len(text) < 19 and str(int(text)) == text else []


#: Transform → from the field's value to all that the catalogue may have for it.
_INVERSES: Final[Mapping[str, Callable[[Value], Sequence[Value]]]] = {
    "lower_list": _upper,
    "grid_code": _tiles,
    "integer": _padded,
    "text": _number,
}
