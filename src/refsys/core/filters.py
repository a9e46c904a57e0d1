"""Filter expressions: what OData, CQL2, selection policies and operators ask of the catalogue, in one form.

    Expression   And(terms) | Or(terms) | Not(term)
                 Comparison(left, op, right) | TextMatch(how, operand, text) | In(operand, values) | IsNull(operand)
                 Intersects(area)
    Operand      Property(name) | Attribute(name) | Literal(value)

Every expression is true or false of a product. What compares with something that the product lacks, or that is of
another kind (a text with a number), is false; `Not` of it is true. A dialect that means something else says so with
`IsNull`. Texts compare by code points, numbers by value, whole or not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, assert_never
from uuid import UUID

from refsys.core.areas import Area
from refsys.core.errors import RefsysError


class InvalidFilter(RefsysError):
    """An expression that cannot be meant: unknown property, kinds that do not compare, a value that cannot be."""


class Kind(Enum):
    """What values compare with each other."""

    TEXT = "a text"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    INSTANT = "a date"
    ID = "an id"
    LIST = "a list of texts"
    AREA = "an area"


#: What can be asked of every product; names and meanings are the catalogue's.
PROPERTIES: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "id": Kind.ID,
        "name": Kind.TEXT,
        "state": Kind.TEXT,
        "collection": Kind.TEXT,
        "mission": Kind.TEXT,
        "platform": Kind.TEXT,
        "instrument": Kind.TEXT,
        "product_type": Kind.TEXT,
        "level": Kind.TEXT,
        "timeliness": Kind.TEXT,
        "sensing_start": Kind.INSTANT,
        "sensing_stop": Kind.INSTANT,
        "available_at": Kind.INSTANT,
        "t0_raw": Kind.INSTANT,
        "described_at": Kind.INSTANT,
        "published_at": Kind.INSTANT,
        "modified_at": Kind.INSTANT,
        "evicted_at": Kind.INSTANT,
        "deleted_at": Kind.INSTANT,
        "deletion_cause": Kind.TEXT,
        "online": Kind.BOOLEAN,
        "package_name": Kind.TEXT,
        "package_size": Kind.NUMBER,
        "footprint": Kind.AREA,
    }
)


class Op(StrEnum):
    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"

    @property
    def flipped(self) -> Op:
        """The operator that says the same with left and right exchanged."""
        return _FLIPPED.get(self, self)


_FLIPPED = {Op.LT: Op.GT, Op.LE: Op.GE, Op.GT: Op.LT, Op.GE: Op.LE}


class How(StrEnum):
    """Where a text is looked for; upper and lower case differ."""

    CONTAINS = "contains"
    STARTSWITH = "startswith"
    ENDSWITH = "endswith"


@dataclass(frozen=True, slots=True)
class Property:
    """One of PROPERTIES."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in PROPERTIES:
            raise InvalidFilter(f"products have no property {self.name!r}", advice=f"one of {', '.join(PROPERTIES)}")

    @property
    def kind(self) -> Kind:
        return PROPERTIES[self.name]


@dataclass(frozen=True, slots=True)
class Attribute:
    """A product's attribute; its kind is that of the value which the product has.

    With a `separator` the value is a list of texts: equal is what has the same items (a text is split at the
    separator), everything else looks at the items joined by it.
    """

    name: str
    separator: str = ""

    def __post_init__(self) -> None:
        check_text(self.name)
        check_text(self.separator)


Value = str | int | float | datetime | UUID | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """A typed value. Integers of 64 bits, finite floats, texts that a database can hold, aware datetimes; a tuple is a
    list of texts."""

    value: Value
    kind: Kind = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", _kind_of(self.value))


Operand = Property | Attribute | Literal


@dataclass(frozen=True, slots=True)
class And:
    """All of the terms; of none: true."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of the terms; of none: false."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    term: Expression


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides are known, of one kind, and compare so. `ne` too is false of what is not known."""

    left: Property | Attribute
    op: Op
    right: Property | Literal

    def __post_init__(self) -> None:
        if isinstance(self.right, Property) and isinstance(self.left, Attribute):
            raise InvalidFilter(f"the attribute {self.left.name} is compared with a property, not with a value")
        if isinstance(self.left, Attribute):
            if self.right.kind is Kind.ID:
                raise InvalidFilter(f"the attribute {self.left.name} is compared with an id")
            return
        _check_kinds(self.left, self.right)
        if self.op not in (Op.EQ, Op.NE) and self.left.kind in (Kind.ID, Kind.BOOLEAN):
            raise InvalidFilter(f"{self.left.name} has no order; eq and ne are possible")


