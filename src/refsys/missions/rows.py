"""The columns of the tables: what a YAML file under `missions/` may say (architecture 6).

    attributes: {NAME: {type: …, about: …}}         attributes that products can have, one name everywhere
    patterns: {NAME: regular expression}             pieces of name patterns, written %{NAME} in them
    rules: {SET: {ATTRIBUTE: rule}}                  sets of rules that rows share
    timeliness_classes: {CLASS: {about: …, …}}       how soon products must be there
    retention_classes: {CLASS: {about: …, days: …}}  how long they stay
    packet_stores: {KIND: {first: …, last: …, …}}    Sentinel-1's memory, and how soon what lies there must be down
    types: [row, …]                                  the product types

A rule is a source (`manifest//platform/number`: a document of the row, then a path in it), a list of sources, or the
columns of `RuleRow`. Unknown columns are errors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from refsys.core.steps import Rank
from refsys.missions.model import ValueType
from refsys.missions.stac import FIELD

# one segment of a key: a name or a template, no path
_SEGMENT = r"^[A-Za-z0-9{][A-Za-z0-9._{}-]*$"


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_rule(value: Any) -> Any:
    return {"read": value} if isinstance(value, str | list) else value


def _as_document(value: Any) -> Any:
    return {"pattern": value} if isinstance(value, str) else value


def _as_timeliness(value: Any) -> Any:
    return {"default": value} if isinstance(value, str) else value


def _as_stac(value: Any) -> Any:
    fields = value if isinstance(value, list) else [value]
    return [{"field": field} if isinstance(field, str) else field for field in fields]


class StacRow(Row):
    field: Annotated[str, Field(pattern=FIELD)]
    transform: str = ""


class AttributeRow(Row):
    type: ValueType
    about: str
    many: bool = False
    separator: str = " "
    longest: Annotated[int, Field(gt=0)] = 2000
    prip: str | None = None
    reference: list[str] = Field(default_factory=list)
    stac: Annotated[list[StacRow], BeforeValidator(_as_stac)] = Field(default_factory=list)


class RuleRow(Row):
    """How an attribute gets its value; the columns are those of model.AttributeRule."""

    read: Annotated[list[str], BeforeValidator(_as_list)] = Field(default_factory=list)
    function: str = ""
    translate: dict[str, str] = Field(default_factory=dict)
    group: str = ""
    value: str | int | float | bool | None = None
    upper: bool = False
    expected: bool = False


class FootprintRow(Row):
    rule: str
    read: Annotated[list[str], BeforeValidator(_as_list)]
    expected: bool = True


class RelativeOrbitRow(Row):
    cycle: Annotated[int, Field(gt=0)]
    offsets: dict[str, int]


class QuicklookRow(Row):
    own: Annotated[list[str], BeforeValidator(_as_list)] = Field(default_factory=list)
    rule: Literal["radar", "jpeg2000"] | None = None
    read: Annotated[list[str], BeforeValidator(_as_list)] = Field(default_factory=list)


class TimelinessRow(Row):
    attribute: str = ""
    translate: dict[str, str] = Field(default_factory=dict)
    default: str = ""


class TimelinessClassRow(Row):
    about: str
    from_sensing_s: Annotated[int, Field(gt=0)] | None = None
    from_t0_s: Annotated[int, Field(gt=0)] | None = None
    urgent: bool = False


class PacketStoresRow(Row):
    first: Annotated[int, Field(ge=0)] | None = None
    last: Annotated[int, Field(ge=0)] | None = None
    timeliness: Literal["PT", "NRT", "FAST24"]


class RetentionClassRow(Row):
    about: str
    days: Annotated[int, Field(gt=0)] | None = None


class DocumentRow(Row):
    pattern: str
    required: bool = True
    many: bool = False
    beside: list[str] = Field(default_factory=list)
    embedded: Annotated[str, Field(pattern=r"^(?:[A-Za-z_][A-Za-z0-9._-]*)?$")] = ""


Rules = dict[str, Annotated[RuleRow, BeforeValidator(_as_rule)]]


class TypeRow(Row):
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    about: str
    name: str
    product_type: Annotated[str, Field(pattern=_SEGMENT)]
    prip_type: str = ""
    stac_collection: str = ""
    mission: Literal["S1", "S2", "S3", ""] = ""
    instrument: str
    level: str
    documents: dict[str, Annotated[DocumentRow, BeforeValidator(_as_document)]] = Field(default_factory=dict)
    manifest: str | None = None
    use: list[str] = Field(default_factory=list)
    attributes: Rules = Field(default_factory=dict)
    derive: list[str] = Field(default_factory=list)
    sensing: Annotated[list[str], Field(min_length=2, max_length=2)] = ["beginningDateTime", "endingDateTime"]
    open_ended: bool = False
    undated: bool = False
    footprint: FootprintRow | None = None
    relative_orbit: RelativeOrbitRow | None = None
    packaging: Literal["zip", "deflated", "bare"] = "zip"
    quicklook: QuicklookRow | None = None
    visibility: Literal["internal", "role", "public"] = "public"
    priority: Rank = "normal"
    timeliness_class: Annotated[TimelinessRow, BeforeValidator(_as_timeliness)] = TimelinessRow()
    retention: str = ""
    storage: Annotated[list[Annotated[str, Field(pattern=_SEGMENT)]], Field(min_length=1)]


class Table(Row):
    attributes: dict[str, AttributeRow] = Field(default_factory=dict)
    patterns: dict[str, str] = Field(default_factory=dict)
    rules: dict[str, Rules] = Field(default_factory=dict)
    timeliness_classes: dict[str, TimelinessClassRow] = Field(default_factory=dict)
    retention_classes: dict[str, RetentionClassRow] = Field(default_factory=dict)
    packet_stores: dict[str, PacketStoresRow] = Field(default_factory=dict)
    types: list[TypeRow] = Field(default_factory=list)
