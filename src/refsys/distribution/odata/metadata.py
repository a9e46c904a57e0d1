"""The entity model of the CDSE root: what `$select` may name, and `$metadata` as EDMX (CSDL 4.0, standards 2.1)."""

from __future__ import annotations

from functools import cache
from typing import Final

from refsys.distribution.odata import csdl
from refsys.distribution.odata.csdl import DATE, NAMESPACE, STRING
from refsys.distribution.subscriptions.model import NOTIFICATION_MEMBERS, SUBSCRIPTION_MEMBERS

_GUID: Final = "Edm.Guid"
_NUMBER: Final = "Edm.Int64"
_BOOLEAN: Final = "Edm.Boolean"
_GEOGRAPHY: Final = "Edm.Geography"
_CHECKSUMS: Final = f"Collection({NAMESPACE}.Checksum)"

_COMMON: Final = (
    ("Name", STRING),
    ("ContentType", STRING),
    ("ContentLength", _NUMBER),
    ("OriginDate", DATE),
)
_SHARED: Final = (
    ("Checksum", _CHECKSUMS),
    ("ContentDate", f"{NAMESPACE}.TimeRange"),
    ("Footprint", _GEOGRAPHY),
    ("GeoFootprint", _GEOGRAPHY),
)
#: The members of a product and of a deleted one, without the Id, in the order of the output.
PRODUCT: Final = (
    *_COMMON,
    ("PublicationDate", DATE),
    ("ModificationDate", DATE),
    ("Online", _BOOLEAN),
    ("EvictionDate", DATE),
    ("S3Path", STRING),
    *_SHARED,
)
DELETED_PRODUCT: Final = (*_COMMON, ("DeletionDate", DATE), ("DeletionCause", STRING), *_SHARED)
#: What `$select` may name.
PRODUCT_NAMES: Final = ("Id", *(name for name, _ in PRODUCT))
DELETED_PRODUCT_NAMES: Final = ("Id", *(name for name, _ in DELETED_PRODUCT))

_ASSET: Final = (("Type", STRING), ("DownloadLink", STRING), ("S3Path", STRING))
_LOCATION: Final = (
    ("DownloadLink", STRING),
    ("ContentLength", _NUMBER),
    ("Checksum", _CHECKSUMS),
    ("S3Path", STRING),
)
_NODE: Final = (("Name", STRING), ("ContentLength", _NUMBER), ("ChildrenNumber", _NUMBER))

#: Entity set → type; those that a service document names come first.
SETS: Final = {"Products": "Product", "DeletedProducts": "DeletedProduct"}
_OTHER_SETS: Final = {"Attributes": "Attribute", "Assets": "Asset", "Subscriptions": "Subscription"}

_INTERSECTS: Final = (
    '<Function Name="Intersects"><Parameter Name="area" Type="Edm.Geography" Nullable="false"/>'
    '<ReturnType Type="Edm.Boolean" Nullable="false"/></Function>'
)
_FILTER_LIST: Final = (
    '<Action Name="FilterList" IsBound="true">'
    f'<Parameter Name="Products" Type="Collection({NAMESPACE}.Product)" Nullable="false"/>'
    f'<Parameter Name="FilterProducts" Type="Collection({NAMESPACE}.Property)" Nullable="false"/>'
    f'<ReturnType Type="Collection({NAMESPACE}.Product)" Nullable="false"/></Action>'
)
_STREAM: Final = ' HasStream="true"'


@cache
def document() -> str:
    """The whole document."""
    inside = csdl.contained("Collection", f"{NAMESPACE}.Collection") + _several("Attributes", "Attribute")
    of_product = inside + _several("Assets", "Asset") + _several("Locations", "Location") + _several("Nodes", "Node")
    types = [
        csdl.complex_type("Checksum", [("Value", STRING), ("Algorithm", STRING), ("ChecksumDate", DATE)]),
        csdl.complex_type("TimeRange", [("Start", DATE), ("End", DATE)]),
        csdl.complex_type("Property", [("Name", STRING)]),
        csdl.entity("Product", "Id", _GUID, PRODUCT, of_product, more=_STREAM),
        csdl.entity("DeletedProduct", "Id", _GUID, DELETED_PRODUCT, inside),
        csdl.entity("Collection", "Name", STRING, ()),
        csdl.entity("Asset", "Id", _GUID, _ASSET, more=_STREAM),
        csdl.entity("Location", "FormatType", STRING, _LOCATION),
        csdl.entity("Node", "Id", STRING, _NODE, _several("Nodes", "Node"), more=_STREAM),
        csdl.entity("Subscription", "Id", _GUID, SUBSCRIPTION_MEMBERS),
        csdl.entity("Notification", "AckId", STRING, NOTIFICATION_MEMBERS),
        *csdl.attributes(),
        _INTERSECTS,
        _FILTER_LIST,
    ]
    hidden = ' IncludeInServiceDocument="false"'
    sets = [f'<EntitySet Name="{name}" EntityType="{NAMESPACE}.{kind}"/>' for name, kind in SETS.items()]
    sets += [
        f'<EntitySet Name="{name}" EntityType="{NAMESPACE}.{kind}"{hidden}/>' for name, kind in _OTHER_SETS.items()
    ]
    return csdl.document(types, sets)


def _several(name: str, of: str) -> str:
    return csdl.contained(name, f"Collection({NAMESPACE}.{of})")
