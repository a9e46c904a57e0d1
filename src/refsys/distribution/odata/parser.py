"""`$filter` as the hubs' users write it → a filter expression (forms: standards 2.1, 2.14; distribution 6.6-6.8).

    or     = and {"or" and}
    and    = unary {"and" unary}
    unary  = "not" unary | "(" or ")" | "true" | "false" | test
    test   = function "(" … ")" [("eq" | "ne") ("true" | "false")]
           | "Attributes/" [cast "/"] "any(" variable ":" terms on variable/Name and variable/[cast/]Value ")"
           | operand ("eq" | "ne" | "lt" | "le" | "gt" | "ge") operand | operand "in" "(" value {"," value} ")"
           | a property that is true or false
    operand  = property | variable/[cast/]Value | "tolower(" operand ")"

A value of an attribute compares by what it is, whatever the cast says. `ne` is true of a property that a product lacks;
inside `any` an attribute that the product lacks is nothing at all. What is not understood is an error with its
position, counted from 1; nothing is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from refsys.core.areas import Area
from refsys.core.filters import (
    And,
    Attribute,
    Comparison,
    Expression,
    Folded,
    How,
    In,
    Intersects,
    IsNull,
    Kind,
    Literal,
    Op,
    Or,
    Property,
    TextMatch,
    Within,
    all_of,
    any_of,
    negate,
)
from refsys.distribution.odata.cursor import Cursor, nearest
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.families import with_families
from refsys.distribution.odata.tokens import T, Token, fail, tokens_of
from refsys.distribution.odata.values import BOOLEANS, KINDS, is_value, text_of, value_of
from refsys.distribution.odata.vocabulary import ATTRIBUTE_TYPES, Vocabulary
from refsys.distribution.odata.wkt import area_from

#: How many tests a filter may have, and values a list.
TESTS_LIMIT: Final = 500
VALUES_LIMIT: Final = 1000

_TEXT_FUNCTIONS: Final = {how.value: how for how in (How.CONTAINS, How.STARTSWITH, How.ENDSWITH)}
_AREA_FUNCTIONS: Final[Mapping[str, Callable[[Area], Expression]]] = {
    "OData.CSC.Intersects": Intersects,
    "OData.CSC.Within": Within,
    "OData.CSC.Disjoints": lambda area: all_of(negate(IsNull(Property("footprint"))), negate(Intersects(area))),
}
FUNCTIONS: Final = (*_TEXT_FUNCTIONS, *_AREA_FUNCTIONS)
#: What gives a text; everything else is true or false.
_LOWER: Final = "tolower"
_OPERATORS: Final = {op.value: op for op in Op}
_WORDS: Final = {"and", "or", "not", "in", "null", *BOOLEANS, *_OPERATORS}
_ANY = re.compile(r"attributes(?:/OData\.CSC\.(\w+)Attribute)?/(any|all)", re.IGNORECASE)
_VALUE = re.compile(r"(?:OData\.CSC\.(\w+)Attribute/)?(\w+)", re.ASCII)


_Side = Property | Attribute | Folded


def parse_filter(text: str, vocabulary: Vocabulary) -> Expression:
    """The expression that a `$filter` (percent-decoded) means. Raises ODataError that says where and what."""
    found = _Parser(tokens_of(text), vocabulary).filter()
    return with_families(found) if "productType" in text else found


@dataclass(frozen=True, slots=True)
class _Lambda:
    """Inside `any`: what the variable stands for."""

    variable: str
    attribute: Attribute
    cast: str


class _Parser(Cursor):
    def __init__(self, tokens: list[Token], vocabulary: Vocabulary) -> None:
        super().__init__(tokens)
        self._vocabulary = vocabulary
        self._tests = 0
        self._lambda: _Lambda | None = None

    def filter(self) -> Expression:
        expression = self._or()
        if self._next.type is not T.END:
            raise self._fail("and, or, or the end")
        return expression

    def _or(self) -> Expression:
        terms = [self._and()]
        while self._take_word("or"):
            terms.append(self._and())
        return any_of(*terms)

    def _and(self) -> Expression:
        terms = [self._unary()]
        while self._take_word("and"):
            terms.append(self._unary())
        return all_of(*terms)

    def _unary(self) -> Expression:
        start = self._next
        if self._take_word("not"):
            return negate(self._deeper(start, self._unary))
        if self._next.type is T.OPEN:
            self._at += 1
            expression = self._deeper(start, self._or)
            self._take(T.CLOSE, "')', and or or")
            return expression
        self._tests += 1
        if self._tests > TESTS_LIMIT:
            raise ODataError(f"$filter, at position {start.start + 1}: more than {TESTS_LIMIT} tests")
        return self._test()

    def _test(self) -> Expression:
        first = self._next
        if first.type is T.WORD:
            if self._after.type is T.OPEN and first.text.lower() not in _WORDS and first.text != _LOWER:
                return self._function(first)
            if first.text.lower() in BOOLEANS and self._after.text.lower() not in _OPERATORS:
                self._at += 1
                return And(()) if BOOLEANS[first.text.lower()] else Or(())
        operand = self._operand()
        if isinstance(operand, Token):
            return self._literal_first(operand)
        if self._take_word("in"):
            return self._in(operand)
        op = self._operator(operand)
        if op is None:
            return Comparison(operand, Op.EQ, Literal(True))
        return self._compare(first, operand, op)

    def _compare(self, first: Token, operand: _Side, op: Op) -> Expression:
        if self._next.text.lower() == "null":
            if op not in (Op.EQ, Op.NE):
                raise self._fail("a value; only eq and ne compare with null")
            self._at += 1
            missing = IsNull(_looked_at(operand))
            return missing if op is Op.EQ else negate(missing)
        second = self._next
        value = self._operand()
        right = self._literal(value, operand) if isinstance(value, Token) else value
        if isinstance(right, Attribute | Folded):
            raise fail(second.start, "a value", str(second))
        return self._comparison(first, operand, op, right)

    def _literal_first(self, value: Token) -> Expression:
        """`5 lt ContentLength`: the same with the sides exchanged."""
        if self._next.text.lower() not in _OPERATORS:
            raise self._fail("eq, ne, lt, le, gt or ge")
        op = _OPERATORS[self._next.text.lower()]
        self._at += 1
        operand = self._operand()
        if isinstance(operand, Token):
            raise fail(operand.start, "a property: one side has to be one", str(operand))
        return self._comparison(value, operand, op.flipped, self._literal(value, operand))

    def _comparison(self, first: Token, operand: _Side, op: Op, right: Literal | Property) -> Expression:
        if op is Op.NE and isinstance(_looked_at(operand), Property):
            # OData: what is not there is not equal to anything
            return negate(self._build(first, lambda: Comparison(operand, Op.EQ, right)))
        return self._build(first, lambda: Comparison(operand, op, right))

    def _operator(self, operand: _Side) -> Op | None:
        """The operator that comes next; None where the operand stands alone and may."""
        op = _OPERATORS.get(self._next.text.lower()) if self._next.type is T.WORD else None
        if op is not None:
            self._at += 1
        elif not (isinstance(operand, Property) and operand.kind is Kind.BOOLEAN):
            raise self._fail("eq, ne, lt, le, gt, ge or in")
        return op

    def _in(self, operand: _Side) -> Expression:
        start = self._take(T.OPEN, "'(' and a list of values")
        values: list[Literal] = []
        while True:
            value = self._operand()
            if not isinstance(value, Token):
                raise fail(self._last.start, "a value", str(self._last))
            values.append(self._literal(value, operand))
            if len(values) > VALUES_LIMIT:
                raise ODataError(f"$filter, at position {start.start + 1}: a list of more than {VALUES_LIMIT} values")
            if self._next.type is not T.COMMA:
                break
            self._at += 1
        self._take(T.CLOSE, "',' or ')'")
        return self._build(start, lambda: In(operand, tuple(values)))

    def _function(self, name: Token) -> Expression:
        self._at += 2
        if match := _ANY.fullmatch(name.text):
            found = self._any(name, match)
        elif name.text in _TEXT_FUNCTIONS:
            found = self._text_function(_TEXT_FUNCTIONS[name.text])
        elif name.text in _AREA_FUNCTIONS and self._lambda is None:
            area = self._area()
            found = self._build(name, lambda: _AREA_FUNCTIONS[name.text](area))
        else:
            expected = f"one of the functions {', '.join(FUNCTIONS)}{nearest(name.text, FUNCTIONS)}"
            raise fail(name.start, expected, str(name))
        op = _OPERATORS.get(self._next.text.lower()) if self._next.type is T.WORD else None
        if op not in (Op.EQ, Op.NE):
            return found
        self._at += 1
        wanted = self._next.text.lower()
        if wanted not in BOOLEANS:
            raise self._fail("true or false")
        self._at += 1
        return found if BOOLEANS[wanted] is (op is Op.EQ) else negate(found)

    def _text_function(self, how: How) -> Expression:
        first = self._next
        operand = self._operand()
        if isinstance(operand, Token):
            raise fail(operand.start, "a property", str(operand))
        self._take(T.COMMA)
        text = self._take(T.STRING)
        self._take(T.CLOSE)
        if isinstance(operand, Property) and operand.kind is not Kind.TEXT:
            raise fail(first.start, "a property that is a text", str(first))
        return self._build(text, lambda: TextMatch(how, operand, text_of(text)))

    def _area(self) -> Area:
        """area=geography'…' | Footprint=geography'…' | location=Footprint,area=geography'…' (in any order).

        The PRIP's entity model calls the two geo_property and geo_shape.
        """
        area: Token | None = None
        while True:
            name = self._take(T.WORD, "area=geography'SRID=4326;…'")
            self._take(T.EQUALS)
            if name.text in ("area", "Footprint", "geo_shape") and area is None:
                area = self._take(T.GEOGRAPHY)
            elif name.text in ("location", "geo_property"):
                if self._take(T.WORD, "Footprint").text not in ("Footprint", "GeoFootprint"):
                    raise fail(self._last.start, "Footprint", str(self._last))
            else:
                raise fail(name.start, "area or location", str(name))
            if self._next.type is not T.COMMA:
                break
            self._at += 1
        if area is None:
            raise self._fail("area=geography'SRID=4326;…'")
        self._take(T.CLOSE)
        return area_from(area)

    def _any(self, name: Token, match: re.Match[str]) -> Expression:
        if match[2].lower() != "any" or self._lambda is not None:
            raise fail(name.start, "any, and none inside another", str(name))
        cast = self._cast(name, match[1] or "")
        variable = self._take(T.WORD)
        if "/" in variable.text:
            raise fail(variable.start, "a variable, for example att:att/Name eq 'orbitNumber'", str(variable))
        self._take(T.COLON)
        attribute = self._build(variable, lambda: self._vocabulary.attribute(self._attribute_name(variable)))
        self._lambda = _Lambda(variable.text, attribute, cast)
        names, terms = self._lambda_terms(variable)
        if names != 1:
            raise fail(variable.start, f"{variable.text}/Name eq '…' once, beside the values", f"it {names} times")
        self._take(T.CLOSE, "and or ')'")
        self._lambda = None
        if any(_implies_presence(term) for term in terms):
            return all_of(*terms)
        return all_of(negate(IsNull(attribute)), *terms)

    def _lambda_terms(self, variable: Token) -> tuple[int, list[Expression]]:
        """How many conditions on the name, and those on the value."""
        names, terms = 0, []
        while True:
            start = self._next
            if start.text == f"{variable.text}/Name":
                self._at += 1
                if not self._take_word("eq"):
                    raise self._fail("eq")
                self._take(T.STRING)
                names += 1
            elif start.type is T.OPEN and self._name_is_inside(variable):
                self._at += 1
                found, inner = self._deeper(start, lambda: self._lambda_terms(variable))
                self._take(T.CLOSE, "and or ')'")
                names += found
                terms += inner
            else:
                terms.append(self._unary())
            if not self._take_word("and"):
                return names, terms

    def _name_is_inside(self, variable: Token) -> bool:
        """Whether the parentheses that begin here hold a condition on the name."""
        depth = 0
        for token in self._tokens[self._at :]:
            depth += (token.type is T.OPEN) - (token.type is T.CLOSE)
            if token.text == f"{variable.text}/Name":
                return True
            if depth == 0:
                return False
        return False

    def _attribute_name(self, variable: Token) -> str:
        """Look ahead for `variable/Name eq '…'`; it may stand before or behind the values."""
        wanted = f"{variable.text}/Name"
        for index in range(self._at, len(self._tokens) - 2):
            token, op, name = self._tokens[index : index + 3]
            if token.text == wanted and op.text.lower() == "eq" and name.type is T.STRING:
                return text_of(name)
        raise fail(self._next.start, f"{wanted} eq '…'", str(self._next))

    def _operand(self) -> _Side | Token:
        """A property or attribute, or the token of a value."""
        token = self._next
        if is_value(token):
            self._at += 1
            return token
        if token.type is not T.WORD or token.text.lower() in _WORDS:
            raise self._fail("a property or a value")
        self._at += 1
        if token.text == _LOWER and self._next.type is T.OPEN:
            return self._lower()
        if self._lambda is not None:
            return self._attribute_value(token, self._lambda)
        found = self._vocabulary.property_named(token.text)
        if found is None:
            names = tuple(self._vocabulary.properties)
            expected = f"a property{nearest(token.text, names)}; there are {', '.join(names)}, and Attributes/…/any(…)"
            raise fail(token.start, expected, str(token))
        return found

    def _lower(self) -> Folded:
        self._at += 1
        start = self._next
        operand = start if start.text == _LOWER else self._operand()
        if not isinstance(operand, Property | Attribute):
            raise fail(start.start, "a property that is a text", str(start))
        self._take(T.CLOSE)
        return self._build(start, lambda: Folded(operand))

    def _attribute_value(self, token: Token, scope: _Lambda) -> Attribute:
        variable, _, path = token.text.partition("/")
        match = _VALUE.fullmatch(path)
        if variable != scope.variable or match is None or match[2] != "Value":
            expected = f"{scope.variable}/Value or {scope.variable}/OData.CSC.<type>Attribute/Value"
            if token.text == f"{scope.variable}/Name":
                expected = f"{scope.variable}/Name only once, as {scope.variable}/Name eq '…', beside the values"
            raise fail(token.start, expected, str(token))
        self._cast(token, match[1] or "")
        return scope.attribute

    def _literal(self, token: Token, operand: _Side) -> Literal:
        """The value of a token, read as what it is compared with: a property's kind, or the kind it has itself."""
        if isinstance(operand, Property | Folded):
            kind = operand.kind if isinstance(operand, Property) else Kind.TEXT
            return self._build(token, lambda: Literal(value_of(token, kind)))
        cast = self._lambda.cast if self._lambda is not None else ""
        kind = KINDS[token.type]
        if kind is Kind.TEXT and self._vocabulary.is_instant(operand.name, cast):
            kind = Kind.INSTANT
        if kind is Kind.ID:
            raise fail(token.start, "a text, a number, a date, true or false", str(token))
        return self._build(token, lambda: Literal(value_of(token, kind)))

    @staticmethod
    def _cast(token: Token, name: str) -> str:
        if name and name not in ATTRIBUTE_TYPES:
            expected = f"one of the types {', '.join(ATTRIBUTE_TYPES)}{nearest(name, ATTRIBUTE_TYPES)}"
            raise fail(token.start, expected, str(token))
        return name


def _looked_at(operand: _Side) -> Property | Attribute:
    return operand.operand if isinstance(operand, Folded) else operand


def _implies_presence(expression: Expression) -> bool:
    """Whether it can be true only of a product that has the attribute which it speaks of."""
    match expression:
        case And(terms):
            return any(map(_implies_presence, terms))
        case Or(terms):
            return bool(terms) and all(map(_implies_presence, terms))
        case Comparison() | TextMatch() | In():
            return True
        case _:
            return False
