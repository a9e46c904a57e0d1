"""Texts from metadata and names into the typed values of attributes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from refsys.catalogue.documents import Documents
from refsys.core.times import FOREVER, format_instant, parse_compact, parse_instant
from refsys.missions import AttributeRule
from refsys.missions.functions import VALUES

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_UNUSED = re.compile(r"[_-]*")

#: Names carry whole seconds, rounded or cut.
NAME_TOLERANCE = timedelta(seconds=1.5)


class Values:
    """The attributes of one product as they are found, and the problems met on the way.

    `plain` is JSON; `instants` has the same dates as datetimes. Who gives `origins` is told where each one comes from.
    """

    def __init__(self, documents: Documents, fields: Mapping[str, str], origins: dict[str, str] | None = None) -> None:
        self._documents = documents
        self._fields = fields
        self.plain: dict[str, Any] = {}
        self.instants: dict[str, datetime] = {}
        self._origins = origins
        self.problems: list[str] = []

    def apply(self, rule: AttributeRule) -> None:
        """Give an attribute its value, if there is one."""
        name, (value, origin) = rule.attribute.name, self._from_documents(rule)
        named = self._from_name(rule) if rule.group else None
        if value is None and named is not None:
            value, origin = named, f"group {rule.group} of the name"
        elif named is not None and not _agree(value, named):
            self.problems.append(f"{name} is {_show(value)} in the metadata but {_show(named)} in the name")
        if value is None and rule.value is not None:
            origin = f"constant {rule.value}"
            value = rule.value.format_map(self._fields) if isinstance(rule.value, str) else rule.value
            value = self._typed(rule, [value], "the table") if isinstance(value, str) else value
        if value is None:
            if rule.expected:
                places = " or ".join(str(source) for source in rule.read) or "its name"
                self.problems.append(f"{name} is not given at {places}")
            return
        self.set(name, value, origin)

    def set(self, name: str, value: Any, origin: object) -> None:
        """Set an attribute to a typed value; instants as datetimes. `origin` says where it comes from."""
        if isinstance(value, datetime):
            self.instants[name] = value
            value = format_instant(value)
        self.plain[name] = value
        if self._origins is not None:
            self._origins[name] = str(origin)

    def _from_documents(self, rule: AttributeRule) -> tuple[Any, object]:
        """The value and its source; None where no source has one."""
        for source in rule.read:
            texts = self._documents.texts(source, all_of_them=rule.attribute.many or rule.function != "")
            if texts and rule.function:
                texts = VALUES[rule.function](texts)
            if texts:
                value = self._typed(rule, texts, source)
                if value is not None:
                    return value, source
        return None, ""

    def _from_name(self, rule: AttributeRule) -> Any:
        if _UNUSED.fullmatch(text := self._fields.get(rule.group, "")):
            return None
        return self._typed(rule, [text], "the name")

    def _typed(self, rule: AttributeRule, texts: list[str], place: object) -> Any:
        """The texts as the attribute's type; None, and a problem, where they are not of it."""
        attribute = rule.attribute
        texts = texts if attribute.many else texts[:1]
        if rule.translate:
            texts = [rule.translate.get(text, text) for text in texts]
        if rule.upper:
            texts = [text.upper() for text in texts]
        kind, longest = attribute.type, attribute.longest
        length = sum(map(len, texts)) if attribute.many else len(texts[0])
        if length > longest:
            self.problems.append(f"{attribute.name} at {place} has {length} characters, more than {longest}; left out")
            return None
        try:
            return [convert(kind, text) for text in texts] if attribute.many else convert(kind, texts[0])
        except ValueError:
            self.problems.append(f"{attribute.name} at {place} is {_short(texts[0])}, which is no {kind}; left out")
            return None


def convert(kind: str, text: str) -> Any:
    """A text as a value of an OData type (dates as datetimes). Raises ValueError."""
    if kind == "String":
        return text
    if kind == "Integer":
        if not _INTEGER.fullmatch(text):
            raise ValueError(text)
        return int(text)
    if kind == "Double":
        if not _DOUBLE.fullmatch(text) or not math.isfinite(number := float(text)):
            raise ValueError(text)
        return number
    if kind == "Boolean":
        if text.lower() not in _BOOLEANS:
            raise ValueError(text)
        return _BOOLEANS[text.lower()]
    instant = parse_compact(text) if len(text) in (8, 15) and text[:8].isdigit() else parse_instant(text)
    # every format writes "for ever" as some day of the year 9999
    return FOREVER if instant.year == FOREVER.year else instant


def _agree(value: Any, named: Any) -> bool:
    if isinstance(value, datetime) and isinstance(named, datetime):
        return abs(value - named) <= NAME_TOLERANCE
    return bool(value == named)


def _show(value: Any) -> str:
    if isinstance(value, datetime):
        return format_instant(value)
    return _short(value) if isinstance(value, str) else repr(value)


def _short(text: str) -> str:
    return ascii(text if len(text) <= 40 else f"{text[:37]}...")
