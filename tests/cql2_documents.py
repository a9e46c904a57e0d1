"""Random filters in CQL2 JSON, products that they are about, and what CQL2 says of these: true, false, or unknown."""

from __future__ import annotations

import math
import operator
import re
from datetime import datetime, timedelta
from typing import Any

import shapely
from hypothesis import strategies as st

from refsys.core.filters import Attribute, Comparison, Kind, Literal, Op, Property, Sign, all_of
from refsys.core.folding import fold
from refsys.core.patterns import Wildcard, pieces_of
from refsys.core.times import format_instant, parse_instant
from refsys.distribution.cql2 import Queryable, Source, Vocabulary
from tests import filter_strategies as strategies
from tests.catalogue_rows import Row
from tests.filter_strategies import EPOCH
from tests.plain_evaluator import calculate

VOCABULARY = Vocabulary(
    {
        "id": Queryable.of(Property("name")),
        "collection": Queryable.of(Property("collection")),
        "start_datetime": Queryable.of(Property("sensing_start")),
        "end_datetime": Queryable.of(Property("sensing_stop")),
        "published": Queryable.of(Property("published_at")),
        "refsys:online": Queryable.of(Property("online")),
        "file:size": Queryable.of(Property("package_size")),
        "geometry": Queryable.of(Property("footprint")),
        "product:timeliness": Queryable.of(Attribute("timeliness")),
        "eo:cloud_cover": Queryable.of(Attribute("cloudCover"), Kind.NUMBER),
        "sat:absolute_orbit": Queryable.of(Attribute("orbitNumber"), Kind.NUMBER),
        "processing:datetime": Queryable.of(Attribute("processingDate"), Kind.INSTANT),
        "slice flag": Queryable.of(Attribute("sliceProductFlag"), Kind.BOOLEAN),
        "sar:polarizations": Queryable.of(Attribute("polarisationChannels"), Kind.LIST),
    }
)
#: The same, and names whose values the catalogue has in other words.
MADE = Vocabulary(
    {
        **VOCABULARY.queryables,
        "platform": Queryable(
            Kind.TEXT,
            tuple(
                Source(
                    Literal(f"sentinel-{number}{letter.lower()}"),
                    all_of(
                        Comparison(Property("mission"), Op.EQ, Literal(f"S{number}")),
                        Comparison(Property("platform"), Op.EQ, Literal(letter)),
                    ),
                )
                for number in (1, 2)
                for letter in "AB"
            ),
        ),
        "grid:code": Queryable(
            Kind.TEXT, (Source(Attribute("tileId"), inverse=lambda code: [str(code).removeprefix("MGRS-")]),)
        ),
        "instruments": Queryable(
            Kind.LIST,
            (
                Source(Literal(("sar",)), Comparison(Attribute("instrument"), Op.EQ, Literal("SAR"))),
                Source(Literal(("olci", "slstr")), Comparison(Attribute("instrument"), Op.EQ, Literal("SYNERGY"))),
            ),
        ),
        "sar:beams": Queryable(Kind.LIST, (Source(Attribute("beams"), inverse=lambda beam: [str(beam).upper()]),)),
    }
)

_TEXTS = ("id", "collection", "product:timeliness")
_NUMBERS = ("eo:cloud_cover", "sat:absolute_orbit", "file:size")
_TIMES = ("start_datetime", "end_datetime", "published", "processing:datetime")
_TESTS = ("<", "<=", ">", ">=", "=", "<>")
TEMPORAL = (
    *("t_after", "t_before", "t_contains", "t_disjoint", "t_during", "t_equals", "t_finishedBy", "t_finishes"),
    *("t_intersects", "t_meets", "t_metBy", "t_overlappedBy", "t_overlaps", "t_startedBy", "t_starts"),
)
_ARRAYS = ("a_contains", "a_containedBy", "a_equals", "a_overlaps")


def call(op: str, *args: Any) -> dict[str, Any]:
    return {"op": op, "args": list(args)}


def name(text: str) -> dict[str, str]:
    return {"property": text}


