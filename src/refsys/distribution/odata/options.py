"""Query options as the hub takes them (standards 2.1): what is asked for, checked; anything else is refused.

Clients differ in what they percent-encode and how often they say `$expand` (standards 2.14): both are tolerated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_plus, urlencode

from refsys.catalogue.search import Order
from refsys.core.filters import EVERYTHING, Expression
from refsys.distribution.odata.cursor import nearest
from refsys.distribution.odata.errors import ODataError, OutOfLimits
from refsys.distribution.odata.parser import parse_filter
from refsys.distribution.odata.vocabulary import Vocabulary

DEFAULT_TOP: Final = 20
MAX_TOP: Final = 1000
MAX_SKIP: Final = 10_000
#: What `$expand` may name, in the order of the output.
EXPANDABLE: Final = ("Attributes", "Assets")

#: Options of a set of entities, and of one.
SET_OPTIONS: Final = ("$filter", "$orderby", "$top", "$skip", "$count", "$expand", "$format")
ENTITY_OPTIONS: Final = ("$expand", "$format")
COUNT_OPTIONS: Final = ("$filter",)

_COUNTS = {"true": True, "1": True, "false": False, "0": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_PAIRS_LIMIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`given` are the options as they came (decoded), for the link to the next page."""

    given: tuple[tuple[str, str], ...]
    filter: Expression
    order: tuple[Order, ...]
    top: int
    skip: int
    count: bool
    expand: tuple[str, ...]

    def next_link(self, url: str) -> str:
        """The same request for the page behind this one; option names are percent-encoded, as the hub's are."""
        pairs = [(name, text) for name, text in self.given if name != "$skip"]
        pairs.append(("$skip", str(self.skip + self.top)))
        return f"{url}?{urlencode(pairs, quote_via=quote, safe='')}"


def parse_options(
    query: bytes, vocabulary: Vocabulary, *, known: Sequence[str] = SET_OPTIONS, orderable: Sequence[str] = ()
) -> Options:
    """Read a query string (raw, as it came). Raises ODataError (400) or OutOfLimits (422)."""
    pairs = [(name, text) for name, text in _pairs(query) if name.startswith("$")]
    given: dict[str, str] = {}
    for name, text in pairs:
        if name not in known:
            hint = nearest(name, known)
            raise ODataError(f"{name} is not offered here{hint}; there are {', '.join(known)}")
        if name in given and name != "$expand":
            raise ODataError(f"{name} is given twice")
        given[name] = f"{given[name]},{text}" if name in given else text
    if given.get("$format", "json").split(";")[0] not in ("json", "application/json"):
        raise ODataError("$format is json", status=406)
    filter_text = given.get("$filter", "")
    if "$filter" in given and not filter_text.strip():
        raise ODataError("$filter, at position 1: expected a property or a value, found the end")
    return Options(
        given=tuple(pairs),
        filter=parse_filter(filter_text, vocabulary) if filter_text else EVERYTHING,
        order=_order(given.get("$orderby", ""), vocabulary, orderable),
        top=_number("$top", given, DEFAULT_TOP, MAX_TOP),
        skip=_number("$skip", given, 0, MAX_SKIP),
        count=_count(given.get("$count", "false")),
        expand=_expand(given.get("$expand", "")),
    )


def _pairs(query: bytes) -> Iterable[tuple[str, str]]:
    """The decoded options. An `&` inside a text in quotes belongs to the text, though it was not encoded."""
    pieces: list[str] = []
    for piece in query.decode("latin-1").split("&"):
        if pieces and _is_open(pieces[-1]):
            pieces[-1] += f"&{piece}"
        elif piece:
            pieces.append(piece)
    if len(pieces) > _PAIRS_LIMIT:
        raise ODataError(f"more than {_PAIRS_LIMIT} query options")
    for piece in pieces:
        name, _, text = piece.partition("=")
        yield _decode(name), _decode(text)


def _is_open(piece: str) -> bool:
    return piece.startswith(("$filter=", "%24filter=")) and (piece.count("'") + piece.count("%27")) % 2 == 1


def _decode(text: str) -> str:
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise ODataError("the query is not UTF-8") from error


def _number(option: str, given: Mapping[str, str], default: int, most: int) -> int:
    text = given.get(option)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text.strip()):
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise OutOfLimits(option, text, "int_parsing", message)
    number = int(text)
    if number < 0:
        message = "Input should be greater than or equal to 0"
        raise OutOfLimits(option, text, "greater_than_equal", message, {"ge": 0})
    if number > most:
        message = f"Input should be less than or equal to {most}"
        raise OutOfLimits(option, text, "less_than_equal", message, {"le": most})
    return number


def _count(text: str) -> bool:
    wanted = _COUNTS.get(text.lower())
    if wanted is None:
        message = "Input should be a valid boolean, unable to interpret input"
        raise OutOfLimits("$count", text, "bool_parsing", message)
    return wanted


def _expand(text: str) -> tuple[str, ...]:
    names = {name.strip() for name in text.split(",") if name.strip()}
    for name in names:
        if name not in EXPANDABLE:
            hint = nearest(name, EXPANDABLE)
            raise ODataError(f"$expand: {name!a} is not offered{hint}; there are {', '.join(EXPANDABLE)}")
    return tuple(name for name in EXPANDABLE if name in names)


def _order(text: str, vocabulary: Vocabulary, orderable: Sequence[str]) -> tuple[Order, ...]:
    orders: dict[str, Order] = {}
    for part in text.split(",") if text else ():
        words = part.split()
        name = words[0] if words else ""
        known = vocabulary.property_named(name) if name in orderable else None
        if known is None or name in orders:
            problem = "is given twice" if known else f"is no order{nearest(name, orderable)}"
            raise ODataError(f"$orderby: {name!a} {problem}; there are {', '.join(orderable)}, each with asc or desc")
        direction = words[1].lower() if len(words) == 2 else "asc"
        if len(words) > 2 or direction not in ("asc", "desc"):
            raise ODataError(f"$orderby: expected asc or desc behind {name}, found {' '.join(words[1:])!a}")
        orders[name] = Order(known, direction == "desc")
    return tuple(orders.values())
