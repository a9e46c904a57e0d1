"""What CADIP, AUXIP, PRIP and LTA have in common: OData over HTTP (spec/ingestion 5.1, 19.2, 20 no. 2, 3, 14).

Only what every station understands is asked for: `eq gt lt and or ( )`, `$orderby`, `$top`, `$skip`. `ge t` is written
as `gt` of a millisecond earlier, since some stations do not know `ge`. Instants are written in UTC with milliseconds:
stations that declare this precision refuse more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

from refsys.core.errors import Gone, Transient
from refsys.infra.settings import InboxSettings, ODataSettings
from refsys.infra.stations.client import StationClient
from refsys.ingestion.protocols.odatavalues import Entry, id_literal, instant_or_none

#: Most pages of one listing, lest a station that lists without end keeps us for ever.
_PAGES: Final = 200_000
#: Most terms of an `or`: a URL of some 2 000 characters goes through every proxy.
_TERMS: Final = 16
#: Most pages in a row with nothing new in them where entries are counted.
_REPEATED: Final = 5
_TICK: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Page:
    """Entries as listed, and the link to the next page ("" = none)."""

    entries: Sequence[Entry]
    link: str


class ODataRoot:
    """A station's OData, below `inbox.url`. `profile` says what it understands beyond what every one does."""

    def __init__(self, client: StationClient, inbox: InboxSettings, profile: ODataSettings) -> None:
        self._client = client
        self._top = inbox.page_size
        self._root = inbox.url.rstrip("/")
        self.profile = profile
        #: Fewest entries of a page that had a link: a page without one that has fewer still is the last.
        self._linked = 0

    @property
    def station(self) -> str:
        return self._client.station

    def url(self, path: str) -> str:
        return f"{self._root}/{path}"

    async def entry(self, path: str, **options: str) -> Entry:
        """One entity, as `Sessions(<id>)`. Raises Gone, or Transient where the answer is no entity."""
        found = await self._client.get_json(_with_options(self.url(path), options))
        if not isinstance(found, Mapping):
            raise Transient(f"answered {path} with what is no entity", subject=self.station)
        return found

    async def one(self, entity_set: str, key: str) -> Entry | None:
        """The entity of an id, by `$filter`; None where there is none. Some stations answer with it alone."""
        options = {"$filter": f"{self.profile.product_id} eq {id_literal(key)}"}
        try:
            found = await self._client.get_json(_with_options(self.url(entity_set), options))
        except Gone:
            return None
        listed = found.get("value", [found]) if isinstance(found, Mapping) else found
        if not isinstance(listed, list):
            raise Transient(f"answered {entity_set} with what is no listing", subject=self.station)
        return next((entry for entry in listed if isinstance(entry, Mapping)), None)

    async def listed(
        self, entity_set: str, start: datetime, *, where: str = "", expand: str = ""
    ) -> AsyncIterator[list[Entry]]:
        """What was published from `start` on and fulfils `where`, the oldest first; a few entries may come twice.

        The next page begins at the last date of the one before, not at a count of entries: what the station deletes or
        publishes meanwhile hides nothing. Links are followed unless they count, too. Where a station sorts otherwise,
        its pages are counted. Raises Transient where a page does not lead on.
        """
        listing = _Listing(self.profile, max(start, _EPOCH) - _TICK)
        link, circle = "", _Circle()
        for _ in range(_PAGES):
            page = await self._page(link or self._address(entity_set, listing, where, expand))
            if not page.entries:
                return
            fresh = listing.take(page.entries)
            if fresh:
                yield fresh
            if page.link:
                self._linked = min(self._linked or len(page.entries), len(page.entries))
            elif listing.in_order and len(page.entries) < self._linked:
                return
            link = "" if listing.in_order and _counts(page.link) else page.link
            if circle.closes(link) if link else not (listing.has_moved or listing.goes_on(len(page.entries))):
                raise Transient(
                    f"lists a page of {entity_set} again in place of the next one",
                    subject=self.station,
                    advice="does it know $skip? a larger page_size may help, if it gives pages as large",
                )
        raise Transient(f"lists more than {_PAGES} pages of {entity_set}", subject=self.station)

    async def chosen(self, entity_set: str, terms: Sequence[str], *, expand: str = "") -> AsyncIterator[list[Entry]]:
        """What fulfils any of the terms, asked for in as few requests as proxies let through."""
        for first in range(0, len(terms), _TERMS):
            some = terms[first : first + _TERMS]
            where = f"({' or '.join(some)})" if len(some) > 1 else some[0]
            async for page in self.listed(entity_set, _EPOCH, where=where, expand=expand):
                yield page

    async def count(self, entity_set: str, start: datetime | None, stop: datetime) -> int:
        """How many were published in [start, stop), to the millisecond, as the station counts; else by their pages."""
        where = f"{self.profile.publication_date} lt {_literal(stop)}"
        start = max(start or _EPOCH, _EPOCH)
        if self.profile.count:
            after = f"{self.profile.publication_date} gt {_literal(start - _TICK)} and {where}"
            options = {"$filter": after, "$count": "true", "$top": "1"}
            answer = await self._client.get_json(_with_options(self.url(entity_set), options))
            told = answer.get("@odata.count") if isinstance(answer, Mapping) else None
            if isinstance(told, int | str) and str(told).isdecimal():
                return int(told)
        return sum([len(page) async for page in self.listed(entity_set, start, where=where)])

    def _address(self, entity_set: str, listing: _Listing, where: str, expand: str) -> str:
        date = self.profile.publication_date
        after = f"{date} gt {_literal(listing.after)}"
        options = {
            "$filter": f"{where} and {after}" if where else after,
            "$orderby": f"{date} asc",
            "$top": str(self._top),
        }
        if listing.skip:
            options["$skip"] = str(listing.skip)
        if expand:
            options["$expand"] = expand
        return _with_options(self.url(entity_set), options)

    async def _page(self, url: str) -> _Page:
        """`{"value": […]}` or a bare list, which stations answer where nothing is found."""
        page = await self._client.get_json(url)
        entries = page.get("value") if isinstance(page, Mapping) else page
        if not isinstance(entries, list):
            raise Transient("answered a listing without `value`", subject=self.station, advice="is url an OData root?")
        link = page.get("@odata.nextLink") if isinstance(page, Mapping) else None
        return _Page([entry for entry in entries if isinstance(entry, Mapping)], self._linked_url(link))

    def _linked_url(self, link: Any) -> str:
        """A nextLink as an absolute URL; it may be relative to the service root (OData JSON 4.01, 4.5.1)."""
        text = str(link or "")
        if text and "://" not in text:
            text = f"{self._root}/{text.lstrip('/')}"
        return text.replace(" ", "%20")