def _calls(ops: Any, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(call, st.sampled_from(ops), *args)


names = {kind: st.sampled_from(of).map(name) for kind, of in {"t": _TEXTS, "n": _NUMBERS, "i": _TIMES}.items()}
texts = st.one_of(strategies.texts, strategies.names)
folded = _calls(["casei", "accenti"], names["t"] | texts | _calls(["casei", "accenti"], names["t"]))
text_values = st.one_of(names["t"], texts, folded)
numbers = strategies.numbers
sums = st.recursive(
    st.one_of(names["n"], numbers), lambda inner: _calls(["+", "-", "*", "/", "%", "div"], inner, inner), max_leaves=4
)
times = strategies.instants.map(lambda instant: {"timestamp": format_instant(instant)})
days = st.sampled_from([{"date": "2024-01-01"}, {"date": "2023-12-31"}])
time_values = st.one_of(names["i"], times, days)
ends = st.one_of(names["i"], strategies.instants.map(format_instant), st.just(".."))


def _in_order(interval: list[Any]) -> bool:
    start, stop = interval
    return ".." in interval or not (isinstance(start, str) and isinstance(stop, str)) or start <= stop


intervals = st.lists(ends, min_size=2, max_size=2).filter(_in_order).map(lambda both: {"interval": both})
items = st.lists(st.sampled_from(["VV", "VH", "HH"]), max_size=3)
areas = strategies.areas.map(lambda area: {"type": area.kind, "coordinates": _lists(area.coordinates)})


def _lists(coordinates: Any) -> Any:
    return [_lists(member) for member in coordinates] if isinstance(coordinates, tuple) else coordinates


def _listed(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=3)


tests = st.one_of(
    _calls(_TESTS, text_values, text_values),
    _calls(_TESTS, sums, sums),
    _calls(_TESTS, time_values, time_values),
    _calls(["=", "<>"], st.sampled_from(["refsys:online", "slice flag"]).map(name), st.booleans()),
    st.sampled_from(["refsys:online", "slice flag"]).map(name),
    st.booleans(),
    _calls(["like"], text_values, strategies.patterns | _calls(["casei", "accenti"], strategies.patterns)),
    _calls(["between"], sums, numbers, sums),
    _calls(["between"], names["i"], times, times),
    _calls(["in"], text_values, _listed(text_values)),
    _calls(["in"], sums, _listed(numbers)),
    _calls(["in"], names["i"], _listed(times)),
    _calls(["isNull"], st.one_of(*names.values(), sums, st.sampled_from(["geometry", "sar:polarizations"]).map(name))),
    _calls(["s_intersects", "s_disjoint"], st.just(name("geometry")), areas),
    _calls(["s_intersects", "s_disjoint"], areas, st.just(name("geometry"))),
    _calls(TEMPORAL, st.one_of(time_values, intervals), st.one_of(time_values, intervals)),
    _calls(_ARRAYS, st.just(name("sar:polarizations")), items),
    _calls(_ARRAYS, items, st.just(name("sar:polarizations"))),
)
documents = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.builds(
            lambda op, args: call(op, *args), st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)
        ),
        _calls(["not"], inner),
    ),
    max_leaves=6,
)

#: Products of which much is missing, all else being of the kind that the vocabulary says.
rows = st.builds(
    Row,
    name=strategies.names,
    collection=st.sampled_from(["SENTINEL-1", "S1A", "é", ""]),
    sensing_start=st.none() | strategies.instants,
    sensing_stop=st.none() | strategies.instants,
    published_at=strategies.instants,
    online=st.booleans(),
    package_size=st.sampled_from([0, 1, 2, 10, 123]),
    footprint=st.none() | areas.filter(lambda area: area["type"] == "Polygon"),
    attributes=st.fixed_dictionaries(
        {},
        optional={
            "timeliness": strategies.texts,
            "cloudCover": numbers,
            "orbitNumber": numbers,
            "processingDate": strategies.instants.map(format_instant),
            "sliceProductFlag": st.booleans(),
            "polarisationChannels": st.lists(st.sampled_from(["VV", "VH", "HV"]), max_size=3),
        },
    ),
)

_COMPARED = {"=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
             ">=": operator.ge}  # fmt: skip


def says(node: Any, row: Row) -> bool | None:
    """What a filter says of a product; None where that is unknown."""
    match node:
        case bool():
            return node
        case {"property": _}:
            return _value(node, row)
        case {"op": "not", "args": [inner]}:
            found = says(inner, row)
            return None if found is None else not found
        case {"op": "and" | "or" as op, "args": args}:
            found = [says(arg, row) for arg in args]
            deciding = op == "or"
            return deciding if deciding in found else None if None in found else not deciding
        case {"op": "isNull", "args": [inner]}:
            return _value(inner, row) is None
        case {"op": "in", "args": [value, among]}:
            return says(call("or", *(call("=", value, member) for member in among)), row)
        case {"op": "between", "args": [value, least, most]}:
            return says(call("and", call(">=", value, least), call("<=", value, most)), row)
        case {"op": str() as op, "args": [left, right]} if op in TEMPORAL:
            return _related(op, _ends(left, row), _ends(right, row))
        case {"op": op, "args": [left, right]}:
            one, other = _value(left, row), _value(right, row)
            return None if one is None or other is None else _test(op, one, other)
    raise AssertionError(node)


