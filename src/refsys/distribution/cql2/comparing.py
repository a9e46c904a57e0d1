"""Tests of CQL2 that compare values: = <> < <= > >=, LIKE, BETWEEN, IN, IS NULL.

Each is made so that it is true where CQL2 says true (`wanted`), or where it says false; neither is true of what CQL2
calls unknown, because a product lacks a value.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from refsys.core.filters import (
    EVERYTHING,
    NOTHING,
    Arithmetic,
    Attribute,
    Comparison,
    Expression,
    Folded,
    How,
    In,
    Intersects,
    IsNull,
    Kind,
    ListMatch,
    Literal,
    Op,
    Property,
    TextMatch,
    Within,
    all_of,
    any_of,
    negate,
)
from refsys.core.folding import fold
from refsys.core.patterns import Wildcard, pattern_of, pieces_of
from refsys.distribution.cql2.choices import Option, Values, combined, plain, told
from refsys.distribution.cql2.tree import FOLDINGS, Call, Constant, Items, Node, problem, unexpected

OPS: Final = {"=": Op.EQ, "<>": Op.NE, "<": Op.LT, "<=": Op.LE, ">": Op.GT, ">=": Op.GE}
OPPOSITE: Final = {Op.EQ: Op.NE, Op.NE: Op.EQ, Op.LT: Op.GE, Op.GE: Op.LT, Op.GT: Op.LE, Op.LE: Op.GT}
PLAIN: Final[dict[Op, Callable[[Any, Any], bool]]] = {op: getattr(operator, op.value) for op in Op}
FOOTPRINT: Final = Property("footprint")

Test = TextMatch | In | ListMatch | Intersects | Within


class Comparing(Values):
    def compare(self, node: Node, left: Node, op: Op, right: Node) -> Expression:
        kind = self.kind(left) or self.kind(right) or Kind.TEXT
        if kind in (Kind.LIST, Kind.AREA):
            functions = "A_CONTAINS and its like" if kind is Kind.LIST else "S_INTERSECTS and its like"
            raise problem(node.at, f"{kind.value} is compared by {functions}")
        sides = [self.options(left, kind), self.options(right, kind)]
        return over(node, sides, lambda one, other: _comparison(node, one, op, other))

    def like(self, node: Call, wanted: bool) -> Expression:
        operand, pattern = node.args
        pieces = _pieces(pattern)

        def make(option: Option) -> Expression:
            match option.operand:
                case Property() | Attribute() as text if option.suffixes:
                    return known_of(text, _like_before(text, option.suffixes, pieces), wanted)
            plain(node, option)
            match option.operand:
                case Literal(value):
                    return constant(_is_like(str(value), pieces), wanted)
                case Arithmetic():
                    raise unexpected(operand.at, "a text", told(operand))
                case found:
                    return known(_like(found, pieces), wanted)

        return over(node, [self.options(operand, Kind.TEXT)], make)

    def between(self, node: Call, wanted: bool) -> Expression:
        value, least, most = node.args
        lower, upper = (Op.GE, Op.LE) if wanted else (Op.LT, Op.GT)
        return join(True, wanted, [self.compare(node, value, lower, least), self.compare(node, value, upper, most)])

    def among(self, node: Call, wanted: bool) -> Expression:
        value, items = node.args
        if not isinstance(items, Items) or not items.members:
            raise unexpected(items.at, "a list of values", told(items))
        kinds = [self.kind(member) for member in (value, *items.members)]
        kind = next(filter(None, kinds), Kind.TEXT)
        if kind in (Kind.LIST, Kind.AREA):
            raise problem(node.at, f"{kind.value} is not one of several values")
        found = [option.operand for member in items.members for option in self.options(member, kind)]
        literals = tuple(operand for operand in found if isinstance(operand, Literal))
        if len(literals) != len(items.members):
            op = Op.EQ if wanted else Op.NE
            return join(False, wanted, [self.compare(node, value, op, member) for member in items.members])

        def make(option: Option) -> Expression:
            match option.operand:
                case Literal():
                    return constant(option.operand in literals, wanted)
                case Arithmetic() as number:
                    op = Op.EQ if wanted else Op.NE
                    return join(False, wanted, [Comparison(number, op, literal) for literal in literals])
                case operand:
                    return known(In(operand, inverted(option, literals)), wanted)

        return over(node, [self.options(value, kind)], make)

    def null(self, node: Node, wanted: bool) -> Expression:
        """Whether there is no such value; `wanted` is whether there shall be none."""
        kind = self.kind(node)
        if kind is Kind.AREA:
            there: list[Expression] = [negate(IsNull(FOOTPRINT))]
        else:
            there = [_all(option.when, _is_there(option)) for option in self.options(node, kind or Kind.TEXT)]
        return all_of(*map(_opposite, there)) if wanted else _any(there)


def over(node: Node, sides: Iterable[Sequence[Option]], make: Callable[..., Expression]) -> Expression:
    """A test of values, of whatever options they have."""
    return _any(_all(*(option.when for option in found), make(*found)) for found in combined(node, sides))


def join(is_all: bool, wanted: bool, terms: Sequence[Expression]) -> Expression:
    """All of the terms, or any; where the opposite is wanted, terms being opposites already: the other way round."""
    return all_of(*terms) if is_all is wanted else any_of(*terms)


def constant(value: bool, wanted: bool) -> Expression:
    return EVERYTHING if value is wanted else NOTHING


def known(test: Comparison | Test, wanted: bool) -> Expression:
    """The test; where its opposite is wanted: that it fails, of a value that is there."""
    if wanted:
        return test
    match test:
        case Comparison(left, op, right):
            return Comparison(left, OPPOSITE[op], right)
        case _:
            return known_of(looked_at(test), test, wanted)


def known_of(operand: Property | Attribute, test: Expression, wanted: bool) -> Expression:
    """`known` for any test of one operand."""
    return test if wanted else all_of(negate(IsNull(operand)), negate(test))


def looked_at(test: Test) -> Property | Attribute:
    """What has to be there for a test to be true or false."""
    match test:
        case Intersects() | Within():
            return FOOTPRINT
        case TextMatch(_, Folded(inner)) | In(Folded(inner)):
            return inner
        case TextMatch(_, (Property() | Attribute()) as operand) | In((Property() | Attribute()) as operand):
            return operand
        case ListMatch(_, operand):
            return operand
        case _:
            raise AssertionError(test)


def _comparison(node: Node, left: Option, op: Op, right: Option) -> Expression:
    match left.operand, right.operand:
        case Literal(one), Literal(other):
            return constant(PLAIN[op](one, other), True)
        case Literal(), _:
            return _comparison(node, right, op.flipped, left)
        case (Property() | Attribute()) as operand, Literal() as literal if left.inverse and op in (Op.EQ, Op.NE):
            values = inverted(left, (literal,))
            test = Comparison(operand, Op.EQ, values[0]) if len(values) == 1 else In(operand, values)
            return known(test, op is Op.EQ)
        case (Property() | Attribute() | Arithmetic() | Folded()) as operand, other:
            plain(node, left)
            plain(node, right)
            return Comparison(operand, op, other)
        case _:
            raise AssertionError(node)


def inverted(option: Option, literals: Sequence[Literal]) -> tuple[Literal, ...]:
    """What the catalogue has for values."""
    if option.inverse is None:
        return tuple(literals)
    return tuple(Literal(value) for literal in literals for value in option.inverse(literal.value))


def _pieces(node: Node) -> list[str | Wildcard]:
    match node:
        case Constant(str() as pattern, at):
            try:
                return pieces_of(pattern)
            except ValueError as error:
                raise problem(at, f"the pattern {error}") from error
        case Call(op, (inner,)) if op in FOLDINGS:
            case, accents = op == "casei", op == "accenti"
            return [
                piece if isinstance(piece, Wildcard) else fold(piece, case=case, accents=accents)
                for piece in _pieces(inner)
            ]
        case _:
            raise unexpected(node.at, "a pattern, a text in quotes", told(node))


def _like_before(operand: Property | Attribute, suffixes: Sequence[str], pieces: list[str | Wildcard]) -> Expression:
    """LIKE of what stands before the suffix."""
    ends = [TextMatch(How.ENDSWITH, operand, suffix) for suffix in suffixes if suffix]
    found: list[Expression] = [_like(operand, [*pieces, suffix]) for suffix in suffixes if suffix]
    if "" in suffixes:
        found.append(all_of(_like(operand, pieces), *map(negate, ends)))
    # where the pattern's end is open, all of it is true of the whole text too, which an index knows
    return all_of(_like(operand, pieces), any_of(*found)) if pieces[-1:] == [Wildcard.TEXT] else any_of(*found)


def _like(operand: Property | Attribute | Folded, pieces: list[str | Wildcard]) -> Comparison | TextMatch:
    """The simplest test that is the same as LIKE."""
    shorter = [
        piece
        for number, piece in enumerate(pieces)
        if not (piece is Wildcard.TEXT and number and pieces[number - 1] is Wildcard.TEXT)
    ]
    text = "".join(piece for piece in shorter if isinstance(piece, str))
    at_start, at_end = shorter[:1] == [Wildcard.TEXT], shorter[-1:] == [Wildcard.TEXT]
    wild = sum(isinstance(piece, Wildcard) for piece in shorter)
    if wild == 0:
        return Comparison(operand, Op.EQ, Literal(text))
    if Wildcard.CHARACTER in shorter or wild > (at_start + at_end if len(shorter) > 1 else 1):
        return TextMatch(How.LIKE, operand, pattern_of(shorter))
    how = How.CONTAINS if at_start and at_end else How.ENDSWITH if at_start else How.STARTSWITH
    return TextMatch(how, operand, text)


def _is_like(text: str, pieces: list[str | Wildcard]) -> bool:
    wild = {Wildcard.TEXT: ".*", Wildcard.CHARACTER: "."}
    pattern = "".join(wild[piece] if isinstance(piece, Wildcard) else re.escape(piece) for piece in pieces)
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def _is_there(option: Option) -> Expression:
    match option.operand:
        case Literal():
            return EVERYTHING
        case Folded(inner):
            return negate(IsNull(inner))
        case operand:
            return negate(IsNull(operand))


def _all(*terms: Expression) -> Expression:
    return NOTHING if NOTHING in terms else all_of(*terms)


def _any(terms: Iterable[Expression]) -> Expression:
    found = list(terms)
    return EVERYTHING if EVERYTHING in found else any_of(*found)


def _opposite(expression: Expression) -> Expression:
    return constant(expression == NOTHING, True) if expression in (EVERYTHING, NOTHING) else negate(expression)
