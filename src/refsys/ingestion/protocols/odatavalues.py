"""What stations write into the fields of an entity, read with tolerance (spec/ingestion 5.1, 17.3)."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from refsys.core.times import format_instant, parse_instant

#: An entity as JSON has it.
Entry = Mapping[str, Any]

_COMPACT: Final = re.compile(r"(\d{4})(\d{2})(\d{2})T?(\d{2})(\d{2})(\d{2})Z?", re.ASCII)


@functools.lru_cache(4096)
def read_instant(text: Any) -> datetime:
    """An instant as stations write it: ISO 8601 with 0 to 6 digits, with or without Z, `UTC=…`, `yyyyMMdd[T]HHmmss`.

    Without a zone it is UTC. Raises ValueError, or TypeError for what is no text.
    """
    if not isinstance(text, str):
        raise ValueError(f"not an instant: {text!r:.100}")
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        cleaned = text.strip().removeprefix("UTC=")
        compact = _COMPACT.fullmatch(cleaned)
        return parse_instant("{}-{}-{}T{}:{}:{}".format(*compact.groups()) if compact else cleaned)


def instant_or_none(text: Any) -> datetime | None:
    """The same; None for what is none, or not there."""
    try:
        return read_instant(text)
    except (ValueError, TypeError):
        return None


def evicted_at(entry: Entry, published_at: datetime) -> datetime | None:
    """EvictionDate; None where it is not said, or cannot be."""
    found = instant_or_none(entry.get("EvictionDate"))
    return found if found is not None and found > published_at else None


def text_of(value: Any) -> str:
    """A name or id that a database can hold. Raises ValueError."""
    text = str(value) if isinstance(value, str | int) else ""
    if not text.strip() or len(text) > 2000:
        raise ValueError(f"{value!r:.100} is no name or id")
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def size_of(value: Any) -> int | None:
    """A size in bytes, a number or a text; None where there is none. Raises ValueError."""
    if value is None or value == "":
        return None
    size = int(value)
    if not 0 <= size < 2**63:
        raise ValueError(f"{value!r:.100} is no size")
    return size


def number_of(value: Any, within: range = range(2**31)) -> int | None:
    """A whole number, also as a text; None for anything else, and for what is not `within`."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number in within else None


def boolean_of(value: Any) -> bool | None:
    """true or false, also as a text; None for anything else."""
    return {"true": True, "false": False}.get(str(value).lower())


def plain(value: Any) -> str:
    """A short text that a database can hold, of a text or a number; "" for anything else."""
    return str(value)[:1000].replace("\0", "") if isinstance(value, str | int) else ""


def checksums_of(found: Any) -> dict[str, str]:
    """Checksums by algorithm (upper case), in lower-case hex; what cannot be one is left out."""
    pairs = [(each.get("Algorithm"), each.get("Value")) for each in found or ()]
    return {name.upper(): value.lower() for name, value in pairs if _is_short(name) and _is_short(value)}


def version_of(published: str, size_bytes: int | None, checksums: Mapping[str, str]) -> str:
    """Changes whenever the content may have (spec/ingestion 20 no. 1).

    `published` is an instant as it came, and was read; most stations write it so that it can be taken as it is.
    """
    usual = 21 < len(published) < 28 and published[7] == "-" and published[10] == "T" and published[19] == "."
    if usual and published[-1] == "Z":
        published = published[:-1].ljust(26, "0") + "Z"
    else:
        published = format_instant(read_instant(published))
    version = f"{published}/{size_bytes or ''}"
    for name in sorted(checksums):
        version += f"/{name}={checksums[name]}"
    return version[:1000]


def _is_short(text: Any) -> bool:
    return isinstance(text, str) and 0 < len(text) < 500 and text.isprintable()


def text_literal(text: str) -> str:
    """A text as `$filter` wants it."""
    return "'" + text.replace("'", "''") + "'"


def id_literal(text: str) -> str:
    """A GUID as it stands in `$filter` and in a key, unquoted."""
    return quote(text, safe="-")
