"""Filter expression → CQL2, as text and as JSON; what is read back as the same expression.

An expression that another dialect made may say what CQL2 says only in more words: `Not` of a test is true of a product
that lacks the value, so it becomes `NOT test OR value IS NULL`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from refsys.core.areas import Area
from refsys.core.filters import (
    And,
    Arithmetic,
    Atom,
    Attribute,
    Comparison,
    Expression,
    Folded,
    Holds,
    How,
    In,
    Intersects,
    InvalidFilter,
    IsNull,
    ListMatch,
    Literal,
    Not,
    Operand,
    Or,
    Property,
    TextMatch,
    Within,
)
from refsys.core.patterns import Wildcard, pattern_of
from refsys.core.times import format_instant
from refsys.distribution.cql2.comparing import FOOTPRINT, OPS, looked_at
from refsys.distribution.cql2.text import KEYWORDS, NAME
from refsys.distribution.cql2.tree import (
    ARITHMETIC,
    COMPARISONS,
    Call,
    Constant,
    Geometry,
    Instant,
    Interval,
    Items,
    Name,
    Node,
)
from refsys.distribution.cql2.vocabulary import Source, Vocabulary
from refsys.distribution.wkt import write_geometry

_SIGNS: Final = {op: sign for sign, op in OPS.items()}


def print_text(expression: Expression, vocabulary: Vocabulary) -> str:
    """The expression in CQL2 text. Raises InvalidFilter where no queryable is what it speaks of."""
    return _text(_Teller(vocabulary).node(expression))


def print_json(expression: Expression, vocabulary: Vocabulary) -> Any:
    """The expression in CQL2 JSON. Raises InvalidFilter where no queryable is what it speaks of."""
    return _json(_Teller(vocabulary).node(expression))


class _Teller:
    """Makes the syntax tree of an expression."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._names: dict[object, str] = {}
        for name, queryable in vocabulary.queryables.items():
            if len(queryable.sources) == 1 and queryable.sources[0] == Source(queryable.sources[0].operand):
                self._names.setdefault(queryable.sources[0].operand, name)

    def node(self, expression: Expression) -> Node:
        match expression:
            case And(terms):
                return _several("and", self._terms(terms))
            case Or(terms):
                return _several("or", [self.node(term) for term in terms])
            case Not(IsNull() as test):
                return _call("not", self._atom(test))
            case Not(term):
                return self._failing(term)
            case atom:
                return self._atom(atom)

    def _terms(self, terms: Sequence[Expression]) -> list[Node]:
        """The terms of And; a value that is there and fails a test are together the test's NOT."""
        nodes: list[Node] = []
        rest = list(reversed(terms))
        while rest:
            match rest.pop(), rest[-1:]:
                case Not(IsNull(operand)), [Not(test)] if _is_of(test, operand):
                    rest.pop()
                    nodes.append(_call("not", self.node(test)))
                case term, _:
                    nodes.append(self.node(term))
        return nodes

    def _failing(self, term: Expression) -> Node:
        """What is true where the term is not, be it that something is missing."""
        match term:
            case And(terms):
                return _several("or", [self.node(Not(inner)) for inner in terms])
            case Or(terms):
                return _several("and", [self.node(Not(inner)) for inner in terms])
            case Not(inner):
                return self.node(inner)
            case IsNull():
                return _call("not", self._atom(term))
            case Comparison(left, _, right):
                sides = [_known(side) for side in (left, right) if not isinstance(side, Literal)]
            case TextMatch() | In() | ListMatch() | Intersects() | Within():
                sides = [looked_at(term)]
        missing = [_call("isNull", self._operand(side)) for side in sides]
        return _several("or", [_call("not", self._atom(term)), *missing])

    def _atom(self, atom: Atom) -> Node:
        match atom:
            case Comparison(left, op, right):
                return _call(_SIGNS[op], self._operand(left), self._operand(right))
            case TextMatch(how, operand, text):
                return _call("like", self._operand(operand), Constant(_pattern(how, text), ""))
            case In(operand, values):
                return _call("in", self._operand(operand), Items(tuple(map(self._operand, values)), ""))
            case IsNull(operand):
                return _call("isNull", self._operand(operand))
            case ListMatch(how, operand, items):
                relation = "a_contains" if how is Holds.ALL else "a_containedBy"
                return _call(relation, self._operand(operand), Items(tuple(Constant(item, "") for item in items), ""))
            case Intersects(area):
                return _call("s_intersects", self._operand(FOOTPRINT), Geometry((area,), ""))
            case Within(area):
                return _call("s_within", self._operand(FOOTPRINT), Geometry((area,), ""))

    def _operand(self, operand: Operand) -> Node:
        match operand:
            case Property() | Attribute():
                if operand not in self._names:
                    raise InvalidFilter(f"no queryable is {operand.name}")
                return Name(self._names[operand], "")
            case Literal(datetime() as instant):
                return Instant(instant, instant, "")
            case Literal(UUID() as identity):
                return Constant(str(identity), "")
            case Literal((bool() | int() | float() | str()) as value):
                return Constant(value, "")
            case Literal():
                raise InvalidFilter("a list is no value to compare with")
            case Arithmetic(left, sign, right):
                return _call(sign.value, self._operand(left), self._operand(right))
            case Folded(inner, case, accents):
                node = self._operand(inner)
                node = _call("accenti", node) if accents else node
                return _call("casei", node) if case else node


