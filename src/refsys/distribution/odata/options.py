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
#: What `$expand` may name, in the order of the output: of Products, and of DeletedProducts.
EXPANDABLE: Final = ("Attributes", "Assets", "Locations")
DELETED_EXPANDABLE: Final = ("Attributes",)

#: Options of a set of entities, of one, of a count, and of a list of names.
SET_OPTIONS: Final = (
    "$filter", "$orderby", "$top", "$skip", "$skiptoken", "$count", "$expand", "$select", "$format",
)  # fmt: skip
ENTITY_OPTIONS: Final = ("$expand", "$select", "$format")
COUNT_OPTIONS: Final = ("$filter",)
LIST_OPTIONS: Final = ("$orderby", "$expand", "$select", "$format")

_COUNTS = {"true": True, "1": True, "false": False, "0": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`given` are the options as they came (decoded), for the link to the next page.

    `select` is empty where everything is wanted. `skip_token` says where the page begins; `skip` then only tells how
    many products have gone before.
    """

    given: tuple[tuple[str, str], ...]
    filter: Expression
    order: tuple[Order, ...]
    top: int
    skip: int
    count: bool
    expand: tuple[str, ...]
    select: tuple[str, ...]
    skip_token: str

    def next_link(self, url: str, skip_token: str) -> str:
        """The same request for the page behind this one; option names are percent-encoded, as the hub's are.

        As far as `$skip` goes it is named too: some clients read it out of the link and make their own request of it.
        """
        pairs = [(name, text) for name, text in self.given if name not in ("$skip", "$skiptoken")]
        is_told = not self.skip_token or any(name == "$skip" for name, _ in self.given)
        if is_told and self.skip + self.top <= MAX_SKIP:
            pairs.append(("$skip", str(self.skip + self.top)))
        pairs.append(("$skiptoken", skip_token))
        return f"{url}?{urlencode(pairs, quote_via=quote, safe='')}"

    @property
    def query(self) -> str:
        """What a token of these options is for: another filter or order makes it void."""
        texts = dict(self.given)
        return f"{texts.get('$filter', '')}\n{texts.get('$orderby', '')}"


def parse_options(
    query: bytes,
    vocabulary: Vocabulary,
    *,
    known: Sequence[str] = SET_OPTIONS,
    orderable: Sequence[str] = (),
    expandable: Sequence[str] = EXPANDABLE,
    selectable: Sequence[str] = (),
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
        expand=_names("$expand", given, expandable),
        select=_select(given, selectable),
        skip_token=given.get("$skiptoken", ""),
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


def _select(given: Mapping[str, str], selectable: Sequence[str]) -> tuple[str, ...]:
    """The Id always, and what is named, in the order of the output; nothing where all is wanted."""
    named = _names("$select", given, ("*", *selectable))
    if not named or "*" in named:
        return ()
    return tuple(name for name in selectable if name in (*named, "Id"))


def _names(option: str, given: Mapping[str, str], offered: Sequence[str]) -> tuple[str, ...]:
    """The names in a list, in the order of what is offered."""
    names = {name.strip() for name in given.get(option, "").split(",") if name.strip()}
    for name in names:
        if name not in offered:
            hint = nearest(name, offered)
            raise ODataError(f"{option}: {name[:60]!a} is not offered{hint}; there are {', '.join(offered)}")
    return tuple(name for name in offered if name in names)
