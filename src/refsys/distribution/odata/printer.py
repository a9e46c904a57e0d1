"""A filter expression → `$filter`; what `parse_filter` reads back as the same expression."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from refsys.core.filters import (
    And,
    Atom,
    Attribute,
    Comparison,
    Expression,
    Folded,
    How,
    In,
    Intersects,
    InvalidFilter,
    IsNull,
    Literal,
    Not,
    Op,
    Operand,
    Or,
    Property,
    TextMatch,
    Value,
    Within,
)
from refsys.core.times import format_instant
from refsys.distribution.odata.vocabulary import Vocabulary
from refsys.distribution.wkt import write_geometry


def print_filter(expression: Expression, vocabulary: Vocabulary) -> str:
    """The expression in the dialect. Raises KeyError where it speaks of a property that the dialect does not have,
    InvalidFilter where the dialect has no words for it."""
    return _Printer(vocabulary).text(expression)


class _Printer:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def text(self, expression: Expression) -> str:
        match expression:
            case And(()):
                return "true"
            case Or(()):
                return "false"
            case And(terms):
                return " and ".join(
                    f"({self.text(term)})" if isinstance(term, Or) else self.text(term) for term in terms
                )
            case Or(terms):
                return " or ".join(map(self.text, terms))
            case Not(Comparison(Property() as left, Op.EQ, right)):
                return f"{self._name(left)} ne {self._side(right)}"
            case Not(IsNull(Property() as operand)):
                return f"{self._name(operand)} ne null"
            case Not(IsNull(Attribute(name))):
                return f"Attributes/OData.CSC.StringAttribute/any(att:att/Name eq {_quoted(name)})"
            case Not(term):
                return f"not ({self.text(term)})"
            case IsNull(Attribute() as attribute):
                return f"not ({self.text(Not(IsNull(attribute)))})"
            case Comparison(Property() as left, Op.NE, right):
                name = self._name(left)
                return f"({name} ne {self._side(right)} and {name} ne null)"
            case Comparison(Folded(Property() as left), Op.NE, right):
                return f"(tolower({self._name(left)}) ne {self._side(right)} and {self._name(left)} ne null)"
            case Intersects(area) | Within(area):
                return f"OData.CSC.{type(expression).__name__}(area=geography'SRID=4326;{write_geometry(area)}')"
            case _:
                return self._test(expression)

    def _test(self, test: Atom) -> str:
        """A test of a property, or of an attribute inside `any`."""
        match test:
            case Comparison((Property() | Attribute() | Folded()) as operand, op, right):
                values: Iterable[Literal] = (right,) if isinstance(right, Literal) else ()
                form, told = "{} " + f"{op.value} ", self._side(right)
                return self._of(operand, values, form, told)
            case In(operand, values):
                return self._of(operand, values, "{} in ", f"({','.join(map(self._side, values))})")
            case TextMatch(how, operand, text) if how is not How.LIKE:
                return self._of(operand, (), f"{how.value}({{}},", f"{_quoted(text)})")
            case IsNull((Property() | Attribute()) as operand):
                return self._of(operand, (), "{} eq ", "null")
            case _:
                raise InvalidFilter(f"OData filters have no words for {type(test).__name__}")

    def _of(self, operand: Property | Attribute | Folded, values: Iterable[Literal], form: str, told: str) -> str:
        if isinstance(operand, Folded):
            if operand.accents:
                raise InvalidFilter("OData filters have no words for texts without accents")
            return self._of(operand.operand, values, form.replace("{}", "tolower({})"), told)
        if isinstance(operand, Property):
            return form.format(self._name(operand)) + told
        cast = f"OData.CSC.{_attribute_type(values)}Attribute"
        value = form.format(f"att/{cast}/Value") + told
        return f"Attributes/{cast}/any(att:att/Name eq {_quoted(operand.name)} and {value})"

    def _name(self, known: Property) -> str:
        return self._vocabulary.name_of(known)

    def _side(self, side: Operand) -> str:
        match side:
            case Property():
                return self._name(side)
            case Literal(value):
                return _value(value)
            case _:
                raise InvalidFilter("OData filters compare with values and properties only")


def _value(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _quoted(value)
        case datetime():
            return format_instant(value)
        case _:
            return str(value)


def _attribute_type(values: Iterable[Literal]) -> str:
    """The cast: of texts String, lest they be read as dates; else, for readers who mind it, the type of the first."""
    found = [literal.value for literal in values]
    if any(isinstance(value, str) for value in found):
        return "String"
    match next(iter(found), ""):
        case bool():
            return "Boolean"
        case int():
            return "Integer"
        case float():
            return "Double"
        case datetime():
            return "DateTimeOffset"
        case _:
            return "String"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
