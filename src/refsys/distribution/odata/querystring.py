"""Query options as they come, whatever a dialect then makes of them.

Clients differ in what they percent-encode and how often they say `$expand` (standards 2.14): both are tolerated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote_plus

from refsys.catalogue.search import Order
from refsys.distribution.odata.cursor import nearest
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.vocabulary import Vocabulary

_PAIRS_LIMIT: Final = 100


def read_options(query: bytes, known: Sequence[str]) -> tuple[tuple[tuple[str, str], ...], dict[str, str]]:
    """The options of a query string (raw, as it came): the pairs that begin with `$`, and one text for each name.

    Raises ODataError (400) for what is not in `known`, given twice or empty where it cannot be, 406 for a $format that
    is not JSON.
    """
    pairs = tuple((name, text) for name, text in _pairs(query) if name.startswith("$"))
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
    if not given.get("$filter", "something").strip():
        raise ODataError("$filter, at position 1: expected a property or a value, found the end")
    return pairs, given


def read_order(text: str, vocabulary: Vocabulary, orderable: Sequence[str]) -> tuple[Order, ...]:
    """What an `$orderby` says; nothing of an empty one. Raises ODataError (400)."""
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
