"""Conditional requests and ranges of bytes: RFC 9110, sections 8.8, 13 and 14."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import Enum
from typing import Final

_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_RANGES: Final = re.compile(r"bytes=(.*)", re.IGNORECASE | re.ASCII)
_RANGE: Final = re.compile(r"(\d*)-(\d*)", re.ASCII)
#: Positions of more digits than this are behind the end of any file.
_DIGITS: Final = 18


class Verdict(Enum):
    """What the conditions of a request say: answer it, or which status instead."""

    GO_ON = 0
    NOT_MODIFIED = 304
    FAILED = 412


class Unsatisfiable(Exception):
    """The range lies behind the end (416)."""


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one version of some bytes from another. `tag` is strong, without its quotes; `modified_at` in UTC."""

    tag: str
    modified_at: datetime

    @property
    def etag(self) -> str:
        return f'"{self.tag}"'

    @property
    def last_modified(self) -> str:
        """In whole seconds, as HTTP has it."""
        return format_datetime(self.modified_at.astimezone(UTC).replace(microsecond=0), usegmt=True)


def judge(headers: Mapping[str, str], validators: Validators) -> Verdict:
    """If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since of a GET or HEAD, in this order (13.2.2)."""
    if "if-match" in headers:
        if not _lists(headers["if-match"], validators.tag, weakly=False):
            return Verdict.FAILED
    elif (limit := _instant(headers.get("if-unmodified-since"))) and _seconds(validators) > limit:
        return Verdict.FAILED
    if "if-none-match" in headers:
        if _lists(headers["if-none-match"], validators.tag, weakly=True):
            return Verdict.NOT_MODIFIED
    elif (limit := _instant(headers.get("if-modified-since"))) and _seconds(validators) <= limit:
        return Verdict.NOT_MODIFIED
    return Verdict.GO_ON


def asked_range(headers: Mapping[str, str], validators: Validators, size_bytes: int) -> tuple[int, int] | None:
    """The range [start, stop) that a GET asks for; None where all bytes are the answer.

    All bytes are the answer to a range that is not understood, to one whose If-Range does not hold, and to several
    ranges at once, which 14.2 allows. Raises Unsatisfiable.
    """
    found = _RANGES.fullmatch(headers.get("range", "").strip())
    if found is None or not _if_range_holds(headers.get("if-range"), validators):
        return None
    asked = [text for text in (piece.strip(" \t") for piece in found[1].split(",")) if text]
    one = _RANGE.fullmatch(asked[0]) if len(asked) == 1 else None
    if one is None:
        return None
    first, last = (_position(text) for text in one.groups())
    if first is not None:
        if last is not None and last < first:
            return None
        if first >= size_bytes:
            raise Unsatisfiable
        return first, size_bytes if last is None else min(last + 1, size_bytes)
    if last == 0:
        raise Unsatisfiable
    # of no bytes the last ones are all of them
    return (max(0, size_bytes - last), size_bytes) if last and size_bytes else None


def _position(text: str) -> int | None:
    if not text:
        return None
    return int(text) if len(text) <= _DIGITS else int("9" * _DIGITS)


def _if_range_holds(text: str | None, validators: Validators) -> bool:
    """13.1.5: a strong tag that is ours, or exactly our date."""
    if text is None:
        return True
    tag = _TAG.fullmatch(text.strip())
    if tag is not None:
        return tag[1] is None and tag[2] == validators.tag
    return _instant(text) == _seconds(validators)


def _lists(text: str, wanted: str, *, weakly: bool) -> bool:
    """Whether `wanted` is among the tags of the list; `*` is any."""
    if text.strip() == "*":
        return True
    return any(tag == wanted and (weakly or not weak) for weak, tag in _TAG.findall(text))


def _instant(text: str | None) -> datetime | None:
    """A date of HTTP; None where there is none, or none that can be read: it is ignored then (13.1.3)."""
    if text is None:
        return None
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def _seconds(validators: Validators) -> datetime:
    return validators.modified_at.replace(microsecond=0)
