"""Short texts that change when what products are described by changes: a type's row, or all name patterns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, Final

import orjson
from blake3 import blake3

from refsys.infra.xmlpath import XmlPath
from refsys.missions import AttributeDefinition, Document, ProductType, TypeRegistry

#: To be raised whenever the same row and the same bytes give another description than before: by changes of the
#: extraction, of footprint rules or of the functions that rows refer to. All products are then described anew.
EXTRACT_VERSION: Final = 1
#: In place of a fingerprint: no row knew the product's name when it was last looked at.
NO_ROW: Final = "no row"

#: Columns without a say in what the catalogue says of a product that it has already: everything else counts.
_SILENT: Final[Mapping[type, frozenset[str]]] = {
    ProductType: frozenset(
        {"about", "packaging", "quicklook", "priority", "retention", "key_segments", "prip_type", "stac_collection"}
    ),
    AttributeDefinition: frozenset({"about", "separator", "prip", "reference", "stac"}),
    Document: frozenset({"anchors"}),
}
_BYTES: Final = 8


@lru_cache(maxsize=4096)
def type_fingerprint(kind: ProductType) -> str:
    """The fingerprint of everything in a row, and in the code that follows it, that decides a product's description."""
    return _digest([EXTRACT_VERSION, _plain(kind)])


def names_fingerprint(types: TypeRegistry) -> str:
    """The fingerprint of all name patterns, in the order in which they are asked."""
    return _digest([[kind.id, kind.name.pattern] for kind in types.types.values()])


def current_fingerprint(types: TypeRegistry, type_id: str) -> str:
    """What products of a type have that the tables in force described."""
    kind = types.types.get(type_id)
    return NO_ROW if kind is None else type_fingerprint(kind)


def _digest(value: Any) -> str:
    return blake3(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest(length=_BYTES)


def _plain(value: Any) -> Any:
    """A row as JSON has it; rules in the order of their attributes, as tables may be written in any."""
    match value:
        case XmlPath():
            return value.text
        case re.Pattern():
            return value.pattern
        case Mapping():
            return {str(key): _plain(member) for key, member in value.items()}
        case list() | tuple():
            return [_plain(member) for member in value]
    if not is_dataclass(value):
        return value
    silent = _SILENT.get(type(value), frozenset())
    plain = {field.name: _plain(getattr(value, field.name)) for field in fields(value) if field.name not in silent}
    if isinstance(value, ProductType):
        plain["attributes"] = sorted(plain["attributes"], key=lambda rule: str(rule["attribute"]["name"]))
    return plain
