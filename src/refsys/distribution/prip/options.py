"""Query options in the PRIP dialect (distribution 6.5): tolerant where the ICD is, everything else refused with 400."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from refsys.catalogue.search import Order
from refsys.core.filters import EVERYTHING, Expression
from refsys.distribution.odata.cursor import nearest
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.querystring import read_options, read_order
from refsys.distribution.prip.documents import PROPERTIES
from refsys.distribution.prip.filters import parse
from refsys.distribution.prip.vocabulary import EXPANDABLE, PRODUCTS_ORDER, SAME_FOR_ALL, PripVocabulary

#: Most products of a page, and how many it has where nobody says.
PAGE: Final = 1000

SET_OPTIONS: Final = (
    "$filter", "$orderby", "$top", "$skip", "$skiptoken", "$count", "$expand", "$select", "$format",
)  # fmt: skip
ENTITY_OPTIONS: Final = ("$expand", "$select", "$format")
COUNT_OPTIONS: Final = ("$filter",)

_COUNTS: Final = {"true": True, "false": False}
_INTEGER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`top` is None where it was not said. `about` is what a page's token is for."""

    given: tuple[tuple[str, str], ...]
    about: str
    filter: Expression
    order: tuple[Order, ...]
    top: int | None
    skip: int
    token: str
    count: bool
    expand: tuple[str, ...]
    select: tuple[str, ...]

    @property
    def page(self) -> int:
        """How many products a page has at most."""
        return PAGE if self.top is None else min(self.top, PAGE)

    @property
    def is_paged(self) -> bool:
        """Whether the client takes the result piece by piece."""
        return self.top is not None or bool(self.token)

    def next_link(self, url: str, token: str) -> str:
        """The same request for the page behind this one."""
        pairs = [(name, text) for name, text in self.given if name not in ("$skip", "$skiptoken")]
        return f"{url}?{urlencode([*pairs, ('$skiptoken', token)], quote_via=quote, safe='')}"


def parse_options(query: bytes, vocabulary: PripVocabulary, known: Sequence[str] = SET_OPTIONS) -> Options:
    """Read a query string (raw, as it came). Raises ODataError: 400, 406, 501."""
    pairs, given = read_options(query, known)
    if "$skip" in given and "$skiptoken" in given:
        raise ODataError("$skip and $skiptoken cannot be given together")
    return Options(
        given=pairs,
        about=f"prip {given.get('$filter', '')} {given.get('$orderby', '')}",
        filter=parse(given["$filter"], vocabulary) if "$filter" in given else EVERYTHING,
        order=_order(given.get("$orderby", ""), vocabulary),
        top=_number("$top", given),
        skip=_number("$skip", given) or 0,
        token=given.get("$skiptoken", ""),
        count=_count(given.get("$count", "false")),
        expand=_names("$expand", given, EXPANDABLE),
        select=_names("$select", given, PROPERTIES),
    )


def _order(text: str, vocabulary: PripVocabulary) -> tuple[Order, ...]:
    terms = [term for term in text.split(",") if not set(SAME_FOR_ALL).intersection(term.split()[:1])]
    return read_order(",".join(terms), vocabulary, PRODUCTS_ORDER)


def _number(option: str, given: Mapping[str, str]) -> int | None:
    text = given.get(option)
    if text is None:
        return None
    if not _INTEGER.fullmatch(text.strip()):
        raise ODataError(f"{option}: expected a whole number from 0 on, found {text[:40]!a}")
    return int(text)


def _count(text: str) -> bool:
    wanted = _COUNTS.get(text.lower())
    if wanted is None:
        raise ODataError(f"$count: expected true or false, found {text[:40]!a}")
    return wanted


def _names(option: str, given: Mapping[str, str], offered: Sequence[str]) -> tuple[str, ...]:
    """Those that were named, in the order of `offered`; all for `*`."""
    names = {name.strip() for name in given.get(option, "").split(",") if name.strip()}
    for name in names - {"*"}:
        if option == "$expand" and "(" in name:
            raise ODataError(
                f"$expand: options of its own for {name.partition('(')[0][:40]!a} are not offered", status=501
            )
        if name not in offered:
            raise ODataError(
                f"{option}: there is no {name[:60]!a}{nearest(name, offered)}; there are {', '.join(offered)}"
            )
    return tuple(name for name in offered if name in names or "*" in names)
