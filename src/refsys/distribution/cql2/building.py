"""Syntax tree of CQL2 → filter expression.

CQL2 knows true, false and unknown (NULL): what compares with something that a product lacks is unknown, and so is its
NOT. An expression is true or false. So of each part two expressions can be made: one that is true where the part is
true, and one that is true where it is false (`wanted`); NOT exchanges them, and of what is unknown neither is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import shapely

from refsys.core.areas import Area
from refsys.core.filters import (
    EVERYTHING,
    NOTHING,
    Attribute,
    Expression,
    Holds,
    Intersects,
    InvalidFilter,
    IsNull,
    Kind,
    ListMatch,
    Literal,
    Op,
    Within,
    atoms,
    negate,
)
from refsys.distribution.cql2.choices import Option, told
from refsys.distribution.cql2.comparing import OPPOSITE, OPS, PLAIN, Comparing, constant, inverted, join, known, over
from refsys.distribution.cql2.tree import (
    ARRAYS,
    LOGICAL,
    SPATIAL,
    TEMPORAL,
    TESTS,
    TESTS_LIMIT,
    Call,
    Constant,
    Geometry,
    Instant,
    Interval,
    Items,
    Name,
    Node,
    instant_of,
    problem,
    unexpected,
)
from refsys.distribution.cql2.vocabulary import Vocabulary

#: Most tests of the catalogue that a filter may lead to.
ATOMS_LIMIT: Final = 5000
_ARGUMENTS: Final = {"isNull": 1, "between": 3}
_SWAPPED: Final = {
    "s_within": "s_contains",
    "s_contains": "s_within",
    "a_contains": "a_containedBy",
    "a_containedBy": "a_contains",
}
_START, _STOP = 0, 1
#: What relates two times: ends of one and ends of the other. An instant is an interval without length.
_RELATIONS: Final[dict[str, tuple[tuple[int, Op, int], ...]]] = {
    "t_after": ((_START, Op.GT, _STOP),),
    "t_before": ((_STOP, Op.LT, _START),),
    "t_contains": ((_START, Op.LT, _START), (_STOP, Op.GT, _STOP)),
    "t_during": ((_START, Op.GT, _START), (_STOP, Op.LT, _STOP)),
    "t_equals": ((_START, Op.EQ, _START), (_STOP, Op.EQ, _STOP)),
    "t_finishedBy": ((_START, Op.LT, _START), (_STOP, Op.EQ, _STOP)),
    "t_finishes": ((_START, Op.GT, _START), (_STOP, Op.EQ, _STOP)),
    "t_intersects": ((_START, Op.LE, _STOP), (_STOP, Op.GE, _START)),
    "t_meets": ((_STOP, Op.EQ, _START),),
    "t_metBy": ((_START, Op.EQ, _STOP),),
    "t_overlappedBy": ((_START, Op.GT, _START), (_START, Op.LT, _STOP), (_STOP, Op.GT, _STOP)),
    "t_overlaps": ((_START, Op.LT, _START), (_STOP, Op.GT, _START), (_STOP, Op.LT, _STOP)),
    "t_startedBy": ((_START, Op.EQ, _START), (_STOP, Op.GT, _STOP)),
    "t_starts": ((_START, Op.EQ, _START), (_STOP, Op.LT, _STOP)),
}

#: Start and stop; None where there is no end.
Ends = tuple[Node | None, Node | None]


def build(node: Node, vocabulary: Vocabulary) -> Expression:
    """The expression of a tree. Raises InvalidCql2."""
    expression = _Builder(vocabulary).test(node, True)
    if sum(1 for _ in atoms(expression)) > ATOMS_LIMIT:
        raise problem(node.at, f"it leads to more than {ATOMS_LIMIT} tests of the catalogue")
    return expression


class _Builder(Comparing):
    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self._tests = 0

    def test(self, node: Node, wanted: bool) -> Expression:
        match node:
            case Call("and" | "or" as op, args) if args:
                return join(op == "and", wanted, [self.test(arg, wanted) for arg in args])
            case Call("not", (inner,)):
                return self.test(inner, not wanted)
        self._tests += 1
        if self._tests > TESTS_LIMIT:
            raise problem(node.at, f"more than {TESTS_LIMIT} tests")
        try:
            return self._test(node, wanted)
        except InvalidFilter as error:
            raise problem(node.at, str(error)) from error

    def _test(self, node: Node, wanted: bool) -> Expression:
        match node:
            case Constant(bool() as value):
                return constant(value, wanted)
            case Name() if self.kind(node) is Kind.BOOLEAN:
                return self.compare(node, node, Op.EQ, Constant(wanted, node.at))
            case Call(op, args) if op in TESTS:
                if len(args) != _ARGUMENTS.get(op, 2):
                    raise unexpected(node.at, f"{_ARGUMENTS.get(op, 2)} values for {op.upper()}", str(len(args)))
                return self._call(node, wanted)
            case Call(op, args) if op in LOGICAL:
                raise unexpected(node.at, f"tests for {op.upper()}", f"{len(args)} of them")
            case _:
                raise unexpected(node.at, "a test, which is true or false", told(node))

    def _call(self, node: Call, wanted: bool) -> Expression:
        match node.op:
            case "like":
                return self.like(node, wanted)
            case "between":
                return self.between(node, wanted)
            case "in":
                return self.among(node, wanted)
            case "isNull":
                return self._null(node.args[0], wanted)
            case op if op in SPATIAL:
                return self._spatial(node, wanted)
            case op if op in TEMPORAL:
                return self._temporal(node, wanted)
            case op if op in ARRAYS:
                return self._array(node, wanted)
            case op:
                return self._comparison(node, OPS[op] if wanted else OPPOSITE[OPS[op]])

    def _comparison(self, node: Call, op: Op) -> Expression:
        left, right = node.args
        if not _is_test(left) and not _is_test(right):
            return self.compare(node, left, op, right)
        test, value = (left, right) if _is_test(left) else (right, left)
        if op not in (Op.EQ, Op.NE) or not isinstance(value, Constant) or not isinstance(value.value, bool):
            raise unexpected(value.at, "TRUE or FALSE: a test is compared with nothing else, by = or <>", told(value))
        return self.test(test, value.value is (op is Op.EQ))

    def _null(self, node: Node, wanted: bool) -> Expression:
        if _is_test(node):
            # what is neither true nor false
            sides = [self.test(node, True), self.test(node, False)]
            return join(True, wanted, [negate(side) for side in sides] if wanted else sides)
        if isinstance(node, Geometry | Interval | Items):
            raise unexpected(node.at, "a name", told(node))
        return self.null(node, wanted)

    def _spatial(self, node: Call, wanted: bool) -> Expression:
        op, (left, right) = node.op, node.args
        if op == "s_disjoint":
            return self._spatial(replace(node, op="s_intersects"), not wanted)
        if op not in ("s_intersects", "s_within", "s_contains"):
            raise problem(
                node.at, f"{op.upper()} is not offered; there are S_INTERSECTS, S_DISJOINT, S_WITHIN, S_CONTAINS"
            )
        one, other = self._areas(left), self._areas(right)
        if one and other:
            return constant(bool(getattr(_united(one), op[2:])(_united(other))), wanted)
        if not one and not other:
            # a footprint and itself
            return self.null(left, False) if wanted else NOTHING
        op = _SWAPPED.get(op, op) if one else op
        return self._of_footprint(node, op, one or other, wanted)

    def _of_footprint(self, node: Call, op: str, areas: Sequence[Area], wanted: bool) -> Expression:
        match op:
            case "s_within":
                if len(areas) != 1 or not areas[0].is_simple:
                    raise problem(
                        node.at, "whether it lies within is told only of a polygon or MULTIPOLYGON without holes"
                    )
                return known(Within(areas[0]), wanted)
            case "s_contains":
                points = [point for area in areas for point in _points(area)]
                return join(True, wanted, [known(Intersects(point), wanted) for point in points])
            case _:
                return join(False, wanted, [known(Intersects(area), wanted) for area in areas])

    def _areas(self, node: Node) -> tuple[Area, ...]:
        """What a geometry is; nothing where it is the footprint."""
        if isinstance(node, Geometry):
            return node.areas
        if isinstance(node, Name) and self.kind(node) is Kind.AREA:
            return ()
        raise unexpected(node.at, "a geometry", told(node))

    def _temporal(self, node: Call, wanted: bool) -> Expression:
        if node.op == "t_disjoint":
            return self._temporal(replace(node, op="t_intersects"), not wanted)
        one, other = (self._ends(arg) for arg in node.args)
        terms = [
            self._compare_ends(node, (one[left], left), op, (other[right], right), wanted)
            for left, op, right in _RELATIONS[node.op]
        ]
        return join(True, wanted, terms)

    def _ends(self, node: Node) -> Ends:
        match node:
            case Interval(start, stop, _):
                first, last = (self._ends(end) if end else (None, None) for end in (start, stop))
                return first[_START], last[_STOP]
            case Instant(start, stop, at):
                return Instant(start, start, at), Instant(stop, stop, at)
            case Constant(str() as text, at):
                return self._ends(instant_of(text, at))
            case Name() if self.kind(node) is Kind.INSTANT:
                return node, node
            case _:
                raise unexpected(node.at, "a time or an interval", told(node))

    def _compare_ends(
        self, node: Call, left: tuple[Node | None, int], op: Op, right: tuple[Node | None, int], wanted: bool
    ) -> Expression:
        """Two ends of intervals. One that is not there lies behind all times, or before them."""
        one, other = left[0], right[0]
        if one is not None and other is not None:
            return self.compare(node, one, op if wanted else OPPOSITE[op], other)
        ranks = (0 if end is not None else (-1, 1)[side] for end, side in (left, right))
        if PLAIN[op](*ranks) is not wanted:
            return NOTHING
        end = one or other
        return EVERYTHING if end is None else self.null(end, False)

    def _array(self, node: Call, wanted: bool) -> Expression:
        op, (left, right) = node.op, node.args
        one, other = self._items(left), self._items(right)
        if one is None and other is None:
            raise problem(node.at, "two lists of products are not compared with each other")
        if one is not None:
            op, left = _SWAPPED.get(op, op), right
        items = one if one is not None else other or ()
        options = self.options(left, Kind.LIST) if isinstance(left, Name) else [Option(Literal(other or ()))]
        return over(node, [options], lambda option: _lists(op, option, items, wanted))

    def _items(self, node: Node) -> tuple[str, ...] | None:
        """The texts of a list; None of a name, which is one."""
        match node:
            case Name() if self.kind(node) is Kind.LIST:
                return None
            case Constant(str() as text):
                return (text,)
            case Items(members):
                for member in members:
                    if not isinstance(member, Constant) or not isinstance(member.value, str):
                        raise unexpected(member.at, "a text", told(member))
                return tuple(str(member.value) for member in members if isinstance(member, Constant))
            case _:
                raise unexpected(node.at, "a list", told(node))


def _lists(op: str, option: Option, items: Sequence[str], wanted: bool) -> Expression:
    match op:
        case "a_contains":
            return join(True, wanted, [_holds(Holds.ALL, option, items, wanted)])
        case "a_containedBy":
            return _holds(Holds.ONLY, option, items, wanted)
        case "a_equals":
            return join(True, wanted, [_holds(how, option, items, wanted) for how in Holds])
        case _ if items:
            return join(False, wanted, [_holds(Holds.ALL, option, (item,), wanted) for item in items])
        case _:
            # nothing overlaps an empty list, if there is a list at all
            return NOTHING if wanted else _holds(Holds.ALL, option, (), True)


def _holds(how: Holds, option: Option, items: Sequence[str], wanted: bool) -> Expression:
    match option.operand:
        case Literal(tuple() as value):
            held = set(items) <= set(value) if how is Holds.ALL else set(value) <= set(items)
            return constant(held, wanted)
        case Attribute() as attribute if option.inverse is None or not items:
            return known(ListMatch(how, attribute, tuple(items)), wanted)
        case Attribute() as attribute:
            spellings = [tuple(str(literal.value) for literal in inverted(option, [Literal(item)])) for item in items]
            if how is Holds.ONLY:
                return known(ListMatch(how, attribute, tuple(text for texts in spellings for text in texts)), wanted)
            return join(True, wanted, [_any_of(attribute, texts, wanted) for texts in spellings])
        case _:
            raise InvalidFilter("it is no list")


def _any_of(attribute: Attribute, texts: Sequence[str], wanted: bool) -> Expression:
    """Whether one of several spellings is in the list."""
    if not texts:
        return NOTHING if wanted else negate(IsNull(attribute))
    return join(False, wanted, [known(ListMatch(Holds.ALL, attribute, (text,)), wanted) for text in texts])


def _is_test(node: Node) -> bool:
    return isinstance(node, Call) and (node.op in TESTS or node.op in LOGICAL)


def _points(area: Area) -> list[Area]:
    match area.kind:
        case "Point":
            return [area]
        case "MultiPoint":
            return [Area("Point", position) for position in area.coordinates]
        case _:
            raise InvalidFilter("whether a footprint contains it is told only of points; S_INTERSECTS takes all")


def _united(areas: Sequence[Area]) -> shapely.Geometry:
    return shapely.union_all([area.shape() for area in areas])
