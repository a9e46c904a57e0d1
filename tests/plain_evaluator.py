"""Filter expressions evaluated row by row in plain Python: what the SQL has to agree with."""

from __future__ import annotations

import decimal
import operator
import re
import uuid
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import shapely

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
    ListMatch,
    Literal,
    Not,
    Op,
    Operand,
    Or,
    Property,
    Sign,
    TextMatch,
    Within,
)
from refsys.core.folding import fold
from refsys.core.patterns import Wildcard, pieces_of
from refsys.core.times import format_instant
from tests.catalogue_rows import Row

_OPS: dict[Op, Callable[[Any, Any], bool]] = {op: getattr(operator, op.value) for op in Op}
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z")


def matches(expression: Expression, row: Row) -> bool:
    match expression:
        case And(terms):
            return all(matches(term, row) for term in terms)
        case Or(terms):
            return any(matches(term, row) for term in terms)
        case Not(term):
            return not matches(term, row)
        case IsNull(operand):
            return _value(operand, row) is None
        case In(operand, values):
            return any(matches(Comparison(operand, Op.EQ, value), row) for value in values)
        case ListMatch(how, operand, items):
            value = _value(operand, row)
            if not isinstance(value, list):
                return False
            held = set(items).issubset(value) if how is Holds.ALL else all(item in items for item in value)
            return held
        case Comparison(Attribute(_, separator) as left, op, right) if separator:
            return _compare_list(_value(left, row), op, right, separator)
        case Comparison(left, op, right):
            return _compare(_value(left, row), op, _value(right, row))
        case TextMatch(how, operand, text):
            return _text_matches(_text(operand, row), how, text)
        case Intersects(area):
            footprint = row.footprint and shapely.geometry.shape(row.footprint)
            return footprint is not None and bool(area.shape().intersects(footprint))
        case Within(area):
            footprint = row.footprint and shapely.geometry.shape(row.footprint)
            return footprint is not None and bool(area.shape().covers(footprint))


def _value(operand: Operand, row: Row) -> Any:
    match operand:
        case Property(name):
            return getattr(row, name)
        case Attribute(name):
            return row.attributes.get(name)
        case Literal(value):
            return value
        case Folded(inner, case, accents):
            text = _text(inner, row)
            return None if text is None else fold(text, case=case, accents=accents)
        case Arithmetic(left, sign, right):
            return calculate(sign, _value(left, row), _value(right, row))


_EXACT = decimal.Context(prec=1000)
_MOST = Decimal(10) ** 100


def _fixed(value: Decimal) -> Decimal:
    return max(-_MOST, min(_MOST, value)).quantize(Decimal(10) ** -20, decimal.ROUND_HALF_UP, _EXACT)


def calculate(sign: Sign, left: Any, right: Any) -> Decimal | None:
    if any(isinstance(side, bool) or not isinstance(side, int | float | Decimal) for side in (left, right)):
        return None
    a, b = (_fixed(side if isinstance(side, Decimal) else Decimal(repr(side))) for side in (left, right))
    match sign:
        case Sign.ADD:
            return _fixed(_EXACT.add(a, b))
        case Sign.SUBTRACT:
            return _fixed(_EXACT.subtract(a, b))
        case Sign.MULTIPLY:
            return _fixed(_EXACT.multiply(a, b))
        case Sign.POWER:
            return _power(a, b)
        case _ if b == 0:
            return None
        case Sign.DIVIDE:
            return _fixed(_EXACT.divide(a, b))
        case Sign.REST:
            return _fixed(_EXACT.remainder(a, b))
        case Sign.WHOLE:
            return _fixed(_EXACT.divide_int(a, b))


def _power(a: Decimal, b: Decimal) -> Decimal | None:
    if b == 0:
        return Decimal(1)
    if a == 0:
        return Decimal(0) if b > 0 else None
    whole = b == b.to_integral_value()
    if a < 0 and not whole:
        return None
    sign = -1 if a < 0 and _EXACT.remainder(b, Decimal(2)) != 0 else 1
    digits = b * abs(a).log10()
    if digits > 100:
        return sign * _MOST
    return _fixed(Decimal(0) if digits < -21 else sign * _EXACT.power(abs(a), b))


def _compare(left: Any, op: Op, right: Any) -> bool:
    if left is None or right is None:
        return False
    if isinstance(right, datetime) and isinstance(left, str):
        return bool(_INSTANT.fullmatch(left)) and _OPS[op](left, format_instant(right))
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    if isinstance(left, datetime) and isinstance(right, str):
        return bool(_INSTANT.fullmatch(right)) and _OPS[op](format_instant(left), right)
    if isinstance(left, int | float | Decimal) and isinstance(right, int | float | Decimal):
        return _OPS[op](_exact(left), _exact(right))
    scalar = isinstance(left, str | datetime | uuid.UUID)
    return scalar and type(left) is type(right) and _OPS[op](left, right)


def _exact(number: float | Decimal) -> Any:
    return number if isinstance(number, bool | Decimal) else Decimal(repr(number))


def _compare_list(left: Any, op: Op, right: Any, separator: str) -> bool:
    if not isinstance(left, list) or not isinstance(right, Literal) or not isinstance(right.value, str):
        return False
    if op in (Op.EQ, Op.NE):
        return (left == right.value.split(separator)) is (op is Op.EQ)
    return _OPS[op](separator.join(left), right.value)


def _text(operand: Property | Attribute | Folded, row: Row) -> str | None:
    value = _value(operand, row)
    if isinstance(operand, Attribute) and operand.separator:
        return operand.separator.join(value) if isinstance(value, list) else None
    return value if isinstance(value, str) else None


def _text_matches(text: str | None, how: How, wanted: str) -> bool:
    if text is None:
        return False
    match how:
        case How.CONTAINS:
            return wanted in text
        case How.STARTSWITH:
            return text.startswith(wanted)
        case How.ENDSWITH:
            return text.endswith(wanted)
        case How.LIKE:
            wild = {Wildcard.TEXT: ".*", Wildcard.CHARACTER: "."}
            pieces = [wild[p] if isinstance(p, Wildcard) else re.escape(p) for p in pieces_of(wanted)]
            return re.fullmatch("".join(pieces), text, re.DOTALL) is not None
