"""Translated inboxes as TOML that `load_settings` reads, with comments that say what became of every property."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from refsys.infra.settings_text import toml_value
from refsys.ingestion.reference.inboxes import Inbox, Translation, translate
from refsys.ingestion.reference.properties import read_properties
from refsys.ingestion.reference.streams import read_stream

_HEAD: Final = (
    "Inboxes of the reference, written by `refsys config import-inboxes`. Every property of the files is translated,",
    "or named in a comment with the reason. Choose the ids before the first start: they are the keys of what is",
    "remembered, and must not change later.",
)
_NAMES_SHOWN: Final = 6


def import_inboxes(files: Sequence[Path], values: Mapping[str, str], secrets: Path | None) -> tuple[str, list[Inbox]]:
    """The TOML, and the inboxes in it.

    Raises ConfigurationError with file and line where a property cannot be understood, OSError where a file cannot be
    read.
    """
    done = [
        translate(read_stream(read_properties(file.read_bytes(), str(file)), str(file)), values, secrets)
        for file in files
    ]
    inboxes = [inbox for translation in done for inbox in translation.inboxes]
    _make_ids_differ(inboxes)
    stations = _name_stations(inboxes)
    lines = [*_comment(*_HEAD), ""]
    for name, inbox in stations.items():
        lines += [*_station(name, inbox, [other for other in inboxes if other.values.get("station") == name]), ""]
    for translation in done:
        for inbox in translation.inboxes:
            lines += [*_inbox(inbox, inboxes), ""]
    for translation in done:
        lines += _left(translation)
    return "\n".join(lines).rstrip() + "\n", inboxes


def _make_ids_differ(inboxes: Sequence[Inbox]) -> None:
    seen: dict[str, int] = {}
    for inbox in inboxes:
        name = inbox.values["id"]
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            while f"{name}-{seen[name]}" in seen:
                seen[name] += 1
            inbox.values["id"] = f"{name}-{seen[name]}"
            seen[inbox.values["id"]] = 1


def _name_stations(inboxes: Sequence[Inbox]) -> dict[str, Inbox]:
    """Stations by name, each with one of its inboxes. One that is reached in another way gets a name of its own."""
    found: dict[str, Inbox] = {}
    for inbox in inboxes:
        host = urlsplit(inbox.values["url"]).hostname or ""
        if not inbox.values.get("station") and inbox.access.station | inbox.access.odata:
            inbox.values["station"] = host
        name = inbox.values.get("station", "")
        if name in found and _profile(found[name]) != _profile(inbox):
            inbox.notes.append(
                f"the station {name} is reached in different ways: here it has the name of the host, too"
            )
            name = inbox.values["station"] = f"{name} {host}"
        if name and not inbox.problem:
            found.setdefault(name, inbox)
    return found


def _profile(inbox: Inbox) -> tuple[dict[str, Any], dict[str, str]]:
    return inbox.access.station, inbox.access.odata


def _station(name: str, inbox: Inbox, inboxes: Sequence[Inbox]) -> Iterator[str]:
    yield "[[station]]"
    hosts = sorted({urlsplit(each.values["url"]).hostname or "a local folder" for each in inboxes})
    yield from _comment(f"its limits count for all its inboxes together ({', '.join(hosts)})")
    yield f"name = {toml_value(name)}"
    yield from _settings(inbox.access.station)
    if inbox.access.odata:
        yield "[station.odata]"
        yield from _settings(inbox.access.odata)


def _inbox(inbox: Inbox, inboxes: Sequence[Inbox]) -> Iterator[str]:
    yield from _comment(inbox.title)
    if inbox.problem:
        yield from _comment(f"NOT USABLE AS IT IS: {inbox.problem}")
    others = [
        each
        for each in inboxes
        if each is not inbox and each.values["url"].rstrip("/") == inbox.values["url"].rstrip("/")
    ]
    notes = list(inbox.notes)
    if others:
        notes.append(
            f"{len(others)} other inboxes have this URL: in the reference they take files from each other; here each "
            "remembers for itself"
        )
    for note in dict.fromkeys(notes):
        yield from _comment(note, bullet=True)
    for line in _body(inbox):
        yield f"#{line}" if inbox.problem and line else line


def _body(inbox: Inbox) -> Iterator[str]:
    yield "[[inbox]]"
    yield from _settings({name: value for name, value in inbox.values.items() if value != ""})
    access = inbox.access
    if access.auth or access.to_fill:
        yield "[inbox.auth]"
        yield from _settings(access.auth)
        for told in access.to_fill:
            yield from _comment(f"TO BE FILLED IN: {told}")
    for name, value in access.headers:
        yield from (f"{'' if value else '#'}{line}" for line in ("[[inbox.auth.header]]", f"name = {toml_value(name)}"))
        yield from _settings(value)


def _settings(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        # a literal string needs no escapes, which patterns are full of
        literal = isinstance(value, str) and "\\" in value and "'" not in value and value.isprintable()
        yield f"{name} = '{value}'" if literal else f"{name} = {toml_value(value)}"


def _left(translation: Translation) -> Iterator[str]:
    by_reason: dict[str, list[tuple[int, str]]] = {}
    for line, name, reason in translation.left:
        by_reason.setdefault(reason, []).append((line, name))
    if by_reason:
        yield from _comment(f"Not translated from {translation.file}:")
    for reason, places in by_reason.items():
        names = list(dict.fromkeys(name for _, name in places))
        shown = names if reason == "not known" else names[:_NAMES_SHOWN]
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        lines = _ranges([line for line, _ in places])
        yield from _comment(f"{reason}: {', '.join(shown)}{more} (line {lines})", bullet=True)


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers as `3-5, 8`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]}-{part[-1]}" if part[1:] else str(part[0]) for part in parts)


def _comment(*texts: str, bullet: bool = False) -> Iterator[str]:
    """Comment lines, whatever the text has in it."""
    for text in texts:
        harmless = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
        wrapped = textwrap.wrap(harmless, 118, break_long_words=False, break_on_hyphens=False) or [""]
        for number, line in enumerate(wrapped):
            yield f"#{' ' if not bullet else ' - ' if number == 0 else '   '}{line}"
