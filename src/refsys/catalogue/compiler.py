"""Filter expressions → parameterised SQL over `catalogue.product p`. Values only ever become parameters.

SQL's three values and the expressions' two agree: each test is TRUE where it holds and FALSE or NULL where it does not,
AND and OR keep that, and Not is IS NOT TRUE. No row can make a query fail: what a test reads out of `attributes` is
looked at as a text or compared as jsonb; what is counted with becomes a number only where it is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Any, Final, assert_never

import asyncpg

from refsys.core.areas import Area
from refsys.core.filters import (
    And,
    Arithmetic,
    Attribute,
    Comparison,
    Expression,
    Folded,
    Holds,
    How,
    In,
    Intersects,
    IsNull,
    Kind,
    ListMatch,
    Literal,
    Not,
    Op,
    Operand,
    Or,
    Property,
    TextMatch,
    Within,
    kind_of,
)
from refsys.core.folding import table
from refsys.core.grams import name_grams
from refsys.core.patterns import Wildcard, fixed_texts, pieces_of
from refsys.core.times import format_instant

#: More values than this in a list of an attribute are looked up without the index.
_INDEXED_VALUES: Final = 32
#: Greater than every name that begins with what it is appended to: names are ASCII.
_BEHIND_ALL: Final = "\x7f"
#: The index of lasting products (migration 0038) has what lasts at least so long.
_LASTING: Final = timedelta(hours=18)
_FIRST_DAY: Final = datetime(1, 1, 1, tzinfo=UTC)
#: How instants are written in attributes (core.times.format_instant).
_AFTER: Final = (Op.GT, Op.GE, Op.EQ)
_BEFORE: Final = (Op.LT, Op.LE, Op.EQ)
_INSTANT: Final = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"

_OPS: Final = {Op.EQ: "=", Op.NE: "<>", Op.LT: "<", Op.LE: "<=", Op.GT: ">", Op.GE: ">="}
_JSON_TYPES: Final = {Kind.TEXT: "string", Kind.NUMBER: "number", Kind.BOOLEAN: "boolean", Kind.INSTANT: "string"}

# the text of a list
_JOINED: Final = """(
    CASE jsonb_typeof(p.attributes -> {name}) WHEN 'array' THEN coalesce((
        SELECT string_agg(item, {separator}::text ORDER BY place)
          FROM jsonb_array_elements_text(p.attributes -> {name}) WITH ORDINALITY AS items(item, place)), '')
    END)"""

# a scalar subquery on purpose: the planner, which guesses `&&` badly, cannot turn it into a join
_OVERLAPS: Final = """(
    SELECT TRUE FROM catalogue.footprint_part f
     WHERE f.product_id = p.id AND f.part && ANY({areas}::text[]::polygon[]) LIMIT 1)"""
# for counts, which look at all that overlap
_AMONG_OVERLAPPING: Final = """p.id IN (
    SELECT f.product_id FROM unnest({areas}::text[]::polygon[]) AS area
      JOIN catalogue.footprint_part f ON f.part && area)"""
# nothing of the footprint is outside; parts are covered one by one: the area's polygons do not touch along an edge
_WITHIN: Final = """(p.footprint IS NOT NULL AND NOT EXISTS (
    SELECT FROM catalogue.footprint_part f
     WHERE f.product_id = p.id AND NOT f.part <@ ANY({areas}::text[]::polygon[])))"""
_ASCII_ONLY: Final = "octet_length({text}) = char_length({text})"
#: What kinds an attribute may be of, where nothing says which. Instants are texts.
_ANY_KIND: Final = (Kind.TEXT, Kind.NUMBER, Kind.BOOLEAN)
_AS_WRITTEN: Final = """to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

# The newest visibility rule in force that applies, else what its type says. Whether there is any rule is asked once.
# A condition of its own in each branch: the planner takes a CASE that is compared with a text for a rare one.
_VISIBILITY: Final = """CASE
    WHEN (SELECT NOT EXISTS (SELECT FROM catalogue.rule WHERE kind = 'visibility' AND lifted_at IS NULL))
    THEN p.visibility {allowed}
    ELSE coalesce((SELECT r.visibility FROM catalogue.rule r
                    WHERE r.kind = 'visibility' AND r.lifted_at IS NULL
                      AND catalogue.applies(r, p.name, p.collection, p.product_type, p.platform, p.sensing_start)
                    ORDER BY r.id DESC LIMIT 1), p.visibility) {allowed}
    END"""
_IS_PUBLIC: Final = _VISIBILITY.format(allowed="= 'public'")
_IS_FOR_ROLES: Final = _VISIBILITY.format(allowed="IN ('public', 'role')")


