"""What stream parameters of the reference say of inboxes: each property found under the trigger that it is meant for.

Keys are `app.<application>.<group>.<rest>`, or without the first two; kebab, camel and lower case are equal in names of
properties (Spring's relaxed binding), and the last of several equal keys counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from refsys.core.errors import ConfigurationError
from refsys.ingestion.reference.properties import Property

#: Protocols that have settings of hosts.
HOSTED: Final = ("auxip", "cadip", "xbip", "edip")
#: The application that stands for all of them, and none at all.
_ALL: Final = ("*", "")

_KEY: Final = re.compile(r"(?:app\.(?P<app>[^.]+)\.)?(?P<group>[A-Za-z-]+)\.(?P<rest>.+)", re.DOTALL)
_DELAY: Final = re.compile(r"(?:app\.(?P<app>[^.]+)\.)?spring\.integration\.poller\.(?:fixed-delay|fixedDelay)")
_GROUPS: Final = {"ingestiontrigger": "trigger", "ingestionfilter": "filter"} | {kind: kind for kind in HOSTED}
_PLACEHOLDER: Final = re.compile(r"\$\{([^${}:]+)(?::([^{}]*))?\}")
_ENV: Final = re.compile(r"envVarName:\s*'([^']+)',\s*secretName:\s*'([^']+)',\s*dataKey:\s*'([^']+)'")

Properties = dict[str, Property]


@dataclass(slots=True)
class Application:
    """What one application of a file is told; names of properties are lower case without separators."""

    inboxes: dict[str, Properties] = field(default_factory=dict)
    hosts: dict[tuple[str, str], Properties] = field(default_factory=dict)
    general: dict[str, Properties] = field(default_factory=dict)
    windows: Properties = field(default_factory=dict)


@dataclass(slots=True)
class StreamFile:
    """One file: a stream, that is a trigger with a filter and workers; `others` are properties of none of them."""

    name: str
    applications: dict[str, Application] = field(default_factory=dict)
    others: list[Property] = field(default_factory=list)
    #: (property, why it counts for nothing)
    overruled: list[tuple[Property, str]] = field(default_factory=list)
    #: Environment variable of a container → the Kubernetes secret and its key.
    secrets: dict[str, str] = field(default_factory=dict)

    def triggers(self) -> list[str]:
        """The applications that have inboxes."""
        return [name for name, application in self.applications.items() if application.inboxes]

    def hosts(self, trigger: str, kind: str) -> dict[str, Properties]:
        """Settings of hosts by the names that the file gives them: the trigger's own before those of the workers."""
        found: dict[str, Properties] = {}
        for name in [trigger, *_ALL, *self.applications]:
            for (each, host), properties in self._application(name).hosts.items():
                if each == kind:
                    found[host] = properties | found.get(host, {})
        return found

    def general(self, trigger: str, group: str) -> Properties:
        """What is said of a protocol, or of the trigger, as a whole."""
        found: Properties = {}
        for name in [trigger, *_ALL, *self.applications]:
            found = self._application(name).general.get(group, {}) | found
        return found

    def windows(self) -> Properties:
        """The cron definitions of the filter by mission."""
        return {mission: each for one in self.applications.values() for mission, each in one.windows.items()}

    def _application(self, name: str) -> Application:
        return self.applications.get(name, Application())


def read_stream(properties: Iterable[Property], name: str) -> StreamFile:
    """Sort the properties of one file."""
    stream = StreamFile(name)
    for each in properties:
        match = _KEY.fullmatch(each.key)
        group = _GROUPS.get(relaxed(match["group"])) if match else None
        if delay := _DELAY.fullmatch(each.key):
            _put(_application(stream, delay["app"] or "").general.setdefault("trigger", {}), "fixeddelay", each, stream)
            continue
        if match is None or group is None:
            stream.others.append(each)
            stream.secrets |= {env: f"{secret}, key {key}" for env, secret, key in _ENV.findall(each.value)}
            continue
        _sort(_application(stream, match["app"] or ""), group, match["rest"], each, stream)
    return stream


def relaxed(name: str) -> str:
    return re.sub(r"[-_]", "", name).lower()


def resolve(each: Property, values: Mapping[str, str]) -> str:
    """Its value, `${NAME}` replaced by what is given, `${NAME:default}` by its default.

    Raises ConfigurationError where a name has neither.
    """

    def value(match: re.Match[str]) -> str:
        given = values.get(match[1], match[2])
        if given is None:
            raise ConfigurationError(
                f"{each.key} holds the placeholder {match[0]}, whose value is not known",
                subject=each.place,
                advice=f"say it by --value {match[1]}=…",
            )
        return given

    return _PLACEHOLDER.sub(value, each.value).strip()


def placeholder(each: Property) -> str:
    """The name in a value that is `${NAME}` and nothing else; empty for other values."""
    match = _PLACEHOLDER.fullmatch(each.value.strip())
    return match[1] if match and match[2] is None else ""


def _application(stream: StreamFile, name: str) -> Application:
    return stream.applications.setdefault(name, Application())


def _sort(application: Application, group: str, rest: str, each: Property, stream: StreamFile) -> None:
    first, _, more = rest.partition(".")
    name, _, what = more.partition(".")
    if group == "trigger" and relaxed(first) == "polling" and what:
        _put(application.inboxes.setdefault(name, {}), _property(what), each, stream)
    elif group in HOSTED and relaxed(first) == "hostconfigs" and what:
        _put(application.hosts.setdefault((group, name), {}), _property(what), each, stream)
    elif group == "filter" and relaxed(first) == "config" and relaxed(what) == "crondefinition":
        _put(application.windows, name, each, stream)
    elif not more:
        _put(application.general.setdefault(group, {}), relaxed(first), each, stream)
    else:
        stream.others.append(each)


def _property(text: str) -> str:
    """`additionalHeadersAuth.Authorization` keeps the case of what comes behind the property's own name."""
    name, _, key = text.replace("[", ".").replace("]", "").replace("..", ".").partition(".")
    return f"{relaxed(name)}.{key}" if key else relaxed(name)


def _put(target: Properties, name: str, each: Property, stream: StreamFile) -> None:
    if (before := target.get(name)) is not None:
        stream.overruled.append((before, f"line {each.line} says it again, and the last one counts"))
    target[name] = each
