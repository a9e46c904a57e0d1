"""Texts without the difference of upper and lower case, or without accents: the same here and in the database.

Letters of the Latin, Greek and Cyrillic scripts; what has no lower-case letter of one character stays as it is. The
database is given the same table (`table`), so that what it finds hangs neither on its version nor on its locale.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Final

# Latin-1 and Latin Extended; Greek and Cyrillic; their extensions
_BLOCKS: Final = (range(0x41, 0x5B), range(0xC0, 0x250), range(0x370, 0x530), range(0x1E00, 0x2000))
_MARKS: Final = range(0x300, 0x370)


def fold(text: str, *, case: bool, accents: bool) -> str:
    """The text with lower-case letters only (`case`), and without accents (`accents`)."""
    return text.translate(_translation(case, accents))


@cache
def table(case: bool, accents: bool) -> tuple[str, str]:
    """The characters that change and what they become, one by one; those behind the end of the second vanish."""
    changes = _translation(case, accents)
    kept = {chr(code): new for code, new in changes.items() if new}
    return "".join(kept) + "".join(chr(code) for code, new in changes.items() if not new), "".join(kept.values())


@cache
def _translation(case: bool, accents: bool) -> dict[int, str]:
    changes = {code: _folded(chr(code), case, accents) for block in _BLOCKS for code in block}
    if accents:
        changes |= {code: "" for code in _MARKS if unicodedata.category(chr(code)) == "Mn"}
    return {code: new for code, new in changes.items() if new != chr(code)}


def _folded(character: str, case: bool, accents: bool) -> str:
    if accents:
        parts = unicodedata.normalize("NFD", character)
        if all(unicodedata.category(mark) == "Mn" for mark in parts[1:]):
            character = parts[0]
    lower = character.lower()
    return lower if case and len(lower) == 1 else character