class Scope(Enum):
    """Whose eyes look: the predicate that is added to every search."""

    #: What users may see (`visibility` will widen with their roles).
    PUBLIC = f"p.state = 'published' AND {_IS_PUBLIC}"
    #: What users of the production side may see: besides, what is visible with a role.
    PRODUCTION = f"p.state = 'published' AND {_IS_FOR_ROLES}"
    #: What is published, whoever may see it.
    PUBLISHED = "p.state = 'published'"
    #: What users could see and was taken away.
    DELETED = f"p.deleted_at IS NOT NULL AND {_IS_PUBLIC}"
    #: What operators see: everything, of each name its newest revision.
    OPERATOR = "p.current"


class Compiler:
    """Makes the WHERE of one query; `args` are its parameters. With `joins` it is for a query that wants all rows."""

    def __init__(self, *, joins: bool = False) -> None:
        self.args: list[Any] = []
        self._joins = joins
        self._names: dict[str, str] = {}

    def where(self, expression: Expression, scope: Scope) -> str:
        """What users ask for, within what they may see."""
        return f"{scope.value} AND {self.condition(expression)}"

    def bind(self, value: Any) -> str:
        """The placeholder of a value."""
        self.args.append(value)
        return f"${len(self.args)}"

    def condition(self, expression: Expression) -> str:
        match expression:
            case And(terms):
                return f"({' AND '.join([*map(self.condition, terms), *self._reaching(terms)])})" if terms else "TRUE"
            case Or(terms):
                return f"({' OR '.join(map(self.condition, terms))})" if terms else "FALSE"
            case Not(term):
                return f"({self.condition(term)}) IS NOT TRUE"
            case Comparison(Property() as left, op, (Property() | Literal()) as right):
                return self._property(left, op, right)
            case Comparison(Attribute() as left, op, Literal() as right):
                return self._list(left, op, right) if left.separator else self._attribute(left, op, right)
            case Comparison(left, op, right):
                return self._comparison(left, op, right)
            case TextMatch(how, operand, text):
                return self._text_match(how, operand, text)
            case In(operand, values):
                return self._in(operand, values)
            case IsNull(operand):
                return f"{self._known(operand)} IS NULL"
            case ListMatch(how, operand, items):
                return self._list_match(how, operand, items)
            case Intersects(area):
                return self._intersects(area)
            case Within(area):
                return _WITHIN.format(areas=self.bind(polygons(area)))
            case _:
                assert_never(expression)

    def _reaching(self, terms: Sequence[Expression]) -> Iterator[str]:
        """Of what overlaps an interval, once more in words that its indexes know: it starts in time, or lasts long."""
        for end in islice(_bounds(terms, "sensing_start", Op.LT, Op.LE), 1):
            for start in _bounds(terms, "sensing_stop", Op.GT, Op.GE):
                earliest = self.bind(start - min(_LASTING, start - _FIRST_DAY))
                soon = f"p.sensing_start BETWEEN {earliest} AND {self.bind(end)}"
                yield f"({soon} OR catalogue.span_of(p.sensing_start, p.sensing_stop) >= 7)"

    def _name(self, attribute: Attribute) -> str:
        """The placeholder of an attribute's name."""
        if attribute.name not in self._names:
            self._names[attribute.name] = f"{self.bind(attribute.name)}::text"
        return self._names[attribute.name]

    def _known(self, operand: Property | Attribute | Arithmetic) -> str:
        """What is NULL where the product does not have it."""
        match operand:
            case Property(name):
                return f"p.{name}"
            case Attribute():
                return f"(p.attributes ->> {self._name(operand)})"
            case Arithmetic():
                return self._of_kind(operand, Kind.NUMBER)

    def _comparison(self, left: Operand, op: Op, right: Operand) -> str:
        """Any two operands, as a kind that both may be of."""
        known = kind_of(left) or kind_of(right)
        tests = []
        for kind in (known,) if known else _ANY_KIND:
            collation = _collation(Kind.TEXT if kind is Kind.INSTANT else kind, op)
            tests.append(f"{self._of_kind(left, kind)} {_OPS[op]} {self._of_kind(right, kind)}{collation}")
        return f"({' OR '.join(tests)})"

    def _of_kind(self, operand: Operand, kind: Kind) -> str:
        """The value of an operand; NULL where it is of another kind. Instants as texts, true and false as jsonb."""
        match operand:
            case Property(name):
                match kind:
                    case Kind.INSTANT:
                        return _AS_WRITTEN.format(column=f"p.{name}")
                    case Kind.BOOLEAN:
                        return f"to_jsonb(p.{name})"
                    case _:
                        return f"p.{name}"
            case Attribute():
                return self._attribute_of_kind(operand, kind)
            case Literal(value):
                match kind:
                    case Kind.INSTANT:
                        return f"{self.bind(_json(operand))}::text"
                    case Kind.BOOLEAN:
                        return f"{self.bind(value)}::jsonb"
                    case _:
                        return self._bound(operand)
            case Arithmetic(one, sign, other):
                a, b = self._of_kind(one, Kind.NUMBER), self._of_kind(other, Kind.NUMBER)
                return f"catalogue.calculate('{sign.value}', {a}, {b})"
            case Folded():
                return self._text(operand)

    def _attribute_of_kind(self, attribute: Attribute, kind: Kind) -> str:
        value = f"p.attributes -> {self._name(attribute)}"
        text = f"p.attributes ->> {self._name(attribute)}"
        is_of_kind = f"jsonb_typeof({value}) = '{_JSON_TYPES[kind]}'"
        match kind:
            case Kind.NUMBER:
                # CASE is what keeps the cast from anything else
                return f"(CASE WHEN {is_of_kind} THEN ({value})::numeric END)"
            case Kind.BOOLEAN:
                return f"(CASE WHEN {is_of_kind} THEN {value} END)"
            case Kind.INSTANT:
                return f"(CASE WHEN {is_of_kind} AND ({text}) ~ '{_INSTANT}' THEN {text} END)"
            case _:
                return f"(CASE WHEN {is_of_kind} THEN {text} END)"

    def _text(self, operand: Property | Attribute | Folded) -> str:
        """The text that an operand is; NULL where it is none."""
        match operand:
            case Property(name):
                return f"p.{name}"
            case Attribute(_, separator):
                return self._joined(operand) if separator else self._attribute_of_kind(operand, Kind.TEXT)
            case Folded(inner, case, accents):
                text = self._text(inner)
                changed, into = (f"{self.bind(characters)}::text" for characters in table(case, accents))
                plain = f'lower({text} COLLATE "C")' if case else text
                is_plain = _ASCII_ONLY.format(text=text)
                return f"(CASE WHEN {is_plain} THEN {plain} ELSE translate({text}, {changed}, {into}) END)"

    def _property(self, left: Property, op: Op, right: Property | Literal) -> str:
        column, collation = f"p.{left.name}", _collation(left.kind, op)
        if isinstance(right, Property):
            return f"{column} {_OPS[op]} p.{right.name}{collation}"
        return f"{column} {_OPS[op]} {self._bound(right)}{collation}"

    def _bound(self, literal: Literal) -> str:
        if literal.kind is Kind.NUMBER:
            return f"{self.bind(Decimal(repr(literal.value)))}::numeric"
        return f"{self.bind(literal.value)}::text" if literal.kind is Kind.TEXT else self.bind(literal.value)

    def _attribute(self, left: Attribute, op: Op, right: Literal) -> str:
        if op is Op.EQ:
            return f"p.attributes @> {self.bind({left.name: _json(right)})}::jsonb"
        name = self._name(left)
        is_of_kind = f"jsonb_typeof(p.attributes -> {name}) = '{_JSON_TYPES[right.kind]}'"
        if right.kind in (Kind.NUMBER, Kind.BOOLEAN):
            return f"({is_of_kind} AND (p.attributes -> {name}) {_OPS[op]} {self.bind(right.value)}::jsonb)"
        text = f"(p.attributes ->> {name})"
        if right.kind is Kind.INSTANT:
            is_of_kind += f" AND {text} ~ '{_INSTANT}'"
        return f'({is_of_kind} AND {text} {_OPS[op]} {self.bind(_json(right))}::text COLLATE "C")'

    def _list(self, left: Attribute, op: Op, right: Literal) -> str:
        """A list of texts, as its dialect writes it: items joined by the separator."""
        if right.kind is not Kind.TEXT:
            return "FALSE"
        if op not in (Op.EQ, Op.NE):
            return f'({self._joined(left)} {_OPS[op]} {self.bind(right.value)}::text COLLATE "C")'
        items = str(right.value).split(left.separator)
        name = self._name(left)
        same = f"(p.attributes -> {name}) {_OPS[op]} {self.bind(items)}::jsonb"
        if op is Op.NE:
            return f"(jsonb_typeof(p.attributes -> {name}) = 'array' AND {same})"
        return f"(p.attributes @> {self.bind({left.name: items})}::jsonb AND {same})"

    def _joined(self, attribute: Attribute) -> str:
        """The text of a list; NULL where the attribute is none."""
        return _JOINED.format(name=self._name(attribute), separator=self.bind(attribute.separator))

    def _text_match(self, how: How, operand: Property | Attribute | Folded, text: str) -> str:
        if operand == Property("name"):
            return self._name_match(how, text)
        return _matches(how, self._text(operand), f"{self.bind(text)}::text")

    def _name_match(self, how: How, text: str) -> str:
        """Names have indexes: their order for beginnings, their grams for any piece."""
        if how is How.STARTSWITH and text.isascii():
            least, behind = self.bind(text), self.bind(text + _BEHIND_ALL)
            return f'(p.name COLLATE "C" >= {least} AND p.name COLLATE "C" < {behind})'
        matches = _matches(how, "p.name", f"{self.bind(text)}::text")
        if how is How.LIKE:
            fixed = fixed_texts(text)
            grams = sorted({gram for piece in fixed for gram in name_grams(piece)})
            if fixed[0] and not isinstance(pieces_of(text)[0], Wildcard):
                matches = f"({self._name_match(How.STARTSWITH, fixed[0])} AND {matches})"
        else:
            grams = name_grams(text)
        return f"(p.name_grams @> {self.bind(grams)}::text[] AND {matches})" if grams else matches

    def _in(self, operand: Property | Attribute | Folded, values: Sequence[Literal]) -> str:
        if not values:
            return "FALSE"
        if isinstance(operand, Property):
            if operand.kind is Kind.NUMBER:
                return f"p.{operand.name} = ANY({self.bind([Decimal(repr(v.value)) for v in values])}::numeric[])"
            return f"p.{operand.name} = ANY({self.bind([literal.value for literal in values])})"
        if isinstance(operand, Folded):
            return f"{self._text(operand)} = ANY({self.bind([literal.value for literal in values])}::text[])"
        if operand.separator or len(values) <= _INDEXED_VALUES:
            return f"({' OR '.join(self.condition(Comparison(operand, Op.EQ, value)) for value in values)})"
        name, wanted = self._name(operand), self.bind([_json(value) for value in values])
        return f"(p.attributes -> {name}) = ANY(ARRAY(SELECT jsonb_array_elements({wanted}::jsonb)))"

    def _list_match(self, how: Holds, operand: Attribute, items: Sequence[str]) -> str:
        if how is Holds.ALL:
            return f"p.attributes @> {self.bind({operand.name: list(items)})}::jsonb"
        value = f"(p.attributes -> {self._name(operand)})"
        return f"(jsonb_typeof({value}) = 'array' AND {value} <@ {self.bind(list(items))}::jsonb)"

    def _intersects(self, area: Area) -> str:
        return (_AMONG_OVERLAPPING if self._joins else _OVERLAPS).format(areas=self.bind(polygons(area)))


