"""Query options as the hub takes them (standards 2.1): what is asked for, checked; anything else is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from refsys.catalogue.search import Order
from refsys.core.filters import EVERYTHING, Expression
from refsys.distribution.odata.cursor import nearest
from refsys.distribution.odata.errors import ODataError, OutOfLimits
from refsys.distribution.odata.parser import parse_filter
from refsys.distribution.odata.querystring import read_options, read_order
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
    pairs, given = read_options(query, known)
    filter_text = given.get("$filter", "")
    return Options(
        given=pairs,
        filter=parse_filter(filter_text, vocabulary) if filter_text else EVERYTHING,
        order=read_order(given.get("$orderby", ""), vocabulary, orderable),
        top=_number("$top", given, DEFAULT_TOP, MAX_TOP),
        skip=_number("$skip", given, 0, MAX_SKIP),
        count=_count(given.get("$count", "false")),
        expand=_expand(given.get("$expand", "")),
    )


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
