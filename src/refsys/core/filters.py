"""Filter expressions: what OData, CQL2, selection policies and operators ask of the catalogue, in one form.

    Expression   And(terms) | Or(terms) | Not(term)
                 Comparison(left, op, right) | TextMatch(how, operand, text) | In(operand, values) | IsNull(operand)
                 ListMatch(how, operand, items) | Intersects(area) | Within(area)
    Operand      Property(name) | Attribute(name) | Literal(value) | Arithmetic(left, op, right) | Folded(operand)

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
from refsys.core.patterns import pieces_of


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


class Sign(StrEnum):
    """What is done with two numbers. `div` gives the whole part of the quotient, `%` the rest with the sign of left."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    POWER = "^"
    REST = "%"
    WHOLE = "div"


class How(StrEnum):
    """Where a text is looked for; upper and lower case differ.

    LIKE: all of it is as a pattern (core.patterns) says.
    """

    CONTAINS = "contains"
    STARTSWITH = "startswith"
    ENDSWITH = "endswith"
    LIKE = "like"


class Holds(StrEnum):
    """How a list is compared with items: whatever their order, and however often one stands there."""

    ALL = "all"
    ONLY = "only"


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


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A number made of two, with 20 decimals, within 1e100 on both sides of zero.

    It is not there where one of the two is not, or there is no result (division by zero).
    """

    left: Operand
    sign: Sign
    right: Operand

    def __post_init__(self) -> None:
        for side in (self.left, self.right):
            if (isinstance(side, Attribute) and side.separator) or kind_of(side) not in (None, Kind.NUMBER):
                raise InvalidFilter(f"{_told(side)}, not a number")


@dataclass(frozen=True, slots=True)
class Folded:
    """A text without the difference of upper and lower case (`case`), or without accents (`accents`), or both."""

    operand: Property | Attribute
    case: bool = True
    accents: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.operand, Attribute) and self.operand.separator:
            raise InvalidFilter(f"{_told(self.operand)}, not a text")
        if kind_of(self.operand) not in (None, Kind.TEXT):
            raise InvalidFilter(f"{_told(self.operand)}, not a text")


Operand = Property | Attribute | Literal | Arithmetic | Folded


def kind_of(operand: Operand) -> Kind | None:
    """What an operand is; None of an attribute, which is what the product's value is."""
    match operand:
        case Property() | Literal():
            return operand.kind
        case Attribute(_, separator):
            return Kind.TEXT if separator else None
        case Arithmetic():
            return Kind.NUMBER
        case Folded():
            return Kind.TEXT


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

    left: Property | Attribute | Arithmetic | Folded
    op: Op
    right: Operand

    def __post_init__(self) -> None:
        left, right = kind_of(self.left), kind_of(self.right)
        if isinstance(self.left, Attribute) and isinstance(self.right, Literal):
            # what it has may be of any kind
            left = right
        elif any(isinstance(side, Attribute) and side.separator for side in (self.left, self.right)):
            raise InvalidFilter("a list is compared with values and with nothing else")
        for side, kind in ((self.left, left), (self.right, right)):
            if kind in (Kind.LIST, Kind.AREA):
                raise InvalidFilter(f"{_told(side)} and does not compare")
        if Kind.ID in (left, right) and (isinstance(self.left, Attribute) or isinstance(self.right, Attribute)):
            raise InvalidFilter("an attribute is compared with an id")
        if left is not right and None not in (left, right):
            raise InvalidFilter(f"{_told(self.left)}, {_told(self.right)}")
        if isinstance(self.left, Property) and left in (Kind.ID, Kind.BOOLEAN) and self.op not in (Op.EQ, Op.NE):
            raise InvalidFilter(f"{self.left.name} has no order; eq and ne are possible")


@dataclass(frozen=True, slots=True)
class TextMatch:
    """The operand is a text that contains, starts with or ends with another, or is like a pattern."""

    how: How
    operand: Property | Attribute | Folded
    text: str

    def __post_init__(self) -> None:
        check_text(self.text)
        if kind_of(self.operand) not in (None, Kind.TEXT):
            raise InvalidFilter(f"{_told(self.operand)}, not a text")
        if self.how is How.LIKE:
            try:
                pieces_of(self.text)
            except ValueError as error:
                raise InvalidFilter(f"the pattern {error}") from error


@dataclass(frozen=True, slots=True)
class In:
    """The operand equals one of the values."""

    operand: Property | Attribute | Folded
    values: tuple[Literal, ...]

    def __post_init__(self) -> None:
        for value in self.values:
            Comparison(self.operand, Op.EQ, value)


@dataclass(frozen=True, slots=True)
class IsNull:
    """The product does not have it."""

    operand: Property | Attribute | Arithmetic


@dataclass(frozen=True, slots=True)
class ListMatch:
    """The attribute is a list that has all of the items, or only such."""

    how: Holds
    operand: Attribute
    items: tuple[str, ...]

    def __post_init__(self) -> None:
        for item in self.items:
            check_text(item)


@dataclass(frozen=True, slots=True)
class Intersects:
    """The footprint and the area have a position in common, on an edge too. A product without footprint has none."""

    area: Area


@dataclass(frozen=True, slots=True)
class Within:
    """No position of the footprint is outside the area, which has no holes; it may touch the edge."""

    area: Area

    def __post_init__(self) -> None:
        if not self.area.is_simple:
            raise InvalidFilter("what lies within an area can be told only of polygons without holes")


Expression = And | Or | Not | Comparison | TextMatch | In | IsNull | ListMatch | Intersects | Within
Atom = Comparison | TextMatch | In | IsNull | ListMatch | Intersects | Within


#: What is true of every product, and of none.
EVERYTHING: Final = And(())
NOTHING: Final = Or(())


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
        case Comparison() | TextMatch() | In() | IsNull() | ListMatch() | Intersects() | Within():
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


def _told(operand: Operand) -> str:
    match operand:
        case Property(name):
            return f"{name} is {operand.kind.value}"
        case Literal(value):
            return f"{str(value)[:100]!r} is {operand.kind.value}"
        case Attribute(name):
            return f"the attribute {name[:100]} is a list"
        case Arithmetic():
            return "the result is a number"
        case Folded():
            return f"{operand.operand.name} is a text"
