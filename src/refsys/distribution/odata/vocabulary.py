"""The names of the CDSE dialect and what they are in the catalogue (standards 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from refsys.core.filters import Attribute, Property
from refsys.missions import AttributeDefinition

_COMMON: Final = {
    "Id": "id",
    "Name": "name",
    "Collection/Name": "collection",
    "OriginDate": "t0_raw",
    "ContentDate/Start": "sensing_start",
    "ContentDate/End": "sensing_stop",
    "ContentLength": "package_size",
}
#: Names in filters on Products.
PRODUCTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **_COMMON,
        "PublicationDate": "published_at",
        "ModificationDate": "modified_at",
        "Online": "online",
    }
)
#: Names in filters on DeletedProducts.
DELETED_PRODUCTS: Final[Mapping[str, str]] = MappingProxyType(
    {**_COMMON, "DeletionDate": "deleted_at", "DeletionCause": "deletion_cause"}
)
#: What Products, and DeletedProducts, can be ordered by.
PRODUCTS_ORDER: Final = (
    "ContentDate/Start",
    "ContentDate/End",
    "PublicationDate",
    "ModificationDate",
    "Name",
    "ContentLength",
)
DELETED_PRODUCTS_ORDER: Final = ("DeletionDate", "ContentDate/Start", "ContentDate/End")

#: Types of attributes: `OData.CSC.<type>Attribute`.
ATTRIBUTE_TYPES: Final = ("String", "Integer", "Double", "DateTimeOffset", "Boolean")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a filter may speak of: `properties` maps the dialect's names to the catalogue's."""

    properties: Mapping[str, str]
    attributes: Mapping[str, AttributeDefinition]

    def property_named(self, name: str) -> Property | None:
        known = self.properties.get(name)
        return None if known is None else Property(known)

    def name_of(self, wanted: Property) -> str:
        """The dialect's name. Raises KeyError where it has none."""
        for name, known in self.properties.items():
            if known == wanted.name:
                return name
        raise KeyError(wanted.name)

    def attribute(self, name: str) -> Attribute:
        """Any name: one that no table defines is the attribute of no product."""
        definition = self.attributes.get(name)
        return Attribute(name, definition.separator if definition is not None and definition.many else "")

    def is_instant(self, name: str, cast: str) -> bool:
        """Whether texts compared with this attribute are meant as dates; the tables know, else the cast says."""
        definition = self.attributes.get(name)
        return cast == "DateTimeOffset" if definition is None else definition.type == "DateTimeOffset"
