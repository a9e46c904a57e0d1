"""`$metadata`: the entity model as EDMX (CSDL 4.0), for clients that read it first (standards 2.14)."""

from __future__ import annotations

from functools import cache
from xml.sax.saxutils import quoteattr

from refsys.distribution.odata.vocabulary import ATTRIBUTE_TYPES

_NAMESPACE = "OData.CSC"
_EDM = {"Integer": "Edm.Int64"}
_DATE, _STRING = "Edm.DateTimeOffset", "Edm.String"

_COMMON = [
    ("Name", _STRING),
    ("ContentType", _STRING),
    ("ContentLength", "Edm.Int64"),
    ("OriginDate", _DATE),
]
_SHARED = [
    ("Checksum", f"Collection({_NAMESPACE}.Checksum)"),
    ("ContentDate", f"{_NAMESPACE}.TimeRange"),
    ("Footprint", "Edm.Geography"),
    ("GeoFootprint", "Edm.Geography"),
]
_PRODUCT = [
    *_COMMON,
    ("PublicationDate", _DATE),
    ("ModificationDate", _DATE),
    ("Online", "Edm.Boolean"),
    ("EvictionDate", _DATE),
    ("S3Path", _STRING),
    *_SHARED,
]
_DELETED_PRODUCT = [*_COMMON, ("DeletionDate", _DATE), ("DeletionCause", _STRING), *_SHARED]
_CHECKSUM = [("Value", _STRING), ("Algorithm", _STRING), ("ChecksumDate", _DATE)]


@cache
def document() -> str:
    """The whole document."""
    attributes = f'<NavigationProperty Name="Attributes" Type="Collection({_NAMESPACE}.Attribute)"/>'
    collection = f'<NavigationProperty Name="Collection" Type="{_NAMESPACE}.Collection"/>'
    assets = f'<NavigationProperty Name="Assets" Type="Collection({_NAMESPACE}.Asset)"/>'
    types = [
        _complex("Checksum", _CHECKSUM),
        _complex("TimeRange", [("Start", _DATE), ("End", _DATE)]),
        _entity("Product", "Id", "Edm.Guid", _PRODUCT, collection + attributes + assets, more=' HasStream="true"'),
        _entity("DeletedProduct", "Id", "Edm.Guid", _DELETED_PRODUCT, collection + attributes),
        _entity("Collection", "Name", _STRING, []),
        _entity("Asset", "Id", "Edm.Guid", [("Type", _STRING), ("DownloadLink", _STRING)], more=' HasStream="true"'),
        _entity("Attribute", "Name", _STRING, [("ValueType", _STRING)], more=' Abstract="true"'),
        *(_attribute(kind) for kind in ATTRIBUTE_TYPES),
        '<Function Name="Intersects"><Parameter Name="area" Type="Edm.Geography"/><ReturnType Type="Edm.Boolean"/>'
        "</Function>",
    ]
    sets = (
        f'<EntitySet Name="Products" EntityType="{_NAMESPACE}.Product"/>'
        f'<EntitySet Name="DeletedProducts" EntityType="{_NAMESPACE}.DeletedProduct"/>'
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0"><edmx:DataServices>'
        f'<Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="{_NAMESPACE}">{"".join(types)}'
        f'<EntityContainer Name="Container">{sets}</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>'
    )


def _entity(
    name: str, key: str, key_type: str, members: list[tuple[str, str]], inside: str = "", *, more: str = ""
) -> str:
    return (
        f'<EntityType Name="{name}"{more}><Key><PropertyRef Name="{key}"/></Key>'
        f'<Property Name="{key}" Type="{key_type}" Nullable="false"/>{_properties(members)}{inside}</EntityType>'
    )


def _attribute(kind: str) -> str:
    value = _properties([("Value", _EDM.get(kind, f"Edm.{kind}"))])
    return f'<EntityType Name="{kind}Attribute" BaseType="{_NAMESPACE}.Attribute">{value}</EntityType>'


def _complex(name: str, members: list[tuple[str, str]]) -> str:
    return f'<ComplexType Name="{name}">{_properties(members)}</ComplexType>'


def _properties(members: list[tuple[str, str]]) -> str:
    return "".join(f"<Property Name={quoteattr(name)} Type={quoteattr(kind)}/>" for name, kind in members)
