"""Entering what other catalogues know, batch by batch: each a transaction with the place that it reaches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refsys.catalogue.bulk import Entered, Entry, enter
from refsys.catalogue.takeover.known import Known, entry_of
from refsys.catalogue.takeover.runs import Line, Outcome, Run, known_names
from refsys.core.errors import RefsysError, UnknownProduct
from refsys.missions import TypeRegistry


@dataclass(frozen=True, slots=True)
class Found:
    """Something that should describe a product: `known`, or why it does not; `place` is where it was found."""

    place: str
    known: Known | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of a source (bulk.MOST at most), and how far that is."""

    found: Sequence[Found]
    place: Mapping[str, Any]


async def enter_all(run: Run, types: TypeRegistry, batches: AsyncIterator[Batch]) -> None:
    """Enter the batches. What cannot be entered is reported, and the others are."""
    async for batch in batches:
        await _enter(run, types, batch)


async def _enter(run: Run, types: TypeRegistry, batch: Batch) -> None:
    lines: list[Line] = []
    entries: dict[str, Entry] = {}
    places: dict[str, str] = {}
    for found in batch.found:
        if found.known is None:
            lines.append(Line(Outcome.REFUSED, "", found.place, found.why))
            continue
        shown = ascii(found.known.name)[1:-1][:300]
        try:
            entry = entry_of(found.known, types, f"import {run.kind}")
        except UnknownProduct as error:
            lines.append(Line(Outcome.UNKNOWN_TYPE, shown, found.place, error.message))
        except RefsysError as error:
            lines.append(Line(Outcome.REFUSED, shown, found.place, error.message))
        else:
            if entry.name in entries:
                lines.append(Line(Outcome.KNOWN, entry.name, found.place, "it came twice"))
            entries.setdefault(entry.name, entry)
            places.setdefault(entry.name, found.place)
    while True:
        try:
            lines += await _commit(run, batch.place, entries, places, lines)
            break
        except RefsysError as error:
            if error.subject not in entries:
                raise
            del entries[error.subject]
            lines.append(Line(Outcome.REFUSED, error.subject, places[error.subject], error.message))
    run.told(batch.place, lines)


async def _commit(
    run: Run, place: Mapping[str, Any], entries: Mapping[str, Entry], places: Mapping[str, str], before: Sequence[Line]
) -> list[Line]:
    """Enter them and remember the place, in one transaction; returns what became of them."""
    if run.dry_run:
        known = await known_names(run.connection, list(entries))
        return [Line(Outcome.KNOWN if name in known else Outcome.ENTERED, name, places[name]) for name in entries]
    async with run.connection.transaction():
        # the feed's lock is held from here on
        lines = _lines(await enter(run.connection, list(entries.values())), entries, places)
        await run.move(place, [*before, *lines])
    return lines


def _lines(entered: Entered, entries: Mapping[str, Entry], places: Mapping[str, str]) -> list[Line]:
    held = "a hold keeps it from being published; import it again when that is lifted"
    return [
        Line(Outcome.KNOWN, name, places[name])
        if name in entered.known
        else Line(Outcome.HELD, name, places[name], held)
        if name in entered.held
        else Line(Outcome.ENTERED, name, places[name], "; ".join(entries[name].description.problems))
        for name in entries
    ]