class _Listing:
    """How far a listing has come: the next page has what was published later than `after`, without the first `skip`.

    As long as pages come `in_order` of their dates, to the millisecond, these are entries that are known; once one does
    not, all are counted, from the beginning.
    """

    def __init__(self, profile: ODataSettings, after: datetime) -> None:
        self.after = after
        self.skip = 0
        self.in_order = self.has_moved = True
        self._profile = profile
        self._start = after
        #: Dates of the known entries that are later than `after`.
        self._seen: dict[str, datetime] = {}
        self._first, self._last = datetime.max.replace(tzinfo=UTC), _EPOCH
        self._largest = 0
        self._repeated = 0

    def take(self, entries: Sequence[Entry]) -> list[Entry]:
        """Note a page; returns what is new in it. `has_moved` says whether the next page is another one by that."""
        key, date = self._profile.product_id, self._profile.publication_date
        ids = [str(entry.get(key)) for entry in entries]
        fresh = [entry for entry, one in zip(entries, ids, strict=True) if one not in self._seen]
        dates = [instant_or_none(entry.get(date)) for entry in entries]
        dated = {one: found for one, found in zip(ids, dates, strict=True) if found is not None}
        # one without a date moves nothing: nobody knows where it stands
        self.has_moved = any(one not in self._seen for one in (dated if self.in_order else ids))
        self._largest = max(self._largest, len(entries))
        if not self.in_order:
            self.skip += len(set(ids))
            self._seen = dict.fromkeys(ids, _EPOCH)
        elif not dated or not _ascends(self._last, dated.values()):
            self.in_order, self.after, self.skip, self._seen = False, self._start, 0, {}
        elif self.has_moved:
            self._advance(dated)
        if self.has_moved:
            self._repeated = 0
        return fresh

    def goes_on(self, length: int) -> bool:
        """Whether there is a way on after a page of `length` in which nothing is new.

        Entries of one date may have changed their order: they are listed again from the first. Else the station does
        not know `$skip`, and what is later is asked for, unless entries of one date fill a page: more may follow them.
        """
        self._repeated += 1
        if not self.in_order:
            # what is published meanwhile may shift entries by a page
            return self._repeated <= _REPEATED
        if self.skip and self._repeated == 1:
            self.skip = 0
        elif self.skip + length < len(self._seen):
            self.skip += length
        elif 1 < length == self._largest:
            return False
        else:
            self.after, self.skip, self._seen = _floor(self._last) + _TICK, 0, {}
        return True

    def _advance(self, dated: dict[str, datetime]) -> None:
        dates = dated.values()
        self._first, self._last = min(self._first, next(iter(dates))), max(self._last, *dates)
        if self._last - self._first > _TICK:
            self.after = max(self.after, _floor(self._last) - _TICK)
        # else nobody knows yet in which order they come
        self._seen = {one: date for one, date in (self._seen | dated).items() if date > self.after}
        # what is listed twice is counted once: some stations list twice what they count once
        self.skip = len(self._seen)


@dataclass(slots=True)
class _Circle:
    """Finds out that links lead in a circle, by one of them that is remembered ever longer (Brent)."""

    _kept: str = ""
    _steps: int = 0
    _limit: int = 1

    def closes(self, link: str) -> bool:
        if link and link == self._kept:
            return True
        self._steps += 1
        if self._steps >= self._limit:
            self._kept, self._steps, self._limit = link, 0, self._limit * 2
        return False


def _floor(instant: datetime) -> datetime:
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _literal(instant: datetime) -> str:
    return f"{instant.astimezone(UTC).isoformat(timespec='milliseconds')[:23]}Z"


def _ascends(last: datetime, dates: Iterable[datetime]) -> bool:
    """From `last` on, to the millisecond, which is all that some stations sort by."""
    for date in dates:
        if date < last - _TICK:
            return False
        last = max(last, date)
    return True


def _counts(link: str) -> bool:
    return "$skip=" in unquote(link)


def _with_options(url: str, options: Mapping[str, str]) -> str:
    return f"{url}?{urlencode(options, safe='$:,()', quote_via=quote)}" if options else url