@dataclass(frozen=True, slots=True)
class TextMatch:
    """The operand is a text that contains, starts with or ends with another."""

    how: How
    operand: Property | Attribute
    text: str

    def __post_init__(self) -> None:
        check_text(self.text)
        if isinstance(self.operand, Property) and self.operand.kind is not Kind.TEXT:
            raise InvalidFilter(f"{self.operand.name} is {self.operand.kind.value}, not a text")


@dataclass(frozen=True, slots=True)
class In:
    """The operand equals one of the values."""

    operand: Property | Attribute
    values: tuple[Literal, ...]

    def __post_init__(self) -> None:
        for value in self.values:
            Comparison(self.operand, Op.EQ, value)


@dataclass(frozen=True, slots=True)
class IsNull:
    """The product does not have it."""

    operand: Property | Attribute


@dataclass(frozen=True, slots=True)
class Intersects:
    """The footprint and the area have a position in common, on an edge too. A product without footprint has none."""

    area: Area


Expression = And | Or | Not | Comparison | TextMatch | In | IsNull | Intersects
Atom = Comparison | TextMatch | In | IsNull | Intersects


#: What is true of every product.
EVERYTHING: Final = And(())


def all_of(*terms: Expression) -> Expression:
    """And, flat: an And among the terms gives its own terms; of one term: that term."""
    flat = tuple(inner for term in terms for inner in (term.terms if isinstance(term, And) else (term,)))
    return flat[0] if len(flat) == 1 else And(flat)


def any_of(*terms: Expression) -> Expression:
    """Or, flat."""
    flat = tuple(inner for term in terms for inner in (term.terms if isinstance(term, Or) else (term,)))
    return flat[0] if len(flat) == 1 else Or(flat)


def negate(expression: Expression) -> Expression:
    """Not, and nothing twice."""
    return expression.term if isinstance(expression, Not) else Not(expression)


def conjuncts(expression: Expression) -> tuple[Expression, ...]:
    """What all has to be true for the expression to be true."""
    return expression.terms if isinstance(expression, And) else (expression,)


def atoms(expression: Expression) -> Iterator[Atom]:
    """Everything in the expression that is not made of others, left to right."""
    match expression:
        case And(terms) | Or(terms):
            for term in terms:
                yield from atoms(term)
        case Not(term):
            yield from atoms(term)
        case _:
            yield expression


def rewrite(expression: Expression, change: Callable[[Atom], Expression]) -> Expression:
    """The expression with each atom replaced by what `change` makes of it."""
    match expression:
        case And(terms):
            return all_of(*(rewrite(term, change) for term in terms))
        case Or(terms):
            return any_of(*(rewrite(term, change) for term in terms))
        case Not(term):
            return Not(rewrite(term, change))
        case Comparison() | TextMatch() | In() | IsNull() | Intersects():
            return change(expression)
        case _:
            assert_never(expression)


def check_text(text: str) -> str:
    """Return a text that a database can hold, else raise InvalidFilter."""
    if "\0" in text:
        raise InvalidFilter("a text holds the character U+0000")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidFilter("a text holds half a surrogate pair")
    return text


def _kind_of(value: object) -> Kind:
    match value:
        case bool():
            return Kind.BOOLEAN
        case int():
            if not -(2**63) <= value < 2**63:
                raise InvalidFilter(f"{value} does not fit into 64 bits")
            return Kind.NUMBER
        case float():
            if not math.isfinite(value):
                raise InvalidFilter(f"{value} is not a finite number")
            return Kind.NUMBER
        case str():
            check_text(value)
            return Kind.TEXT
        case datetime():
            if value.tzinfo is None:
                raise InvalidFilter(f"{value} says no time zone")
            return Kind.INSTANT
        case UUID():
            return Kind.ID
        case tuple():
            for item in value:
                check_text(item)
            return Kind.LIST
        case _:
            raise InvalidFilter(f"{value!r} is no value of a filter")


def _check_kinds(left: Property, right: Property | Literal) -> None:
    if left.kind is not right.kind:
        told = right.name if isinstance(right, Property) else repr(str(right.value))
        raise InvalidFilter(f"{left.name} is {left.kind.value}, {told} is {right.kind.value}")
