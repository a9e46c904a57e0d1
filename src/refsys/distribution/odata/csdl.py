"""The parts of a `$metadata` document (EDMX, CSDL 4.0), as XML texts: what every dialect's entity model is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from xml.sax.saxutils import quoteattr

from refsys.distribution.odata.vocabulary import ATTRIBUTE_TYPES

NAMESPACE: Final = "OData.CSC"
DATE: Final = "Edm.DateTimeOffset"
STRING: Final = "Edm.String"
#: Names and types.
Members = Sequence[tuple[str, str]]

_EDM: Final = {"Integer": "Edm.Int64"}


def document(types: Iterable[str], sets: Iterable[str], *, container: str = "Container") -> str:
    """The whole document."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0"><edmx:DataServices>'
        f'<Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="{NAMESPACE}">{"".join(types)}'
        f'<EntityContainer Name="{container}">{"".join(sets)}</EntityContainer></Schema>'
        "</edmx:DataServices></edmx:Edmx>"
    )


def entity(name: str, key: str, key_type: str, members: Members, inside: str = "", *, more: str = "") -> str:
    """An entity type; `inside` is what it has besides properties, `more` what its tag has."""
    return (
        f'<EntityType Name="{name}"{more}><Key><PropertyRef Name="{key}"/></Key>'
        f'<Property Name="{key}" Type="{key_type}" Nullable="false"/>{properties(members)}{inside}</EntityType>'
    )


def attributes(*, instant: str = "") -> list[str]:
    """The entity types of attributes; `instant` is what the value of a date has besides its type."""
    base = entity("Attribute", "Name", STRING, [("ValueType", STRING)], more=' Abstract="true"')
    return [base, *(_attribute(kind, instant if kind == "DateTimeOffset" else "") for kind in ATTRIBUTE_TYPES)]


def complex_type(name: str, members: Members) -> str:
    return f'<ComplexType Name="{name}">{properties(members)}</ComplexType>'


def collection(name: str, of: str) -> str:
    """A navigation property to several entities of our namespace."""
    return f'<NavigationProperty Name="{name}" Type="Collection({NAMESPACE}.{of})"/>'


def contained(name: str, kind: str) -> str:
    """A navigation property to what belongs to the entity alone."""
    return f'<NavigationProperty Name="{name}" Type="{kind}" ContainsTarget="true"/>'


def properties(members: Members, more: str = "") -> str:
    return "".join(f"<Property Name={quoteattr(name)} Type={quoteattr(kind)}{more}/>" for name, kind in members)


def _attribute(kind: str, more: str) -> str:
    value = properties([("Value", _EDM.get(kind, f"Edm.{kind}"))], more)
    return f'<EntityType Name="{kind}Attribute" BaseType="{NAMESPACE}.Attribute">{value}</EntityType>'
