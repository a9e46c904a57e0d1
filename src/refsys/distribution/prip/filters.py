"""`$filter` in the PRIP dialect → a filter expression (distribution 6.6, standards 2.11).

The form is OData's as the CDSE root reads it; what is of the PRIP alone:

Name            the file that is delivered (`X.SAFE.zip`) and the product that is in it (`X.SAFE`): a test that holds of
                one of the two holds; lt, le, gt and ge compare the products' names
ProductionType  eq, ne and in, with `OData.CSC.ProductionType'…'` or a text in quotes; the same for all products
dates           eq and in mean what is shown, which is cut to milliseconds; all else compares the exact instant, so that
                who asks for what is newer than the last that was seen misses nothing
EvictionDate    of what is never evicted: later than any date
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from refsys.core.filters import (
    Atom,
    Attribute,
    Comparison,
    Expression,
    Folded,
    How,
    In,
    IsNull,
    Literal,
    Op,
    Or,
    Property,
    TextMatch,
    all_of,
    any_of,
    rewrite,
)
from refsys.core.products import ARCHIVE_SUFFIXES, canonical_name
from refsys.core.times import FOREVER
from refsys.distribution.odata.cursor import nearest
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.parser import FUNCTIONS, parse_filter
from refsys.distribution.odata.tokens import T, Token, fail, tokens_of
from refsys.distribution.odata.values import text_of
from refsys.distribution.odata.vocabulary import Vocabulary
from refsys.distribution.prip.vocabulary import PRODUCTION_TYPE, PRODUCTION_TYPES, SYSTEMATIC

_ENUMERATION: Final = f"OData.CSC.{PRODUCTION_TYPE}"
_NAME: Final = Property("name")
_FILE: Final = Property("package_name")
_EVICTION: Final = Property("evicted_at")
_MILLISECOND: Final = timedelta(milliseconds=1)
#: Functions that OData (4.0, part 2, 5.1.1) has.
_STANDARD: Final = frozenset(
    (
        *("geo.distance", "geo.length", "geo.intersects"),
        *("toupper", "length", "indexof", "substring", "trim", "concat", "matchesPattern"),
        *("year", "month", "day", "hour", "minute", "second", "fractionalseconds", "date", "time", "now"),
        *("totaloffsetminutes", "maxdatetime", "mindatetime", "round", "floor", "ceiling", "isof", "cast"),
    )
)


def parse(text: str, vocabulary: Vocabulary) -> Expression:
    """The expression that a `$filter` (percent-decoded) means.

    Raises ODataError that says where and what: 400, or 501 for what OData has and this does not offer.
    """
    tokens = tokens_of(text)
    for token, behind in pairwise(tokens):
        is_unknown = token.text in _STANDARD and token.text not in FUNCTIONS
        if behind.type is T.OPEN and (is_unknown or token.text.endswith("/all")):
            message = f"$filter, at position {token.start + 1}: {token.text[:60]!a} is not offered"
            raise ODataError(message, status=501)
    return rewrite(parse_filter(_without_production_type(text, tokens), vocabulary), _meant)


def _without_production_type(text: str, tokens: list[Token]) -> str:
    """Each test of the production type as `true` or `false`; everything else stays at its position."""
    pieces, at, behind = [], 0, 0
    while at < len(tokens):
        if _begins_test(tokens, at):
            start, (holds, at) = tokens[at].start, _test(tokens, at)
            stop = tokens[at - 1].start + len(tokens[at - 1].text)
            # never longer than what it stands for: a type and an operator are named there
            pieces += [text[behind:start], ("true" if holds else "false").ljust(stop - start)]
            behind = stop
        else:
            at += 1
    return "".join([*pieces, text[behind:]])


def _begins_test(tokens: list[Token], at: int) -> bool:
    """Whether a test of the production type begins here, with its name or with a value."""
    if tokens[at].type is T.WORD and tokens[at].text == PRODUCTION_TYPE:
        return at == 0 or tokens[at - 1].type is not T.OPEN or tokens[at + 1].type is T.WORD
    if tokens[at].type is not T.STRING and tokens[at].text != _ENUMERATION:
        return False
    behind = at + 1 if tokens[at].type is T.STRING else at + 2
    ahead = tokens[behind : behind + 2]
    return len(ahead) == 2 and _op(ahead[0]) is not None and ahead[1].text == PRODUCTION_TYPE


def _test(tokens: list[Token], at: int) -> tuple[bool, int]:
    """Whether the test that begins here holds, and where it ends."""
    if tokens[at].text != PRODUCTION_TYPE:
        value, at = _member(tokens, at)
        return (value == SYSTEMATIC) is (_op(tokens[at]) is Op.EQ), at + 2
    op = tokens[at + 1]
    if op.text.lower() == "in" and tokens[at + 2].type is T.OPEN:
        values, at = [], at + 2
        while tokens[at].type is not T.CLOSE:
            value, at = _member(tokens, at + 1)
            values.append(value)
            if tokens[at].type not in (T.COMMA, T.CLOSE):
                raise fail(tokens[at].start, "',' or ')'", str(tokens[at]))
        return SYSTEMATIC in values, at + 1
    if (asked := _op(op)) is None:
        raise fail(op.start, f"eq, ne or in behind {PRODUCTION_TYPE}", str(op))
    value, at = _member(tokens, at + 2)
    return (value == SYSTEMATIC) is (asked is Op.EQ), at


def _op(token: Token) -> Op | None:
    return {"eq": Op.EQ, "ne": Op.NE}.get(token.text.lower()) if token.type is T.WORD else None


def _member(tokens: list[Token], at: int) -> tuple[str, int]:
    """A member of the enumeration, None being no member too, and what comes behind it."""
    start = tokens[at]
    if start.text.lower() == "null":
        return "", at + 1
    at += start.text == _ENUMERATION
    token = tokens[at]
    # prosEO writes `on-demand default`
    name = text_of(token).replace("-", "_").replace(" ", "_") if token.type is T.STRING else ""
    name = PRODUCTION_TYPES[int(name)] if name in ("0", "1", "2") else name
    if name not in PRODUCTION_TYPES:
        quoted = [f"'{member}'" for member in PRODUCTION_TYPES]
        raise fail(start.start, f"one of {', '.join(quoted)}{nearest(name, PRODUCTION_TYPES)}", str(token))
    return name, at + 1


def _meant(atom: Atom) -> Expression:
    """What a test means in the PRIP, in the catalogue's terms."""
    match atom:
        case Comparison(left, op, Literal(value)) if left == _NAME:
            return _name_compares(op, str(value))
        case In(operand, values) if operand == _NAME:
            return name_is_in([str(literal.value) for literal in values])
        case TextMatch(how, operand, text) if operand == _NAME:
            return any_of(atom, *_file_matches(how, text))
        case Comparison(Folded() as folded, Op.EQ, _) if folded.operand == _NAME:
            return any_of(atom, replace(atom, left=replace(folded, operand=_FILE)))
        case In(Folded() as folded, _) | TextMatch(_, Folded() as folded, _) if folded.operand == _NAME:
            return any_of(atom, replace(atom, operand=replace(folded, operand=_FILE)))
        case IsNull(operand) if operand == _EVICTION:
            return Or(())
        case Comparison(Property() | Attribute() as left, op, Literal(datetime() as instant)):
            return _instant_compares(left, op, instant)
        case In(operand, values) if any(isinstance(literal.value, datetime) for literal in values):
            return any_of(*(_meant(Comparison(operand, Op.EQ, value)) for value in values))
        case _:
            return atom


