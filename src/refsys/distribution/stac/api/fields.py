"""The extension `fields`: which members of items are wanted (STAC API Fields 1.0)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from refsys.distribution.stac.api.errors import wrong

#: Without them an item is none: they are never left out.
ALWAYS: Final = ("type", "stac_version", "id", "collection")
#: What an empty `fields` asks for.
DEFAULT: Final = (*ALWAYS, "geometry", "bbox", "links", "assets", "properties.datetime")

_MEMBERS: Final = frozenset((*ALWAYS, "stac_extensions", "geometry", "bbox", "links", "assets", "properties"))
_NAMES_LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class Fields:
    """Paths of members, their names joined by dots. `include` None: all. What is in both is included."""

    include: tuple[str, ...] | None
    exclude: tuple[str, ...]

    def apply(self, item: dict[str, Any]) -> dict[str, Any]:
        """What of an item is wanted. The item is changed."""
        wanted = self.include or ()
        found = item if self.include is None else _picked(item, (*ALWAYS, *wanted))
        for path in self.exclude:
            if path not in ALWAYS and not any(f"{name}.".startswith(f"{path}.") for name in wanted):
                _drop(found, path.split("."))
        return found


def fields_of_text(text: str) -> Fields:
    """`a,+b,-c`. Raises StacError."""
    include: list[str] = []
    exclude: list[str] = []
    for name in text.split(",") if text.strip() else ():
        # a `+` that was not percent-encoded arrives as a blank
        (exclude if name.startswith("-") else include).append(name.lstrip("+- "))
    if not include and not exclude:
        return Fields(DEFAULT, ())
    return Fields(_paths(include) if include else None, _paths(exclude))


def fields_of_json(value: Any) -> Fields:
    """`{"include": […], "exclude": […]}`. Raises StacError.

    `exclude` without `include` takes away from all members, with an empty one from those of an empty `fields`.
    """
    if not isinstance(value, dict) or value.keys() - {"include", "exclude"}:
        raise wrong("fields", "is an object with the lists include and exclude")
    include, exclude = (_names(value.get(key)) for key in ("include", "exclude"))
    if not include and ("include" in value or not exclude):
        excluded = _paths(exclude)
        return Fields(tuple(path for path in DEFAULT if path not in excluded), excluded)
    return Fields(_paths(include) if include else None, _paths(exclude))


def _names(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise wrong("fields", "include and exclude are lists of names")
    return value


def _paths(names: Iterable[str]) -> tuple[str, ...]:
    """What is no member of an item is one of its properties."""
    paths = tuple(name if name.partition(".")[0] in _MEMBERS else f"properties.{name}" for name in names)
    if len(paths) > _NAMES_LIMIT:
        raise wrong("fields", f"has {len(paths)} names, more than {_NAMES_LIMIT}")
    if any(not name for name in names):
        raise wrong("fields", "has an empty name")
    return paths


def _picked(item: dict[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in paths:
        source, target = item, found
        *parents, last = path.split(".")
        for name in parents:
            source = source.get(name, {}) if isinstance(source, dict) else {}
            target = target.setdefault(name, {})
        if isinstance(source, dict) and last in source:
            target[last] = source[last]
    return {name: value for name, value in found.items() if value != {} or item.get(name) == {}}


def _drop(item: dict[str, Any], path: list[str]) -> None:
    *parents, last = path
    for name in parents:
        found = item.get(name)
        if not isinstance(found, dict):
            return
        item = found
    item.pop(last, None)
