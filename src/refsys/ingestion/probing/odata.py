"""What a station's OData understands (spec/ingestion 5.1, 19): some fifteen requests for an entry or none.

One request, for `$top` of a thousand, is larger: it shows where the station cuts pages.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from refsys.core.errors import RefsysError, Transient, Unreachable
from refsys.infra.settings import InboxSettings, ODataSettings
from refsys.infra.stations.client import CONNECTION_ERRORS, StationClient
from refsys.ingestion.probing.model import Report, clock_difference, redirect_told

#: Entries that the one large request asks for, the most bytes of an answer, and the seconds that each may take.
_LARGE: Final = 1000
_LIMIT: Final = 64 * 2**20
_TIMEOUT_S: Final = 60.0
_FUTURE: Final = "2999-01-01T00:00:00.000Z"
#: Names that stations give to what the settings name.
_NAMES: Final[Mapping[str, Sequence[str]]] = {
    "publication_date": ("PublicationDate", "publicationDate", "CreationDate", "creationDate", "IngestionDate"),
    "product_id": ("Id", "id", "ID"),
    "product_name": ("Name", "name"),
    "content_length": ("ContentLength", "contentLength"),
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """`entries` is None where it is no listing; `problem` says what came in its place."""

    entries: list[Any] | None = None
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    error: RefsysError | None = None

    @property
    def told(self) -> str:
        return self.problem or f"understood, {len(self.entries or ())} entries"


async def probe_odata(inbox: InboxSettings, client: StationClient) -> Report:
    """Raises RefsysError where the first question is not answered: then no other would be."""
    return await _Probe(inbox, client).run()


class _Probe:
    def __init__(self, inbox: InboxSettings, client: StationClient) -> None:
        self._inbox = inbox
        self._client = client
        self._root = inbox.url.rstrip("/")
        self._set = "Sessions" if inbox.type == "cadip" else "Products"
        self._files = "Files" if inbox.type == "cadip" else "Products"
        self._date = ODataSettings().publication_date
        self._report = Report()

    async def run(self) -> Report:
        report = self._report
        first = await self._list(self._set, {"$top": "1"})
        if first.entries is None:
            raise first.error or Transient(first.problem, subject=self._client.station)
        if self._inbox.auth.kind == "oauth2":
            report.see("token", "obtained, and accepted")
        report.see("clock", clock_difference(first.headers))
        report.see("$metadata", await self._metadata())
        entry = first.entries[0] if first.entries and isinstance(first.entries[0], Mapping) else None
        self._see_names(entry)
        await self._see_pages()
        await self._see_options(entry)
        await self._see_file()
        return report

    def _see_names(self, entry: Mapping[str, Any] | None) -> None:
        if entry is None:
            self._report.see(
                "entries", f"{self._set} is empty: what depends on an entry cannot be seen; try again later"
            )
            return
        defaults = ODataSettings()
        for setting, candidates in _NAMES.items():
            if self._inbox.type == "cadip" and setting != "publication_date":
                continue
            default = getattr(defaults, setting)
            found = next((name for name in candidates if name in entry), None)
            if found is None:
                self._report.see(default, "missing: which attribute is it? set it in [station.odata]")
            elif found != default:
                self._report.odata[setting] = found
                self._report.see(default, f"is called {found}")
        self._date = str(self._report.odata.get("publication_date", self._date))

    async def _see_pages(self) -> None:
        order = {"$orderby": f"{self._date} asc"}
        large = await self._list(self._set, {**order, "$top": str(_LARGE)})
        if large.entries is None:
            self._report.see(f"$top={_LARGE}", large.problem)
            self._report.advice.append("page_size = 100   # larger pages are refused")
            return
        count = len(large.entries)
        has_link = isinstance(large.document, Mapping) and "@odata.nextLink" in large.document
        beyond = await self._list(self._set, {**order, "$top": "1", "$skip": str(count)}) if count else _Answer()
        more = bool(beyond.entries) and beyond.entries != large.entries[:1]
        if count >= _LARGE:
            told = f"pages have {_LARGE} entries"
        elif has_link or more:
            told = f"pages are cut at {count} entries"
            self._report.advice.append(f"page_size = {count}   # its pages have no more entries")
        else:
            told = f"all {count} entries that there are"
        self._report.see(f"$top={_LARGE}", told)
        self._report.see("@odata.nextLink", "given" if has_link else "none" + (", pages are counted" if more else ""))
        if count:
            is_known = beyond.entries is not None and beyond.entries != large.entries[:1]
            self._report.see("$skip", beyond.problem or ("understood" if is_known else "ignored"))
        dates = [str(entry.get(self._date)) for entry in large.entries if isinstance(entry, Mapping)]
        in_order = all(before <= after for before, after in itertools.pairwise(text.rstrip("Z") for text in dates))
        self._report.see("$orderby", "understood" if in_order else "ignored: pages are not in order of publication")

    async def _see_options(self, entry: Mapping[str, Any] | None) -> None:
        report, some = self._report, {"$top": "1"}
        counted = await self._list(self._set, {**some, "$count": "true"})
        has_count = isinstance(counted.document, Mapping) and "@odata.count" in counted.document
        report.see("$count=true", counted.problem or ("understood" if has_count else "ignored"))
        if not has_count:
            report.odata["count"] = False
        date = str(entry.get(self._date)) if entry is not None else "2020-01-01T00:00:00.000Z"
        for operator in ("gt", "ge", "lt", "le"):
            answer = await self._list(self._set, {**some, "$filter": f"{self._date} {operator} {date}"})
            report.see(f"{self._date} {operator}", answer.told)
        name = "SessionId" if self._inbox.type == "cadip" else str(report.odata.get("product_name", "Name"))
        answer = await self._list(self._set, {**some, "$filter": f"{name} in ('x','y')"})
        report.see(f"{name} in (…)", answer.told)
        for expanded in ("QualityInfo", "Files") if self._inbox.type == "cadip" else ("Attributes",):
            answer = await self._list(self._set, {**some, "$expand": expanded})
            has_it = any(isinstance(each, Mapping) and expanded in each for each in answer.entries or ())
            told = "understood" if has_it else "ignored" if answer.entries else "understood, no entries"
            report.see(f"$expand={expanded}", answer.problem or told)
            if expanded == "QualityInfo" and (answer.problem or (answer.entries and not has_it)):
                report.odata["expand"] = False
        nothing = await self._list(self._set, {**some, "$filter": f"{self._date} gt {_FUTURE}"})
        form = "[]" if isinstance(nothing.document, list) else '{"value": []}'
        report.see(
            "an empty answer", nothing.problem or (form if not nothing.entries else "is not empty: $filter is ignored")
        )

    async def _see_file(self) -> None:
        report = self._report
        found = await self._list(self._files, {"$top": "1"})
        if not found.entries or not isinstance(found.entries[0], Mapping):
            report.see("a file", found.problem or "there is none to be asked for")
            return
        file = found.entries[0]
        algorithms = [str(each.get("Algorithm")) for each in file.get("Checksum") or () if isinstance(each, Mapping)]
        report.see("Checksum", ", ".join(algorithms) or "none")
        report.see("EvictionDate", str(file.get("EvictionDate") or "none"))
        if not file.get("EvictionDate"):
            report.advice.append("evicted_after_days = 7   # if it deletes then: it does not say when")
        remote_id = file.get(str(report.odata.get("product_id", "Id")))
        await self._see_range(f"{self._root}/{self._files}({quote(str(remote_id), safe='-')})/$value")

    async def _see_range(self, url: str) -> None:
        one_byte, host = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}, ""
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._client.ask("GET", url, one_byte, follow=False) as response:
                told = "none"
                if "Location" in response.headers:
                    told, host = redirect_told(url, response.status, response.headers["Location"])
                self._report.see("$value redirects", told)
            async with asyncio.timeout(_TIMEOUT_S), self._client.ask("GET", url, one_byte) as response:
                status = response.status
                self._report.see(
                    "Range", "understood" if status == 206 else f"ignored, answered {status}: cuts cost all"
                )
                self._report.see("ETag", response.headers.get("ETag", "none"))
        except (RefsysError, *CONNECTION_ERRORS) as error:
            self._report.see("$value of one byte", _short(error))
            if host and isinstance(error, RefsysError) and "answered 40" in error.message:
                self._report.redirect_hosts.append(host)

    async def _metadata(self) -> str:
        try:
            url = f"{self._root}/$metadata"
            async with asyncio.timeout(_TIMEOUT_S), self._client.get(url, {"Accept": "application/xml"}) as response:
                kind = response.headers.get("Content-Type", "without type")
                return f"given ({kind[:60]})"
        except (RefsysError, *CONNECTION_ERRORS) as error:
            return _short(error)

    async def _list(self, entity_set: str, options: Mapping[str, str]) -> _Answer:
        """One listing; whatever comes in its place is told."""
        url = f"{self._root}/{entity_set}?{urlencode(options, safe='$:,()', quote_via=quote)}"
        accept = {"Accept": "application/json", "OData-Version": "4.0"}
        body = bytearray()
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._client.get(url, accept) as response:
                headers = dict(response.headers)
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > _LIMIT:
                        return _Answer(problem=f"more than {_LIMIT} bytes")
            document = orjson.loads(bytes(body))
        except RefsysError as error:
            return _Answer(problem=_short(error), error=error)
        except CONNECTION_ERRORS as error:
            return _Answer(problem=_short(error), error=self._client.unreachable(error))
        except ValueError:
            return _Answer(problem="answered with what is not JSON")
        entries = document.get("value") if isinstance(document, Mapping) else document
        if not isinstance(entries, list):
            return _Answer(problem="answered without `value`")
        return _Answer(entries, document, headers)


def _short(error: BaseException) -> str:
    """`refused: answered 400 Bad Request …`, without the address that was asked."""
    told = error.message if isinstance(error, RefsysError) else str(error) or type(error).__name__
    status, to, rest = told.partition(" to http")
    told = f"{status}{rest[rest.find(':', 4) :] if ':' in rest[4:] else ''}" if to else told
    return f"{'failed' if isinstance(error, Unreachable) else 'refused'}: {told[:120]}"