def _name_compares(op: Op, text: str) -> Expression:
    product = canonical_name(text)
    same = Comparison(_NAME, op, Literal(product))
    if op is not Op.EQ or product == text:
        return same
    return all_of(same, Comparison(_FILE, op, Literal(text)))


def name_is_in(texts: list[str]) -> Expression:
    products = tuple(Literal(text) for text in texts if canonical_name(text) == text)
    files = [text for text in texts if canonical_name(text) != text]
    terms: list[Expression] = [In(_NAME, products)] if products or not files else []
    if files:
        inside = In(_NAME, tuple(Literal(canonical_name(text)) for text in files))
        terms.append(all_of(inside, In(_FILE, tuple(map(Literal, files)))))
    return any_of(*terms)


def _file_matches(how: How, text: str) -> Iterator[Expression]:
    """Where a text reaches into the file's suffix, which is behind the product's name; by the name's indexes first."""
    if not text:
        return
    matches = TextMatch(how, _FILE, text)
    if how is How.ENDSWITH:
        for suffix in ARCHIVE_SUFFIXES:
            if suffix.endswith(text):
                yield matches
                return
            if text.endswith(suffix):
                yield all_of(TextMatch(how, _NAME, text.removesuffix(suffix)), matches)
        return
    if how is How.CONTAINS and any(text in suffix for suffix in ARCHIVE_SUFFIXES):
        yield matches
        return
    beginnings = {suffix[:length] for suffix in ARCHIVE_SUFFIXES for length in range(1, len(suffix) + 1)}
    for rest in sorted(text.removesuffix(beginning) for beginning in beginnings if text.endswith(beginning)):
        if how is How.CONTAINS:
            yield all_of(TextMatch(How.ENDSWITH, _NAME, rest), matches)
        elif rest:
            yield all_of(Comparison(_NAME, Op.EQ, Literal(rest)), matches)


def _instant_compares(left: Property | Attribute, op: Op, instant: datetime) -> Expression:
    compares = _compares_as_shown(left, op, instant) if op in (Op.EQ, Op.NE) else Comparison(left, op, Literal(instant))
    if left == _EVICTION and _never_compares(op, instant):
        return any_of(compares, IsNull(left))
    return compares


def _compares_as_shown(left: Property | Attribute, op: Op, instant: datetime) -> Expression:
    """Equal, or not, to what is shown: the instants from this one on that are cut to it, if it is a millisecond."""
    least = Comparison(left, Op.GE, Literal(instant))
    before = Comparison(left, Op.LT, Literal(instant))
    if instant > FOREVER - _MILLISECOND:
        return least if op is Op.EQ else before
    stop = Literal(instant if instant.microsecond % 1000 else instant + _MILLISECOND)
    if op is Op.EQ:
        return all_of(least, Comparison(left, Op.LT, stop))
    return any_of(before, Comparison(left, Op.GE, stop))


def _never_compares(op: Op, instant: datetime) -> bool:
    """Whether `never`, as it is shown, compares so with an instant."""
    never = FOREVER.replace(microsecond=999_000)
    match op:
        case Op.EQ | Op.NE:
            return (never == instant) is (op is Op.EQ)
        case Op.GT | Op.GE:
            return never > instant or (op is Op.GE and never == instant)
        case Op.LT | Op.LE:
            return never < instant or (op is Op.LE and never == instant)
