"""Filter expressions evaluated row by row in plain Python: what the SQL has to agree with."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import shapely

from refsys.core.filters import (
    And,
    Attribute,
    Comparison,
    Expression,
    How,
    In,
    Intersects,
    IsNull,
    Literal,
    Not,
    Op,
    Or,
    Property,
    TextMatch,
)
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
        case Comparison(Attribute(_, separator) as left, op, right) if separator:
            return _compare_list(_value(left, row), op, right, separator)
        case Comparison(left, op, right):
            return _compare(_value(left, row), op, _value(right, row))
        case TextMatch(how, operand, text):
            return _text_matches(_text(operand, row), how, text)
        case Intersects(area):
            footprint = row.footprint and shapely.geometry.shape(row.footprint)
            return footprint is not None and bool(area.shape().intersects(footprint))


def _value(operand: Property | Attribute | Literal, row: Row) -> Any:
    match operand:
        case Property(name):
            return getattr(row, name)
        case Attribute(name):
            return row.attributes.get(name)
        case Literal(value):
            return value


def _compare(left: Any, op: Op, right: Any) -> bool:
    if left is None or right is None:
        return False
    if isinstance(right, datetime) and isinstance(left, str):
        return bool(_INSTANT.fullmatch(left)) and _OPS[op](left, format_instant(right))
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    if isinstance(left, int | float) and isinstance(right, int | float):
        return _OPS[op](Decimal(repr(left)) if not isinstance(left, bool) else left,
                        Decimal(repr(right)) if not isinstance(right, bool) else right)  # fmt: skip
    return type(left) is type(right) and _OPS[op](left, right)


def _compare_list(left: Any, op: Op, right: Any, separator: str) -> bool:
    if not isinstance(left, list) or not isinstance(right, Literal) or not isinstance(right.value, str):
        return False
    if op in (Op.EQ, Op.NE):
        return (left == right.value.split(separator)) is (op is Op.EQ)
    return _OPS[op](separator.join(left), right.value)


def _text(operand: Property | Attribute, row: Row) -> str | None:
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