def _test(op: str, one: Any, other: Any) -> bool:
    match op:
        case "like":
            wild = {Wildcard.TEXT: ".*", Wildcard.CHARACTER: "."}
            pieces = [wild[piece] if isinstance(piece, Wildcard) else re.escape(piece) for piece in pieces_of(other)]
            return re.fullmatch("".join(pieces), one, re.DOTALL) is not None
        case "s_intersects" | "s_disjoint":
            return bool(one.intersects(other)) is (op == "s_intersects")
        case "a_contains":
            return set(other) <= set(one)
        case "a_containedBy":
            return set(one) <= set(other)
        case "a_equals":
            return set(one) == set(other)
        case "a_overlaps":
            return bool(set(one) & set(other))
        case _:
            return bool(_COMPARED[op](one, other))


def _value(node: Any, row: Row) -> Any:
    match node:
        case {"property": text}:
            operand = VOCABULARY.queryables[text].sources[0].operand
            value = getattr(row, operand.name) if isinstance(operand, Property) else row.attributes.get(operand.name)
            if text == "processing:datetime":
                return None if value is None else parse_instant(value)
            return shapely.geometry.shape(value) if text == "geometry" and value else value
        case {"timestamp": text} | {"date": text}:
            return parse_instant(text)
        case {"type": _}:
            return shapely.geometry.shape(node)
        case {"op": "casei" | "accenti" as op, "args": [inner]}:
            text = _value(inner, row)
            return None if text is None else fold(text, case=op == "casei", accents=op == "accenti")
        case {"op": sign, "args": [left, right]}:
            return calculate(Sign(sign), _value(left, row), _value(right, row))
        case _:
            return node


def _ends(node: Any, row: Row) -> tuple[Any, Any]:
    match node:
        case {"interval": [start, stop]}:
            first = (
                -math.inf if start == ".." else _ends({"timestamp": start} if isinstance(start, str) else start, row)[0]
            )
            last = math.inf if stop == ".." else _ends({"timestamp": stop} if isinstance(stop, str) else stop, row)[1]
            return first, last
        case {"date": text}:
            day = parse_instant(text)
            return _seconds(day), _seconds(day + timedelta(days=1, microseconds=-1))
        case _:
            value = _seconds(_value(node, row))
            return value, value


def _seconds(instant: datetime | None) -> float | None:
    return None if instant is None else (instant - EPOCH) / timedelta(microseconds=1)


def _related(op: str, one: tuple[Any, Any], other: tuple[Any, Any]) -> bool | None:
    """Unknown where any end is that decides it."""
    (a, b), (c, d) = one, other

    def every(*pairs: tuple[Any, str, Any]) -> bool | None:
        found = [None if None in (left, right) else _COMPARED[sign](left, right) for left, sign, right in pairs]
        return False if False in found else None if None in found else True

    match op:
        case "t_after":
            return every((a, ">", d))
        case "t_before":
            return every((b, "<", c))
        case "t_contains":
            return every((a, "<", c), (b, ">", d))
        case "t_during":
            return every((a, ">", c), (b, "<", d))
        case "t_equals":
            return every((a, "=", c), (b, "=", d))
        case "t_finishedBy":
            return every((a, "<", c), (b, "=", d))
        case "t_finishes":
            return every((a, ">", c), (b, "=", d))
        case "t_intersects":
            return every((a, "<=", d), (b, ">=", c))
        case "t_meets":
            return every((b, "=", c))
        case "t_metBy":
            return every((a, "=", d))
        case "t_overlappedBy":
            return every((a, ">", c), (a, "<", d), (b, ">", d))
        case "t_overlaps":
            return every((a, "<", c), (b, ">", c), (b, "<", d))
        case "t_startedBy":
            return every((a, "=", c), (b, ">", d))
        case "t_starts":
            return every((a, "=", c), (b, "<", d))
        case _:
            found = _related("t_intersects", one, other)
            return None if found is None else not found
