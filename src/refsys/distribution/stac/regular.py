"""What a group of a name pattern can be, where that is a short list: `SLC|GRD`, `S[1-6]|IW`, `AUX_(?:CAL|PP1)`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

#: Longer lists are none.
LIMIT: Final = 2000

_ATOM: Final = re.compile(r"(?P<letters>\w)|\[(?P<set>[\w-]+)\]|(?P<open>\(\?(?::|P<\w+>))", re.ASCII)


def texts_of(pattern: str, group: str) -> list[str] | None:
    """Every text that a named group of a pattern matches; None where these are too many, or not as plain as that."""
    start = pattern.find(f"(?P<{group}>")
    if start < 0:
        return None
    try:
        texts, end = _alternatives(pattern, start + len(f"(?P<{group}>"))
    except _NotPlain:
        return None
    # an optional or repeated group is another language
    return None if pattern[end + 1 : end + 2] in ("?", "*", "+", "{") else texts


class _NotPlain(Exception):
    """A part that no short list says."""


def _alternatives(pattern: str, at: int) -> tuple[list[str], int]:
    """The texts of alternatives, and where their closing bracket is."""
    found: list[str] = []
    sequence = [""]
    while at < len(pattern):
        if pattern[at] == ")":
            return [*found, *sequence], at
        if pattern[at] == "|":
            found, sequence, at = [*found, *sequence], [""], at + 1
            continue
        texts, at = _atom(pattern, at)
        if len(sequence) * len(texts) + len(found) > LIMIT:
            raise _NotPlain
        sequence = [left + right for left, right in itertools.product(sequence, texts)]
    raise _NotPlain


def _atom(pattern: str, at: int) -> tuple[list[str], int]:
    match = _ATOM.match(pattern, at)
    if match is None:
        raise _NotPlain
    if match["open"]:
        texts, end = _alternatives(pattern, match.end())
        end += 1
    elif match["set"]:
        texts, end = list(_members(match["set"])), match.end()
    else:
        texts, end = [match["letters"]], match.end()
    if pattern[end : end + 1] == "?":
        return [*texts, ""], end + 1
    if pattern[end : end + 1] in ("*", "+", "{"):
        raise _NotPlain
    return texts, end


def _members(text: str) -> Iterator[str]:
    for piece in re.findall(r".-.|.", text):
        first, last = piece[0], piece[-1]
        yield from (chr(code) for code in range(ord(first), ord(last) + 1)) if len(piece) == 3 else piece
