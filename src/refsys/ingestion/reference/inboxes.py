"""Inboxes of the reference as inboxes of ours: every property is translated, or said why it is not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from refsys.core.cron import Cron
from refsys.core.errors import ConfigurationError
from refsys.core.times import format_instant, parse_instant
from refsys.infra.settings import InboxSettings
from refsys.ingestion.reference.hosts import Access, access_of
from refsys.ingestion.reference.patterns import python_pattern, weaknesses
from refsys.ingestion.reference.properties import Property
from refsys.ingestion.reference.reasons import OF_CADIP, OF_HOST, OF_INBOX, OF_TRIGGER, of_other
from refsys.ingestion.reference.streams import HOSTED, Properties, StreamFile, resolve

_TYPES: Final = {"prip": "prip", "cadip": "cadip", "edip": "edip", "directory": "folder"}
#: Which settings of hosts an inbox's type has.
_HOSTS: Final = {"prip": "auxip", "cadip": "cadip", "xbip": "xbip", "edip": "edip"}
_SESSIONS: Final = ("EDRS_SESSION", "SESSION_RETRANSFER")
_NO_WINDOW: Final = "it lets everything through, or no inbox of this mission is in this file"
_DURATION: Final = re.compile(r"(?:PT)?(\d+(?:\.\d+)?)(ms|s|m|h)?", re.IGNORECASE)
_SECONDS: Final = {None: 0.001, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(slots=True)
class Inbox:
    """An inbox to be written: its settings, what the reader has to know, and why it cannot be used as it is."""

    title: str
    values: dict[str, Any] = field(default_factory=dict)
    access: Access = field(default_factory=Access)
    notes: list[str] = field(default_factory=list)
    problem: str = ""


@dataclass(slots=True)
class Translation:
    """What became of one file."""

    file: str
    inboxes: list[Inbox] = field(default_factory=list)
    #: (line, name of the property, why it counts for nothing)
    left: list[tuple[int, str, str]] = field(default_factory=list)


def translate(stream: StreamFile, values: Mapping[str, str], secrets: Path | None) -> Translation:
    """The inboxes of a file. `values` are those of its placeholders; `secrets` is the folder with files of secrets.

    Raises ConfigurationError with file and line where a property cannot be understood at all.
    """
    done = Translation(stream.name)
    used: set[int] = set()
    for trigger in stream.triggers():
        for name, properties in stream.applications[trigger].inboxes.items():
            inbox = _Translator(stream, trigger, name, properties, values, secrets, used).inbox()
            done.inboxes.append(inbox)
    done.left = sorted(_left(stream, used))
    return done


class _Translator:
    """One inbox; `used` collects the lines of what was translated."""

    def __init__(
        self,
        stream: StreamFile,
        trigger: str,
        name: str,
        properties: Properties,
        values: Mapping[str, str],
        secrets: Path | None,
        used: set[int],
    ) -> None:
        lines = sorted(each.line for each in properties.values())
        self._stream = stream
        self._trigger = trigger
        self._name = name
        self._properties = properties
        self._given = values
        self._secrets = secrets
        self._used = used
        where = f"lines {lines[0]} to {lines[-1]}" if lines[1:] else f"line {lines[0]}"
        self._inbox = Inbox(f"{name} of {stream.name}, {where}")
        self._values = self._inbox.values

    def inbox(self) -> Inbox:
        kind = self._kind()
        family = self._text("family").upper()
        self._values["id"] = self._id(kind, family)
        self._values["type"] = kind
        self._values["url"] = self._url(kind)
        self._copy(kind, family)
        self._patterns()
        self._since(kind)
        self._pace(kind)
        self._window(family)
        if kind in _HOSTS:
            self._take_access(kind)
        self._say_what_is_left()
        self._validate()
        return self._inbox

    def _kind(self) -> str:
        directory, said = self._text("directory"), self._text("type").lower()
        if not directory:
            first = next(iter(self._properties.values()))
            raise ConfigurationError(f"the inbox {self._name} has no directory", subject=first.place)
        if said:
            if said not in _TYPES:
                raise ConfigurationError(
                    f"is the type {said!a}; known are {', '.join(_TYPES)}", subject=self._properties["type"].place
                )
            return _TYPES[said]
        if directory.startswith("https://"):
            return "xbip"
        if not directory.startswith(("file://", "/")):
            self._inbox.problem = "the reference skips it: it has no type, and its URL tells none"
        return "edip" if directory.startswith("ftp") else "folder" if directory.startswith(("file:", "/")) else "xbip"

    def _id(self, kind: str, family: str) -> str:
        words: list[str] = [self._name]
        if re.fullmatch(r"inbox\d*", self._name, re.IGNORECASE):
            words = [self._text("stationname"), kind, self._text("missionid"), family.removesuffix("_ZIP")]
        parts = re.split(r"[^a-z0-9]+", "-".join(words).lower())
        return "-".join(part for part, _ in groupby(filter(None, parts)))[:56].strip("-") or "inbox"

    def _url(self, kind: str) -> str:
        url = self._text("directory")
        if "@" in urlsplit(url).netloc:
            raise ConfigurationError(
                "the directory holds a user or password",
                subject=self._properties["directory"].place,
                advice="take them out, and set auth of the inbox",
            )
        if kind == "folder":
            self._note("directory", "the reference deletes what it took from a folder; here the folder stays as it is")
            return re.sub(r"^file:/+", "/", url)
        return url if kind in ("prip", "cadip") or url.endswith("/") else f"{url}/"

    def _copy(self, kind: str, family: str) -> None:
        for name, setting in (("stationname", "station"), ("missionid", "mission"), ("timeliness", "timeliness")):
            if text := self._text(name):
                self._values[setting] = text
        if satellite := self._text("satelliteid"):
            if kind == "cadip":
                self._values["satellite"] = satellite
            else:
                self._note("satelliteid", "the reference reads it for CADIP only")
        if self._text("ftpdirectorylisting").lower() == "true":
            if kind == "edip":
                self._values["directories"] = True
            else:
                self._note("ftpdirectorylisting", "the reference reads it for EDIP only")
        if family == "SESSION_RETRANSFER" and kind in ("xbip", "edip", "folder"):
            self._values["retransfer"] = True
        elif family:
            self._note("family", OF_INBOX["family"])

    def _patterns(self) -> None:
        for name, setting in (("matchregex", "match"), ("ignoreregex", "ignore")):
            each = self._properties.get(name)
            if each is None:
                continue
            java = self._text(name)
            try:
                self._values[setting] = python_pattern(java)
            except ValueError as error:
                self._note(name, f"Python does not know this pattern ({error}): {java}")
                self._inbox.problem = f"{setting} has to be written anew"
                continue
            if each.dropped:
                self._note(
                    name,
                    f"a single backslash is dropped by the format of the file: {', '.join(each.dropped)} has none in "
                    "what the reference reads, and so it is here",
                )
            for weakness in weaknesses(java):
                self._note(name, weakness)

    def _since(self, kind: str) -> None:
        found = []
        general = self._stream.general(self._trigger, _HOSTS[kind]) if kind in ("prip", "cadip") else {}
        for each in (self._take("ignorefilesbeforedate"), general.get("start")):
            if each is None:
                continue
            self._used.add(each.line)
            text = resolve(each, self._given)
            try:
                instant = parse_instant(text if text.endswith("Z") else f"{text}Z")
            except ValueError:
                self._say(each, f"is no instant ({text!a}), which the reference takes for 1970")
                continue
            if instant > datetime.now(UTC):
                self._say(each, "lies in the future, for which the reference takes the moment of its start: set since")
            else:
                found.append(instant)
        if found:
            self._values["since"] = format_instant(max(found))

    def _pace(self, kind: str) -> None:
        delay = self._stream.general(self._trigger, "trigger").get("fixeddelay")
        if delay is not None:
            self._used.add(delay.line)
            match = _DURATION.fullmatch(resolve(delay, self._given))
            if match is None:
                raise ConfigurationError("is no duration such as 20s", subject=delay.place)
            unit = match[2].lower() if match[2] else None
            self._values["poll_s"] = float(match[1]) * _SECONDS[unit]
        if kind == "prip" and (size := self._stream.general(self._trigger, "auxip").get("maxpagesize")):
            self._used.add(size.line)
            text = resolve(size, self._given)
            if not text.isdecimal():
                raise ConfigurationError("is no number", subject=size.place)
            self._values["page_size"] = int(text)

    def _window(self, family: str) -> None:
        mission = self._text("missionid")
        windows = self._stream.windows()
        if not mission and windows:
            self._inbox.notes.append("missionId is not said: the filter takes the mission from each name's beginning")
        each = windows.get(mission)
        if each is None:
            return
        text = resolve(each, self._given)
        try:
            is_everything = all(field is None for field in Cron.parse(text).fields)
        except ValueError as error:
            raise ConfigurationError(f"is no cron expression: {error}", subject=each.place) from None
        if is_everything:
            return
        self._used.add(each.line)
        if family in _SESSIONS:
            self._values["window"] = text
        else:
            self._say(each, f'the reference samples these too: window = "{text}" and window_auxiliaries = true')

    def _take_access(self, kind: str) -> None:
        access = access_of(self._stream, self._trigger, _HOSTS[kind], self._values["url"], self._given, self._secrets)
        self._inbox.access = access
        self._values |= access.values
        self._used |= access.used
        self._inbox.notes += access.notes
        self._inbox.problem = self._inbox.problem or access.problem

    def _say_what_is_left(self) -> None:
        for name, each in self._properties.items():
            if each.line not in self._used:
                self._say(each, OF_INBOX.get(name.partition(".")[0], "not known"))

    def _validate(self) -> None:
        try:
            InboxSettings.model_validate(self._values | {"auth": self._inbox.access.checked()})
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg'].removeprefix('Value error, ')}"
                for each in error.errors(include_url=False, include_input=False)
            )
            self._inbox.problem = self._inbox.problem or f"it is not right: {told}"

    def _take(self, name: str) -> Property | None:
        each = self._properties.get(name)
        if each is not None:
            self._used.add(each.line)
        return each

    def _text(self, name: str) -> str:
        each = self._take(name)
        return "" if each is None else resolve(each, self._given)

    def _note(self, name: str, text: str) -> None:
        self._say(self._properties[name], text)

    def _say(self, each: Property, text: str) -> None:
        self._used.add(each.line)
        self._inbox.notes.append(f"{_short(each)} (line {each.line}): {text}")


def _left(stream: StreamFile, used: set[int]) -> Iterable[tuple[int, str, str]]:
    """What belongs to no inbox, or says of a host what has no counterpart."""
    for each, why in stream.overruled:
        yield each.line, _short(each), why
    for each in stream.others:
        yield each.line, each.key, of_other(each.key)
    for application in stream.applications.values():
        for each in application.windows.values():
            if each.line not in used:
                yield each.line, _short(each), _NO_WINDOW
        for group, properties in application.general.items():
            for name, each in properties.items():
                if each.line not in used:
                    of_group = OF_CADIP.get(name) if group == "cadip" else None
                    known = of_group or OF_HOST.get(name) or OF_TRIGGER.get(name)
                    yield each.line, _short(each), known or of_other(each.key)
        for (kind, host), properties in application.hosts.items():
            yield from _left_of_host(stream, kind, host, properties, used)


def _left_of_host(
    stream: StreamFile, kind: str, host: str, properties: Properties, used: set[int]
) -> Iterable[tuple[int, str, str]]:
    assert kind in HOSTED
    others = [app.hosts[kind, host] for app in stream.applications.values() if (kind, host) in app.hosts]
    is_used = any(each.line in used for one in others for each in one.values())
    for name, each in properties.items():
        twin = next((one[name] for one in others if name in one and one[name].line in used), None)
        if each.line in used or (twin is not None and twin.value == each.value):
            continue
        if twin is not None:
            yield each.line, _short(each), f"line {twin.line} says something else for the trigger, which counts here"
        elif not is_used:
            yield each.line, _short(each), "no inbox of this file is at this host"
        else:
            yield each.line, _short(each), OF_HOST.get(name.partition(".")[0], "not known")


def _short(each: Property) -> str:
    """Its key without application and group."""
    return re.sub(r"^(app\.[^.]+\.)?(ingestion-?\w+\.(polling|config)\.)?", "", each.key)
