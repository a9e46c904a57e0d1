"""CQL2 text → syntax tree. Keywords and functions in any case; what is not understood is an error with its position.

or         = and {"OR" and}
and        = unary {"AND" unary}
unary      = "NOT" unary | comparison
comparison = sum [("=" | "<>" | "<" | "<=" | ">" | ">=") sum | ["NOT"] "LIKE" sum
           | ["NOT"] "BETWEEN" sum "AND" sum | ["NOT"] "IN" list | "IS" ["NOT"] "NULL"]
sum        = product {("+" | "-") product}
product    = power {("*" | "/" | "%" | "DIV") power}
power      = primary ["^" power]
primary    = ["+" | "-"] number | text | name | TRUE | FALSE | geometry | BBOX(…) | TIMESTAMP('…') | DATE('…')
           | INTERVAL(…, …) | function "(" or {"," or} ")" | "(" or ")" | list
list       = "(" [or {"," or}] ")", a list of one only where one is expected
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from refsys.core.areas import area_of_box
from refsys.distribution.cql2.errors import InvalidCql2
from refsys.distribution.cql2.tokens import T, Token, tokens_of
from refsys.distribution.cql2.tree import (
    ARITHMETIC,
    ARRAYS,
    COMPARISONS,
    DEPTH_LIMIT,
    FOLDINGS,
    OPERATORS,
    SPATIAL,
    TEMPORAL,
    VALUES_LIMIT,
    Call,
    Constant,
    Geometry,
    Instant,
    Items,
    Name,
    Node,
    instant_of,
    interval_of,
    problem,
    unexpected,
)
from refsys.distribution.odata.cursor import nearest

#: Words that are no names unless they stand in double quotes.
KEYWORDS: Final = frozenset(("and", "or", "not", "like", "between", "in", "is", "null", "true", "false", "div"))
#: Names that need no quotes.
NAME: Final = re.compile(r"(?:[^\W\d]|:)[\w.:]*")
_FUNCTIONS: Final = (*SPATIAL, *TEMPORAL, *ARRAYS, *FOLDINGS)
_SPELLINGS: Final = [name.upper() for name in (*_FUNCTIONS, "timestamp", "date", "interval", "bbox")]


def read_text(text: str) -> Node:
    """The tree of a filter. Raises InvalidCql2."""
    return _Parser(tokens_of(text)).filter()


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def filter(self) -> Node:
        node = self._or()
        if self._next.type is not T.END:
            raise self._fail("AND, OR, an operator or the end")
        return node

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self, wanted: T, expected: str = "") -> Token:
        token = self._next
        if token.type is not wanted:
            raise self._fail(expected or wanted.value)
        self._at += 1
        return token

    def _take_word(self, *words: str) -> Token | None:
        token = self._next
        if token.word not in words:
            return None
        self._at += 1
        return token

    def _fail(self, expected: str) -> InvalidCql2:
        return unexpected(self._next.start, expected, str(self._next))

    def _deeper(self, parse: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise problem(self._next.start, f"nested more than {DEPTH_LIMIT} deep")
        node = parse()
        self._depth -= 1
        return node

    def _or(self) -> Node:
        start, terms = self._next.start, [self._and()]
        while self._take_word("or"):
            terms.append(self._and())
        return terms[0] if len(terms) == 1 else Call("or", tuple(terms), start)

    def _and(self) -> Node:
        start, terms = self._next.start, [self._unary()]
        while self._take_word("and"):
            terms.append(self._unary())
        return terms[0] if len(terms) == 1 else Call("and", tuple(terms), start)

    def _unary(self) -> Node:
        if token := self._take_word("not"):
            return Call("not", (self._deeper(self._unary),), token.start)
        return self._comparison()

    def _comparison(self) -> Node:
        start, left = self._next.start, self._sum()
        if sign := self._take_word(*COMPARISONS, "!="):
            op = "<>" if sign.text == "!=" else sign.text
            return Call(op, (left, self._sum()), start)
        if self._take_word("is"):
            is_not = self._take_word("not")
            if not self._take_word("null"):
                raise self._fail("NULL" if is_not else "NULL or NOT NULL")
            return self._negated(is_not, Call("isNull", (left,), start))
        is_not = self._take_word("not")
        if self._take_word("like"):
            return self._negated(is_not, Call("like", (left, self._sum()), start))
        if self._take_word("between"):
            least = self._sum()
            if not self._take_word("and"):
                raise self._fail("AND and the upper limit")
            return self._negated(is_not, Call("between", (left, least, self._sum()), start))
        if self._take_word("in"):
            return self._negated(is_not, Call("in", (left, self._list()), start))
        if is_not:
            raise self._fail("LIKE, BETWEEN or IN")
        return left

    @staticmethod
    def _negated(word: Token | None, test: Call) -> Call:
        return test if word is None else Call("not", (test,), word.start)

    def _sum(self, least: int = 1) -> Node:
        """What is counted together, by signs that bind at least so strongly."""
        start, node = self._next.start, self._primary()
        while ARITHMETIC.get(self._next.word, 0) >= least:
            op = self._next.word
            self._at += 1
            # powers are read from the right, everything else from the left
            right = self._deeper(lambda: self._sum(3)) if op == "^" else self._sum(ARITHMETIC[op] + 1)
            node = Call(op, (node, right), start)
        return node

    def _primary(self) -> Node:
        token = self._next
        match token.type:
            case T.SIGN if token.text in "+-":
                return self._signed()
            case T.NUMBER:
                return self._number()
            case T.STRING:
                self._at += 1
                return Constant(token.text[1:-1].replace("''", "'"), token.start)
            case T.QUOTED:
                self._at += 1
                return Name(token.text[1:-1].replace('""', '"'), token.start)
            case T.GEOMETRY:
                self._at += 1
                return Geometry(token.areas, token.start)
            case T.OPEN:
                return self._deeper(self._parenthesis)
            case T.WORD if token.word in ("true", "false"):
                self._at += 1
                return Constant(token.word == "true", token.start)
            case T.WORD if token.word not in KEYWORDS:
                self._at += 1
                if self._next.type is T.OPEN:
                    return self._deeper(lambda: self._function(token))
                return Name(token.text, token.start)
            case _:
                raise self._fail("a name or a value")

    def _signed(self) -> Node:
        sign = self._take(T.SIGN)
        if self._next.type is T.NUMBER:
            return self._number(sign)
        inner = self._deeper(self._primary)
        return inner if sign.text == "+" else Call("*", (Constant(-1, sign.start), inner), sign.start)

    def _number(self, sign: Token | None = None) -> Constant:
        token = self._take(T.NUMBER)
        text = f"{sign.text if sign else ''}{token.text}"
        # what does not fit into 64 bits is no whole number
        is_whole = token.text.isdigit() and len(token.text) <= 18
        return Constant(int(text) if is_whole else float(text), (sign or token).start)

    def _parenthesis(self) -> Node:
        start = self._next.start
        members = self._members(self._or)
        return members[0] if len(members) == 1 else Items(tuple(members), start)

    def _list(self) -> Node:
        start = self._next.start
        if self._next.type is not T.OPEN:
            raise self._fail("'(' and a list of values")
        members = self._members(lambda: self._deeper(self._sum))
        if not members:
            raise unexpected(start, "a list with values", "one without")
        return Items(tuple(members), start)

    def _members(self, parse: Callable[[], Node]) -> list[Node]:
        """What stands in parentheses, with commas between."""
        start = self._take(T.OPEN)
        members: list[Node] = []
        if self._next.type is not T.CLOSE:
            members.append(parse())
            while self._next.type is T.COMMA:
                self._at += 1
                members.append(parse())
                if len(members) > VALUES_LIMIT:
                    raise problem(start.start, f"a list of more than {VALUES_LIMIT} values")
        closing = self._take(T.CLOSE, "an operator, ',' or ')'")
        if (start.text == "(") is not (closing.text == ")"):
            raise unexpected(closing.start, "')'" if start.text == "(" else "']'", str(closing))
        return members

    def _function(self, name: Token) -> Node:
        match name.word:
            case "timestamp" | "date":
                return self._instant(name)
            case "interval":
                return self._interval(name)
            case "bbox":
                return self._box(name)
            case word if OPERATORS.get(word) in _FUNCTIONS:
                return Call(OPERATORS[word], tuple(self._members(self._or)), name.start)
            case word:
                hint = nearest(name.text.upper(), _SPELLINGS)
                raise unexpected(name.start, f"a function of CQL2{hint}", str(name))

    def _instant(self, name: Token) -> Instant:
        self._take(T.OPEN)
        text = self._take(T.STRING, f"{name.text.upper()} of a text in single quotes")
        self._take(T.CLOSE)
        return instant_of(text.text[1:-1], text.start)

    def _interval(self, name: Token) -> Node:
        ends = self._members(self._primary)
        if len(ends) != 2:
            raise unexpected(name.start, "INTERVAL of two times", f"one of {len(ends)}")
        return interval_of(_end(ends[0]), _end(ends[1]), name.start)

    def _box(self, name: Token) -> Node:
        numbers = [node.value for node in self._members(self._signed_number) if isinstance(node, Constant)]
        try:
            return Geometry((area_of_box(numbers),), name.start)
        except ValueError as error:
            raise problem(name.start, f"the box {error}") from error

    def _signed_number(self) -> Node:
        return self._number(self._take_word("+", "-"))


def _end(node: Node) -> Node | None:
    """An end of an interval: a time, a name, or None for `..`."""
    match node:
        case Constant(str() as text, at):
            return None if text == ".." else instant_of(text, at)
        case Name() | Instant():
            return node
        case _:
            raise unexpected(node.at, "a time in single quotes, '..' or a name", "something else")
