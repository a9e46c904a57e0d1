"""What a product type is: one row of a table under `missions/`, and how a name becomes one (architecture 6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from refsys.core.steps import Rank
from refsys.infra.xmlpath import XmlPath
from refsys.missions.stac import StacField

ValueType = Literal["String", "Integer", "Double", "DateTimeOffset", "Boolean"]
Scalar = str | int | float | bool

#: The collection of each mission, by its name in product names.
COLLECTIONS: Final = {"S1": "SENTINEL-1", "S2": "SENTINEL-2", "S3": "SENTINEL-3"}


@dataclass(frozen=True, slots=True)
class AttributeDefinition:
    """An attribute that products can have: one name and one type everywhere.

    `type` is its OData type. `many`: its value is a list; where a dialect wants text, the items are joined with
    `separator`. Values are plain JSON, instants are text written by `core.times.format_instant`. `prip` is its name in
    the PRIP dialect, empty where it is not there; `reference` are the keys that the reference's catalogue has for it;
    `stac` is where it stands in STAC items.
    A text longer than `longest` characters (all items of a list together) is no value.
    """

    name: str
    type: ValueType
    about: str
    many: bool = False
    separator: str = ""
    longest: int = 2000
    prip: str = ""
    reference: tuple[str, ...] = ()
    stac: tuple[StacField, ...] = ()

    def text(self, value: Any) -> Any:
        """The value as one OData value: lists joined, everything else unchanged."""
        return self.separator.join(str(item) for item in value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Document:
    """A metadata file of a product. `pattern` is relative to the product (`*` stays within one folder level);
    empty where the product is one file, which is the document. Of several files that match the first one counts, with
    `many` all of them, one after the other. It is only looked into where one of the documents `beside` is there.
    `embedded` is the element that stands as text near the start of a file which is no XML (infra.xml.parse_embedded),
    empty where the file is the document. `anchors` are the elements that the type's rules start from in it
    (infra.xmlpath)."""

    name: str
    pattern: str
    required: bool
    many: bool
    beside: tuple[str, ...]
    embedded: str
    anchors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value is read: a path in one of the type's documents."""

    document: str
    path: XmlPath

    def __str__(self) -> str:
        return f"{self.document}{self.path.text}"


@dataclass(frozen=True, slots=True)
class AttributeRule:
    """How one attribute of a type gets its value.

    Tried in this order, blanks passed over: what `read` finds (the first source that has a value; with `many` all its
    values), through `function` (missions.functions.VALUES) and `translate`; the name's group `group`; the constant
    `value`. `upper` writes text in upper case. Where both the document and the name have a value they are compared,
    and a difference becomes a problem of the product, never a rejection. `expected`: its absence is a problem.
    """

    attribute: AttributeDefinition
    read: tuple[Source, ...] = ()
    function: str = ""
    translate: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    value: Scalar | None = None
    upper: bool = False
    expected: bool = False


@dataclass(frozen=True, slots=True)
class FootprintRule:
    """Where a footprint is read, and the named rule (missions.footprint_rules.RULES) that makes its geometry."""

    rule: str
    read: tuple[Source, ...]
    expected: bool = True


@dataclass(frozen=True, slots=True)
class QuicklookRule:
    """Which picture products have: the first file that matches one of `own`, in their order; where there is none, one
    that `rule` makes of the first file that matches one of `read`. Patterns are those of documents; without rule no
    picture is made.

    rule: `radar` draws the amplitude of a TIFF of Sentinel-1, `jpeg2000` a picture in that format.
    """

    own: tuple[str, ...]
    rule: Literal["radar", "jpeg2000"] | None
    read: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RelativeOrbit:
    """Cross-check ((absolute - offset) mod cycle) + 1 = relative, for the platforms whose offset is known."""

    cycle: int
    offsets: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TimelinessClass:
    """How soon products must be published: seconds from the end of sensing, and from the arrival of the last raw input
    (T0); None where there is no limit. `urgent` ones overtake others."""

    name: str
    about: str
    from_sensing_s: int | None
    from_t0_s: int | None
    urgent: bool


@dataclass(frozen=True, slots=True)
class PacketStores:
    """The packet stores of Sentinel-1's memory that are of one kind, `first` to `last` (none where both are None), and
    the timeliness of what lies in them: PT, NRT or FAST24."""

    kind: str
    first: int | None
    last: int | None
    timeliness: str


@dataclass(frozen=True, slots=True)
class RetentionClass:
    """How many days products stay after their publication, None for ever."""

    name: str
    about: str
    days: int | None


@dataclass(frozen=True, slots=True)
class TimelinessRule:
    """Which timeliness class a product has: by the value of an attribute, else `default`; empty where it has none."""

    attribute: str
    translate: Mapping[str, str]
    default: str

    def class_of(self, attributes: Mapping[str, Any]) -> str:
        """The name of the class of a product with these attributes."""
        value = attributes.get(self.attribute)
        return self.translate.get(value, self.default) if isinstance(value, str) else self.default


@dataclass(frozen=True, slots=True, eq=False)
class ProductType:
    """A row: everything the system knows about one kind of product.

    `product_type`, `prip_type` (the type in the PRIP dialect), `stac_collection`, `key_segments` and constants are
    templates over the name's groups (`{mode}_{kind}`). `mission` is empty where only the name's group `mission`, or
    what brought the product, can say it. `sensing` names the attributes that are the product's start and stop; for
    auxiliaries that is the validity, and `open_ended` means that a stop which is not given is FOREVER, `undated` that
    both may lack. `manifest` is the pattern of the file that lists the members, None where there is none. `derive`
    names functions (missions.functions.DERIVED) that compute attributes from others, `derive_with` those that need an
    auxiliary of the catalogue as well (missions.functions.DERIVED_WITH).
    """

    id: str
    about: str
    name: re.Pattern[str]
    product_type: str
    prip_type: str
    stac_collection: str
    mission: str
    instrument: str
    level: str
    documents: tuple[Document, ...]
    manifest: str | None
    attributes: tuple[AttributeRule, ...]
    derive: tuple[str, ...]
    derive_with: tuple[str, ...]
    sensing: tuple[str, str]
    open_ended: bool
    undated: bool
    footprint: FootprintRule | None
    relative_orbit: RelativeOrbit | None
    packaging: Literal["zip", "deflated", "bare"]
    quicklook: QuicklookRule | None
    visibility: Literal["internal", "role", "public"]
    priority: Rank
    timeliness: TimelinessRule
    retention: RetentionClass | None
    key_segments: tuple[str, ...]

    @property
    def collection(self) -> str:
        """The collection that its products are in; empty where the type does not say their mission."""
        return COLLECTIONS.get(self.mission, "")

    @property
    def package_suffix(self) -> str:
        """What a package's name adds to the product's."""
        return "" if self.packaging == "bare" else ".zip"


@dataclass(frozen=True, slots=True)
class Recognised:
    """A name and the type it has.

    `fields` are the name's groups; `platform` is A, B, … or empty (mission-wide); `mission` is empty where neither the
    type nor the name tells it.
    """

    type: ProductType
    name: str
    fields: Mapping[str, str]
    product_type: str
    prip_type: str
    platform: str
    mission: str

    @property
    def named_timeliness(self) -> str:
        """The timeliness class as far as the name tells it."""
        rules = self.type.attributes
        return self.type.timeliness.class_of({r.attribute.name: self.fields[r.group] for r in rules if r.group})
