"""`$metadata` of the PRIP root: the entity model as EDMX (distribution 6.2, standards 2.11)."""

from __future__ import annotations

from functools import cache

from refsys.distribution.odata import csdl
from refsys.distribution.odata.csdl import DATE, NAMESPACE, STRING
from refsys.distribution.prip.vocabulary import PRODUCTION_TYPE, PRODUCTION_TYPES, TYPED

_PRODUCT = [
    ("Name", STRING),
    ("Online", "Edm.Boolean"),
    ("ContentType", STRING),
    ("ContentLength", "Edm.Int64"),
    ("PublicationDate", DATE),
    ("EvictionDate", DATE),
    ("OriginDate", DATE),
    ("Checksum", f"Collection({NAMESPACE}.Checksum)"),
    (PRODUCTION_TYPE, f"{NAMESPACE}.{PRODUCTION_TYPE}"),
    ("ContentDate", f"{NAMESPACE}.TimeRange"),
    ("Footprint", "Edm.Geography"),
    ("GeoFootprint", "Edm.Geography"),
]
_CHECKSUM = [("Algorithm", STRING), ("Value", STRING), ("ChecksumDate", DATE)]
_SETS = {"Products": "Product", "Attributes": "Attribute", "Quicklooks": "Quicklook"}


@cache
def document() -> str:
    """The whole document."""
    members = "".join(f'<Member Name="{name}" Value="{number}"/>' for number, name in enumerate(PRODUCTION_TYPES))
    inside = [
        csdl.collection("Attributes", "Attribute"),
        *(csdl.collection(name, f"{kind}Attribute") for name, kind in TYPED.items()),
        csdl.collection("Quicklooks", "Quicklook"),
    ]
    types = [
        csdl.complex_type("Checksum", _CHECKSUM),
        csdl.complex_type("TimeRange", [("Start", DATE), ("End", DATE)]),
        csdl.complex_type("Property", [("Name", STRING), ("Value", STRING)]),
        f'<EnumType Name="{PRODUCTION_TYPE}" UnderlyingType="Edm.Int32">{members}</EnumType>',
        csdl.entity("Product", "Id", "Edm.Guid", _PRODUCT, "".join(inside), more=' HasStream="true"'),
        *csdl.attributes(),
        csdl.entity("Quicklook", "Image", STRING, [], more=' HasStream="true"'),
        '<Function Name="Intersects"><Parameter Name="geo_property" Type="Edm.Geography"/>'
        '<Parameter Name="geo_shape" Type="Edm.Geography"/><ReturnType Type="Edm.Boolean"/></Function>',
        f'<Action Name="FilterList" IsBound="true"><Parameter Name="Products" Type="Collection({NAMESPACE}.Product)"/>'
        f'<Parameter Name="FilterProducts" Type="Collection({NAMESPACE}.Property)"/>'
        f'<ReturnType Type="Collection({NAMESPACE}.Product)"/></Action>',
    ]
    whole = csdl.document(types, [_set(name, of) for name, of in _SETS.items()], container="PRIPData")
    return whole.replace(f'Type="{DATE}"', f'Type="{DATE}" Precision="3"')


def _set(name: str, of: str) -> str:
    is_listed = name == "Products"
    bindings = "".join(
        f'<NavigationPropertyBinding Path="{other}" Target="{other}"/>' for other in _SETS if other != name
    )
    if is_listed:
        return f'<EntitySet Name="{name}" EntityType="{NAMESPACE}.{of}">{bindings}</EntitySet>'
    return f'<EntitySet Name="{name}" EntityType="{NAMESPACE}.{of}" IncludeInServiceDocument="false"/>'
