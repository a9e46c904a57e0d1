"""Java properties files (java.util.Properties.load), with the line of each property and what the format dropped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from refsys.core.errors import ConfigurationError

_WHITE: Final = " \t\f"
_ESCAPED: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_UNICODE: Final = re.compile(r"u([0-9A-Fa-f]{4})")
#: What may follow a dropped backslash without a change of meaning in a regular expression.
_HARMLESS: Final = frozenset("\\=:#! \t")


@dataclass(frozen=True, slots=True)
class Property:
    """One property as Java reads it; `dropped` are the escapes of its value that lost their backslash (`\\.` → `.`)."""

    key: str
    value: str
    file: str
    line: int
    dropped: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def read_properties(data: bytes, file: str) -> list[Property]:
    """All properties in their order; those of one key are all there.

    Raises ConfigurationError with file and line where Java would not load it, or where it is no text.
    """
    if b"\0" in data:
        raise ConfigurationError("is no text: it has zero bytes", subject=file)
    found = []
    for line, text in _logical_lines(data.decode("latin-1")):
        key, value = _halves(text)
        try:
            name, _ = _unescaped(key)
            content, dropped = _unescaped(value)
        except ValueError as error:
            raise ConfigurationError(str(error), subject=f"{file}:{line}", advice="Java would not load it") from None
        found.append(Property(name, content, file, line, dropped))
    return found


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations, each with the number of the first; comments and empty ones left out."""
    whole, begun = "", 0
    for number, raw in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        part = raw.lstrip(_WHITE)
        if not begun:
            if not part or part[0] in "#!":
                continue
            begun = number
        whole += part
        if (len(whole) - len(whole.rstrip("\\"))) % 2:
            whole = whole[:-1]
            continue
        yield begun, whole
        whole, begun = "", 0
    if begun and whole:
        yield begun, whole


def _halves(text: str) -> tuple[str, str]:
    """Key and value, still escaped: `=`, `:` or white space between them."""
    match = re.match(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*", text)
    assert match is not None
    return match[1], text[match.end() :]


def _unescaped(text: str) -> tuple[str, tuple[str, ...]]:
    parts: list[str] = []
    dropped: list[str] = []
    position = 0
    while (at := text.find("\\", position)) >= 0:
        parts.append(text[position:at])
        letter = text[at + 1 : at + 2]
        position = at + 2
        if letter == "u":
            match = _UNICODE.match(text, at + 1)
            if match is None:
                raise ValueError(f"has the escape {text[at : at + 6]}, which is not \\u and four hexadecimal digits")
            parts.append(chr(int(match[1], 16)))
            position = match.end()
        else:
            parts.append(_ESCAPED.get(letter, letter))
            if letter and letter not in _HARMLESS and letter not in _ESCAPED:
                dropped.append(f"\\{letter}")
    whole = "".join([*parts, text[position:]])
    # escapes are UTF-16: two of them may be one letter
    return whole.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace"), tuple(dict.fromkeys(dropped))
