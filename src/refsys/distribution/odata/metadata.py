"""`$metadata`: the entity model as EDMX (CSDL 4.0), for clients that read it first (standards 2.14)."""

from __future__ import annotations

from functools import cache

from refsys.distribution.odata import csdl
from refsys.distribution.odata.csdl import DATE, NAMESPACE, STRING

_COMMON = [
    ("Name", STRING),
    ("ContentType", STRING),
    ("ContentLength", "Edm.Int64"),
    ("OriginDate", DATE),
]
_SHARED = [
    ("Checksum", f"Collection({NAMESPACE}.Checksum)"),
    ("ContentDate", f"{NAMESPACE}.TimeRange"),
    ("Footprint", "Edm.Geography"),
    ("GeoFootprint", "Edm.Geography"),
]
_PRODUCT = [
    *_COMMON,
    ("PublicationDate", DATE),
    ("ModificationDate", DATE),
    ("Online", "Edm.Boolean"),
    ("EvictionDate", DATE),
    ("S3Path", STRING),
    *_SHARED,
]
_DELETED_PRODUCT = [*_COMMON, ("DeletionDate", DATE), ("DeletionCause", STRING), *_SHARED]
_CHECKSUM = [("Value", STRING), ("Algorithm", STRING), ("ChecksumDate", DATE)]


@cache
def document() -> str:
    """The whole document."""
    inside = f'<NavigationProperty Name="Collection" Type="{NAMESPACE}.Collection"/>' + csdl.collection(
        "Attributes", "Attribute"
    )
    assets = csdl.collection("Assets", "Asset")
    types = [
        csdl.complex_type("Checksum", _CHECKSUM),
        csdl.complex_type("TimeRange", [("Start", DATE), ("End", DATE)]),
        csdl.entity("Product", "Id", "Edm.Guid", _PRODUCT, inside + assets, more=' HasStream="true"'),
        csdl.entity("DeletedProduct", "Id", "Edm.Guid", _DELETED_PRODUCT, inside),
        csdl.entity("Collection", "Name", STRING, []),
        csdl.entity("Asset", "Id", "Edm.Guid", [("Type", STRING), ("DownloadLink", STRING)], more=' HasStream="true"'),
        *csdl.attributes(),
        '<Function Name="Intersects"><Parameter Name="area" Type="Edm.Geography"/><ReturnType Type="Edm.Boolean"/>'
        "</Function>",
    ]
    sets = (
        f'<EntitySet Name="Products" EntityType="{NAMESPACE}.Product"/>',
        f'<EntitySet Name="DeletedProducts" EntityType="{NAMESPACE}.DeletedProduct"/>',
    )
    return csdl.document(types, sets)
