"""Values that a filter in CQL2 compares: what a name, a constant, a sum or a folded text is in each product.

A choice is one or more options of which at most one applies to a product; a test of choices is true where an option
applies for which it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from refsys.core.filters import (
    EVERYTHING,
    Arithmetic,
    Expression,
    Folded,
    InvalidFilter,
    Kind,
    Literal,
    Operand,
    Sign,
    Value,
    all_of,
)
from refsys.core.folding import fold
from refsys.core.times import parse_instant
from refsys.distribution.cql2.tree import (
    ARITHMETIC,
    FOLDINGS,
    TESTS,
    Call,
    Constant,
    Geometry,
    Instant,
    Interval,
    Items,
    Name,
    Node,
    problem,
    shown,
    unexpected,
)
from refsys.distribution.cql2.vocabulary import Queryable, Vocabulary
from refsys.distribution.odata.cursor import nearest

#: Most options that a test may have.
OPTIONS_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True)
class Option:
    """What a value is in products of which `when` is true; `inverse` and `suffixes` as in a vocabulary's source."""

    operand: Operand
    when: Expression = EVERYTHING
    inverse: Callable[[Value], Sequence[Value]] | None = None
    suffixes: tuple[str, ...] = ()


class Values:
    """Reads values by a vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def queryable(self, node: Name) -> Queryable:
        """What a name means. Raises InvalidCql2."""
        found = self._vocabulary.find(node.name)
        if found is None:
            hint = nearest(node.name, self._vocabulary.queryables)
            raise unexpected(node.at, f"a queryable{hint}", shown(node.name))
        return found

    def kind(self, node: Node) -> Kind | None:
        """What a value is; None of a text, which may be read as a time or an id. Raises InvalidCql2 of no value."""
        match node:
            case Name():
                return self.queryable(node).kind
            case Constant(bool()):
                return Kind.BOOLEAN
            case Constant(str()):
                return None
            case Constant():
                return Kind.NUMBER
            case Instant():
                return Kind.INSTANT
            case Call(op) if op in ARITHMETIC:
                return Kind.NUMBER
            case Call(op) if op in FOLDINGS:
                return Kind.TEXT
            case _:
                raise unexpected(node.at, "a value or a name", told(node))

    def options(self, node: Node, kind: Kind) -> list[Option]:
        """What a value is in products, as a kind. Raises InvalidCql2."""
        found = self.kind(node)
        if found is not kind and (found is not None or kind not in (Kind.TEXT, Kind.INSTANT, Kind.ID)):
            raise unexpected(
                node.at, kind.value, told(node) if found is None else f"{told(node)}, which is {found.value}"
            )
        match node:
            case Name():
                sources = self.queryable(node).sources
                return [Option(source.operand, source.when, source.inverse, source.suffixes) for source in sources]
            case Constant(value):
                return [Option(_literal(value, kind, node))]
            case Instant(start):
                return [Option(Literal(start))]
            case Call(op, args) if op in FOLDINGS:
                return [self._folded(op, option, node) for option in self.options(self.only(node, args), Kind.TEXT)]
            case Call(op, args):
                if len(args) != 2:
                    raise unexpected(node.at, f"two numbers for {op}", f"{len(args)} values")
                sides = [self.options(arg, kind) for arg in args]
                return [
                    Option(Arithmetic(left.operand, Sign(op), right.operand), all_of(left.when, right.when))
                    for left, right in combined(node, sides)
                    if plain(node, left) and plain(node, right)
                ]
            case _:
                raise unexpected(node.at, kind.value, told(node))

    @staticmethod
    def only(node: Call, args: Sequence[Node]) -> Node:
        """The one value that a function is of."""
        if len(args) != 1:
            raise unexpected(node.at, f"one value in {node.op.upper()}", f"{len(args)}")
        return args[0]

    @staticmethod
    def _folded(op: str, option: Option, node: Node) -> Option:
        plain(node, option)
        case, accents = op == "casei", op == "accenti"
        match option.operand:
            case Literal(str() as text):
                operand: Operand = Literal(fold(text, case=case, accents=accents))
            case Folded(inner, has_case, has_accents):
                operand = Folded(inner, case or has_case, accents or has_accents)
            case Literal() | Arithmetic():
                raise unexpected(node.at, "a text", "something else")
            case inner:
                operand = Folded(inner, case, accents)
        return Option(operand, option.when)


def combined(node: Node, sides: Iterable[Sequence[Option]]) -> Iterator[tuple[Option, ...]]:
    """Every way in which the options of several values go together. Raises InvalidCql2 of too many."""
    combinations = list(itertools.islice(itertools.product(*sides), OPTIONS_LIMIT + 1))
    if len(combinations) > OPTIONS_LIMIT:
        raise problem(node.at, "these cannot be compared with each other: each is made of too many things")
    return iter(combinations)


def plain(node: Node, option: Option) -> bool:
    """True; raises InvalidCql2 where the catalogue has other values than the filter speaks of."""
    if option.inverse is not None:
        raise problem(node.at, "such a queryable can be compared only with values, by =, <> and IN")
    return True


def told(node: Node) -> str:
    """What a node is, in an error."""
    match node:
        case Name(name):
            return shown(name)
        case Constant(value):
            return shown(str(value).lower() if isinstance(value, bool) else value)
        case Instant():
            return "a time"
        case Interval():
            return "an interval"
        case Geometry():
            return "a geometry"
        case Items():
            return "a list"
        case Call(op) if op in TESTS or op in ("and", "or", "not"):
            return f"{op.upper()}, which is true or false"
        case Call(op):
            return op.upper()


def _literal(value: Value, kind: Kind, node: Node) -> Literal:
    try:
        if isinstance(value, str) and kind is Kind.INSTANT:
            return Literal(parse_instant(value))
        if isinstance(value, str) and kind is Kind.ID:
            return Literal(UUID(value))
        return Literal(value)
    except InvalidFilter as error:
        raise problem(node.at, str(error)) from error
    except ValueError as error:
        expected = "a time such as 2024-09-01T12:00:00Z" if kind is Kind.INSTANT else kind.value
        raise unexpected(node.at, expected, shown(value)) from error