def _call(op: str, *args: Node) -> Call:
    return Call(op, args, "")


def _several(op: str, nodes: Sequence[Node]) -> Node:
    match nodes:
        case []:
            return Constant(op == "and", "")
        case [node]:
            return node
        case _:
            return _call(op, *nodes)


def _is_of(test: Expression, operand: object) -> bool:
    return isinstance(test, TextMatch | In | ListMatch | Intersects | Within) and looked_at(test) == operand


def _known(operand: Operand) -> Operand:
    return operand.operand if isinstance(operand, Folded) else operand


def _pattern(how: How, text: str) -> str:
    if how is How.LIKE:
        return text
    pieces: list[str | Wildcard] = list(text)
    before = [Wildcard.TEXT] if how in (How.CONTAINS, How.ENDSWITH) else []
    after = [Wildcard.TEXT] if how in (How.CONTAINS, How.STARTSWITH) else []
    return pattern_of([*before, *pieces, *after])


def _text(node: Node) -> str:
    match node:
        case Name(name):
            return name if NAME.fullmatch(name) and name.lower() not in KEYWORDS else _quoted(name, '"')
        case Constant(bool() as value):
            return "TRUE" if value else "FALSE"
        case Constant(str() as value):
            return _quoted(value, "'")
        case Constant(value):
            return str(value)
        case Instant(start):
            return f"TIMESTAMP('{format_instant(start)}')"
        case Geometry(areas):
            return ",".join(map(write_geometry, areas))
        case Items(members):
            return f"({', '.join(map(_text, members))})"
        case Call("not", (inner,)):
            return f"NOT {_term(inner)}"
        case Call("and" | "or" as op, args):
            return f" {op.upper()} ".join(map(_term, args))
        case Call("isNull", (inner,)):
            return f"{_side(inner)} IS NULL"
        case Call("like" | "in" as op, (left, right)):
            return f"{_side(left)} {op.upper()} {_text(right)}"
        case Call(op, (left, right)) if op in COMPARISONS:
            return f"{_text(left)} {op} {_text(right)}"
        case Call(op, (left, right)) if op in ARITHMETIC:
            return f"{_side(left)} {op} {_side(right)}"
        case Call(op, args):
            return f"{op.upper()}({', '.join(map(_text, args))})"
        case Interval():
            raise InvalidFilter("no expression has intervals")


def _side(node: Node) -> str:
    """One side of a sign: sums and negative numbers in parentheses."""
    match node:
        case Call(op) if op in ARITHMETIC:
            return _bracketed(node)
        case Constant((int() | float()) as value) if value < 0:
            return _bracketed(node)
        case _:
            return _text(node)


def _term(node: Node) -> str:
    """A term of AND, OR, NOT: those in parentheses."""
    return _bracketed(node) if isinstance(node, Call) and node.op in ("and", "or") else _text(node)


def _bracketed(node: Node) -> str:
    return f"({_text(node)})"


def _quoted(text: str, quote: str) -> str:
    return f"{quote}{text.replace(quote, quote * 2)}{quote}"


def _json(node: Node) -> Any:
    match node:
        case Name(name):
            return {"property": name}
        case Constant(value):
            return value
        case Instant(start):
            return {"timestamp": format_instant(start)}
        case Geometry((area,)):
            return _geojson(area)
        case Items(members):
            return [_json(member) for member in members]
        case Call(op, args):
            return {"op": op, "args": [_json(arg) for arg in args]}
        case _:
            raise InvalidFilter("no expression has intervals or several geometries")


def _geojson(area: Area) -> dict[str, Any]:
    return {"type": area.kind, "coordinates": _lists(area.coordinates)}


def _lists(coordinates: Any) -> Any:
    return [_lists(member) for member in coordinates] if isinstance(coordinates, tuple) else coordinates