def _bounds(terms: Sequence[Expression], name: str, *ops: Op) -> Iterator[datetime]:
    """The instants that bound a property by one of these operators."""
    for term in terms:
        match term:
            case Comparison(Property(left), op, Literal(datetime() as instant)) if left == name and op in ops:
                yield instant


def seen_in(terms: Sequence[Expression]) -> asyncpg.Range:
    """When a product that fulfils all terms was seen: every such one's `span` (catalogue.seen) overlaps this."""
    lower = max((*_bounds(terms, "sensing_start", *_AFTER), *_bounds(terms, "sensing_stop", *_AFTER)), default=None)
    upper = min((*_bounds(terms, "sensing_start", *_BEFORE), *_bounds(terms, "sensing_stop", *_BEFORE)), default=None)
    ends = (lower, upper) if lower is None or upper is None else sorted((lower, upper))
    return asyncpg.Range(*ends, lower_inc=True, upper_inc=True)


def polygons(area: Area) -> list[str]:
    """An area as polygons in the database's notation (a driver's array of polygons is taken for one of points)."""
    return [polygon_text(ring) for ring in area.rings()]


def polygon_text(ring: Iterable[tuple[float, float]]) -> str:
    """A ring of (longitude, latitude) as the database's `polygon`."""
    return "(" + ",".join(f"({lon!r},{lat!r})" for lon, lat in ring) + ")"


def _collation(kind: Kind, op: Op) -> str:
    return ' COLLATE "C"' if kind is Kind.TEXT and op not in (Op.EQ, Op.NE) else ""


def _matches(how: How, text: str, wanted: str) -> str:
    match how:
        case How.CONTAINS:
            return f"strpos({text}, {wanted}) > 0"
        case How.STARTSWITH:
            return f"starts_with({text}, {wanted})"
        case How.ENDSWITH:
            return f"right({text}, char_length({wanted})) = {wanted}"
        case How.LIKE:
            return f'{text} LIKE {wanted} COLLATE "C"'


def _json(literal: Literal) -> Any:
    return format_instant(literal.value) if isinstance(literal.value, datetime) else literal.value
