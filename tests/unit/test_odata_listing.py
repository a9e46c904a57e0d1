"""Whatever way a station pages, what it has is listed whole; one that leads nowhere is told, and left."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.core.errors import Transient
from refsys.infra.settings import InboxSettings, ODataSettings
from refsys.ingestion.protocols.odata import ODataRoot

START = datetime(2024, 11, 14, 12, tzinfo=UTC)
ROOT = "https://station/odata/v1"


def written(instant: datetime) -> str:
    return instant.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


@dataclass
class Pages:
    """A station with `rows` of (id, date), and its ways. `between` is called after each answer."""

    rows: list[tuple[str, datetime]]
    cap: int = 1000
    #: "" = none, "counts" = `$skip` in an absolute link, "token" = a relative link to what was found at first.
    links: str = ""
    skips: bool = True
    short: Callable[[int], int] = lambda length: length
    arrange: Callable[[list[tuple[str, datetime]]], list[tuple[str, datetime]]] = lambda rows: rows
    twice: bool = False
    between: Callable[[], None] = lambda: None
    asked: list[dict[str, str]] = field(default_factory=list)
    snapshots: dict[str, tuple[list[tuple[str, datetime]], int]] = field(default_factory=dict)
    station = "a station"

    async def get_json(self, url: str) -> Any:
        options = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.asked.append(options)
        assert len(self.asked) < 20 * len(self.rows) + 50, "it asks for ever"
        if "$count" in options:
            return {"@odata.count": len(self._chosen(options)), "value": []}
        chosen = self.arrange(sorted(self._chosen(options), key=lambda row: (row[1], row[0])))
        skip = int(options.get("$skip", 0)) if self.skips else 0
        most = min(int(options["$top"]), self.cap)
        if "token" in options:
            chosen, skip = self.snapshots[options["token"]]
        page = chosen[skip : skip + max(1, self.short(most))]
        answer: dict[str, Any] = {"value": [{"Id": each, "PublicationDate": written(date)} for each, date in page]}
        if self.twice:
            answer["value"] = [entry for entry in answer["value"] for _ in range(2)]
        if self.links and skip + len(page) < len(chosen):
            kept = "&".join(f"{name}={quote(options[name])}" for name in ("$filter", "$orderby", "$top"))
            counted = f"{ROOT}/Files?{kept}&%24skip={skip + len(page)}"
            self.snapshots[str(len(self.snapshots))] = (chosen, skip + len(page))
            token = f"Files?{kept}&token={len(self.snapshots) - 1}"
            answer["@odata.nextLink"] = counted if self.links == "counts" else token
        self.between()
        return answer

    def _chosen(self, options: dict[str, str]) -> list[tuple[str, datetime]]:
        terms = re.findall(r"PublicationDate (gt|lt) (\S+Z)", options["$filter"])
        assert terms
        limits = {name: datetime.fromisoformat(text) for name, text in terms}
        after, before = limits["gt"], limits.get("lt", datetime.max.replace(tzinfo=UTC))
        return [row for row in self.rows if after < row[1] < before]


def root(station: Pages, *, top: int = 500, **profile: Any) -> ODataRoot:
    inbox = InboxSettings(id="a", type="cadip", url=ROOT, page_size=top)
    return ODataRoot(station, inbox, ODataSettings(**profile))  # pyright: ignore[reportArgumentType]


def listed(station: Pages, *, start: datetime = START, top: int = 500) -> list[str]:
    async def collect() -> list[str]:
        return [entry["Id"] async for page in root(station, top=top).listed("Files", start) for entry in page]

    return asyncio.run(collect())


def rows(number: int, *, every: timedelta = timedelta(seconds=1)) -> list[tuple[str, datetime]]:
    return [(f"id-{index:06}", START + index * every) for index in range(number)]


def stations(*gaps_us: int) -> st.SearchStrategy[Pages]:
    return st.builds(
        lambda gaps, cap, links, twice: Pages(
            [(f"id-{n}", START + timedelta(microseconds=at)) for n, at in enumerate(itertools.accumulate(gaps))],
            cap=cap,
            links=links,
            twice=twice,
        ),
        gaps=st.lists(st.sampled_from(gaps_us), max_size=40),
        cap=st.integers(2, 9),
        links=st.sampled_from(["", "counts", "token"]),
        twice=st.booleans(),
    )


#: Many of one date, some within a millisecond.
crowded = stations(0, 0, 0, 300, 900, 1_000, 50_000, 10**9)


@given(crowded, st.integers(1, 50))
@settings(max_examples=150, deadline=None)
def test_all_is_listed_and_nothing_twice_whatever_pages_hold(station: Pages, top: int) -> None:
    found = listed(station, top=max(top, 2))
    expected = [each for each, _ in station.rows for _ in range(1 + station.twice)]
    assert sorted(set(found)) == sorted(set(expected))
    assert station.twice or sorted(found) == sorted(expected)


@given(stations(2_000, 50_000, 10**9), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_short_pages_late_publications_and_deletions_hide_nothing(station: Pages, random: random.Random) -> None:
    stays, numbers = {each for each, _ in station.rows[::2]}, itertools.count(10_000)

    def happens() -> None:
        if random.random() < 0.5 and len(station.rows) < 60:
            station.rows.append((f"late-{next(numbers)}", START + timedelta(seconds=random.randrange(20_000))))
        # stations delete the oldest, not what they listed last
        edge = datetime.fromisoformat(station.asked[-1]["$filter"].rpartition(" ")[2])
        if old := [row for row in station.rows if row[0] not in stays and row[1] < edge]:
            station.rows.remove(random.choice(old))

    station.between, station.short = happens, lambda length: random.randint(1, length)
    try:
        found = listed(station)
    except Transient:  # so much happened that it could not be told from a station that leads nowhere: it looks again
        station.between = lambda: None
        found = listed(station)
    assert stays <= set(found)


@given(crowded, st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_entries_of_one_date_may_change_their_order_as_long_as_a_page_holds_them(
    station: Pages, random: random.Random
) -> None:
    station.links, station.cap = "", 40
    station.arrange = lambda rows: sorted(rows, key=lambda row: (row[1], random.random()))
    assert set(listed(station, top=40)) == {each for each, _ in station.rows}


@pytest.mark.parametrize("links", ["", "counts", "token"])
@pytest.mark.parametrize(
    ("order", "cap"), [("descending", 1), ("descending", 2), ("descending", 10), ("by other things", 10)]
)
def test_a_station_that_sorts_otherwise_is_listed_whole(order: str, cap: int, links: str) -> None:
    station = Pages(rows(45), cap=cap, links=links)
    if order == "descending":
        station.arrange = lambda rows: rows[::-1]
    else:
        station.arrange = lambda rows: sorted(rows, key=lambda row: row[0][::-1])
    assert set(listed(station)) == {each for each, _ in station.rows}


@pytest.mark.parametrize("station", [Pages(rows(25), cap=10), Pages(rows(25), cap=10, links="counts")])
def test_entries_without_a_date_hide_nothing_and_do_not_hold_up(station: Pages) -> None:
    bad = {"Id": "bad", "PublicationDate": "soon"}

    class Some(Pages):
        async def get_json(self, url: str) -> Any:
            answer = await station.get_json(url)
            return answer | {"value": [bad, *answer["value"], bad]} if answer["value"] else answer

    found = listed(Some([]))
    assert [each for each in found if each != "bad"] == [each for each, _ in station.rows]
    assert len(station.asked) == (3 if station.links else 4)


def test_a_station_without_dates_is_listed_by_counting() -> None:
    class Dateless(Pages):
        async def get_json(self, url: str) -> Any:
            answer = await super().get_json(url)
            return {"value": [{"Id": entry["Id"]} for entry in answer["value"]]}

    station = Dateless(rows(25), cap=10)
    assert set(listed(station)) == {each for each, _ in station.rows}


def test_a_station_that_does_not_know_skip_is_listed_whole_and_asked_little_more() -> None:
    station = Pages(rows(45), cap=10, skips=False)
    assert listed(station) == [each for each, _ in station.rows]
    assert len(station.asked) < 11


def test_where_entries_of_one_date_fill_a_page_and_skip_is_not_known_an_error_says_so() -> None:
    station = Pages(rows(30, every=timedelta(0)), cap=10, skips=False)
    with pytest.raises(Transient, match=r"lists a page of Files again .*know \$skip"):
        listed(station)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_links_that_lead_in_a_circle_end_with_an_error(length: int) -> None:
    class Circle(Pages):
        async def get_json(self, url: str) -> Any:
            turn = len(self.asked)
            self.asked.append({})
            entry = {"Id": f"id-{turn}", "PublicationDate": written(START)}
            return {"value": [entry], "@odata.nextLink": f"Files?token={turn % length}"}

    station = Circle([])
    with pytest.raises(Transient, match="again in place of the next"):
        listed(station)
    assert len(station.asked) < 10


@pytest.mark.parametrize("nothing", [[], {"value": []}])
def test_nothing_is_nothing_in_either_form(nothing: Any) -> None:
    class Empty(Pages):
        async def get_json(self, url: str) -> Any:
            return nothing

    assert listed(Empty([])) == []


@pytest.mark.parametrize("answer", ["a text", {"values": []}, {"value": {}}, None, 5])
def test_what_is_no_listing_is_no_empty_listing(answer: Any) -> None:
    class Wrong(Pages):
        async def get_json(self, url: str) -> Any:
            return answer

    with pytest.raises(Transient, match="without `value`"):
        listed(Wrong([]))


def test_a_look_at_which_nothing_is_new_costs_two_requests_and_one_where_links_are_given() -> None:
    station = Pages(rows(3))
    listed(station)
    assert len(station.asked) == 2
    station = Pages(rows(25), cap=10, links="token")
    known = root(station)

    async def look(start: datetime) -> int:
        station.asked.clear()
        return sum([len(page) async for page in known.listed("Files", start)])

    assert asyncio.run(look(START)) == 25
    assert asyncio.run(look(START + timedelta(seconds=22))) == 3
    assert len(station.asked) == 1


def test_only_what_every_station_understands_is_asked() -> None:
    station = Pages(rows(5), cap=2)
    listed(station, start=START + timedelta(microseconds=1_999))
    asked = [options["$filter"] for options in station.asked]
    # a millisecond earlier, and `gt`: some stations do not know `ge`, others no more digits
    assert asked[0] == "PublicationDate gt 2024-11-14T12:00:00.000Z"
    assert {name for options in station.asked for name in options} == {"$filter", "$orderby", "$top", "$skip"}
    assert {options["$orderby"] for options in station.asked} == {"PublicationDate asc"}


def counted(station: Pages, start: datetime | None, stop: datetime, **profile: Any) -> int:
    return asyncio.run(root(station, **profile).count("Files", start, stop))


@pytest.mark.parametrize("count", [True, False])
def test_what_was_published_in_an_interval_is_counted_by_the_station_or_by_its_pages(count: bool) -> None:
    station = Pages(rows(45), cap=10)
    stop = START + timedelta(seconds=40)
    assert counted(station, None, stop, count=count) == 40
    assert counted(station, START + timedelta(seconds=5), stop, count=count) == 35
    assert (len(station.asked) == 2) == count


def chosen(station: Pages, terms: Sequence[str]) -> list[str]:
    async def collect() -> list[str]:
        return [entry["Id"] async for page in root(station).chosen("Files", terms) for entry in page]

    return asyncio.run(collect())


def test_many_ids_are_asked_for_in_requests_that_proxies_let_through() -> None:
    station = Pages(rows(1))
    chosen(station, [f"Id eq 00000000-0000-0000-0000-{number:012}" for number in range(40)])
    first = [options["$filter"] for options in station.asked if "$skip" not in options]
    assert len(first) == 3
    assert max(map(len, first)) < 1500
    assert first[0].startswith("(Id eq 00000000-0000-0000-0000-000000000000 or ")
