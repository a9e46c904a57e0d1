"""The names of the PRIP dialect and what they are in the catalogue (distribution 6.2, 6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from refsys.core.filters import Attribute
from refsys.distribution.odata.vocabulary import ATTRIBUTE_TYPES, Vocabulary
from refsys.missions import AttributeDefinition

#: Names in filters. Name is the file that is delivered: refsys.distribution.prip.filters sees to that.
PRODUCTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Id": "id",
        "Name": "name",
        "Online": "online",
        "ContentLength": "package_size",
        "PublicationDate": "published_at",
        "EvictionDate": "evicted_at",
        "OriginDate": "t0_raw",
        "ContentDate/Start": "sensing_start",
        "ContentDate/End": "sensing_stop",
    }
)
#: What Products can be ordered by. ContentType and ProductionType are the same for all: they order nothing.
SAME_FOR_ALL: Final = ("ContentType", "ProductionType")
PRODUCTS_ORDER: Final = (*(name for name in PRODUCTS if name != "Online"), *SAME_FOR_ALL)

#: The members of the enumeration ProductionType, the first of which all products have; number = place.
PRODUCTION_TYPE: Final = "ProductionType"
SYSTEMATIC: Final = "systematic_production"
PRODUCTION_TYPES: Final = (SYSTEMATIC, "on_demand_default", "on_demand_non_default")

#: Navigation properties with attributes of one type: `StringAttributes`.
TYPED: Final = {f"{kind}Attributes": kind for kind in ATTRIBUTE_TYPES}
#: What `$expand` may name, in the order of the output.
EXPANDABLE: Final = ("Attributes", "Quicklooks", *TYPED)


@dataclass(frozen=True, slots=True)
class PripVocabulary(Vocabulary):
    """`ours` maps names of attributes in the PRIP to the catalogue's, where they differ."""

    ours: Mapping[str, str]

    def attribute(self, name: str) -> Attribute:
        # the zero-argument form of super() does not work in classes with slots
        return Vocabulary.attribute(self, self.ours.get(name, name))


def vocabulary(attributes: Mapping[str, AttributeDefinition]) -> PripVocabulary:
    """What filters on Products may speak of."""
    ours = {a.prip: name for name, a in attributes.items() if a.prip and a.prip != name}
    return PripVocabulary(PRODUCTS, attributes, ours)
