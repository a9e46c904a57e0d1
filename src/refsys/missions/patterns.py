"""Name patterns explained: how far one goes along with a name, and names that it matches.

A pattern is read into pieces just as far as that needs; whether it is a pattern at all, `re` has said before.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from refsys.core.errors import HostileInput
from refsys.core.products import check_name

_OPENING = re.compile(r"\((?:\?(?:P<\w+>|:|=|!|<=|<!|>|\(\w+\)|[aiLmsux-]+:?))?")
_ATOM = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[0-7]{3}|.)|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?P=\w+\)|.", re.DOTALL
)
_QUANTIFIER = re.compile(r"(?:[*+?]|\{(?P<least>\d*)(?:,\d*)?\})[?+]?")
_NAMED = re.compile(r"\(\?P<(\w+)>")
_ENTERED = re.compile(r"\((?:\?(?:P<\w+>|>|[aiLmsux-]*:))?")

#: What groups of these names hold in the names that we make up, where their pattern takes it.
_LIKELY: Final = {
    "satellite": ("A", "_"),
    "start": ("20240901T100000", "20240901"),
    "stop": ("20240901T100025", "20240901"),
    "creation": ("20240901T120000",),
    "generation": ("20240901T120000",),
    "orbit": ("054321", "R051"),
    "instance": ("0179_077_334_4320",),
    "centre": ("LN1",),
    "baseline": ("002", "N0511"),
    "tile": ("T33UUP",),
}
_LETTERS: Final = string.ascii_uppercase + string.digits + "_-." + string.ascii_lowercase + "+@"
#: Sets of letters up to this size are alternatives, each of which gets a name.
_FEW: Final = 8
_MOST_NAMES: Final = 500


@dataclass(frozen=True, slots=True)
class Reach:
    """`end` characters of a name are as a pattern has them; `wanted` is the piece of the pattern that follows there,
    empty where the pattern ends."""

    end: int
    wanted: str


@dataclass(frozen=True, slots=True)
class _Piece:
    """One step of a pattern: `text` and its `quantifier`; a group has `opening` and `branches`, its alternatives."""

    text: str
    quantifier: str = ""
    opening: str = ""
    branches: tuple[tuple[_Piece, ...], ...] = ()

    @property
    def least(self) -> int:
        """How often it comes at least."""
        if not self.quantifier:
            return 1
        match = _QUANTIFIER.fullmatch(self.quantifier)
        if match is not None and match["least"] is not None:
            return int(match["least"] or 0)
        return 1 if self.quantifier.startswith("+") else 0

    @property
    def is_entered(self) -> bool:
        """Whether it stands for what its branches say: a group, but no look ahead or behind."""
        return _ENTERED.fullmatch(self.opening) is not None


def how_far(pattern: re.Pattern[str], name: str) -> Reach:
    """How far a pattern goes along with a name that it does not match."""
    return max((_along("", branch, "", name) for branch in _read(pattern.pattern)), key=lambda reach: reach.end)


def example(pattern: re.Pattern[str]) -> str:
    """A name that the pattern matches; empty where none could be made up."""
    return next(iter(examples(pattern)), "")


def examples(pattern: re.Pattern[str]) -> list[str]:
    """Names that the pattern matches, at most 500: each alternative in it is in one of them."""
    made_up = (name for branch in _read(pattern.pattern) for name in _names(branch))
    return [name for name in dict.fromkeys(made_up) if pattern.fullmatch(name) and _is_name(name)][:_MOST_NAMES]


def _along(before: str, branch: tuple[_Piece, ...], after: str, name: str) -> Reach:
    """Go along a branch that stands between `before`, which matches, and `after`, which closes open groups."""
    end = _end(before + after, name) or 0
    for index, piece in enumerate(branch):
        reached = _end(before + piece.text + piece.quantifier + after, name)
        if reached is None and _is_plain(piece):
            plain = itertools.takewhile(_is_plain, branch[index:])
            return Reach(end, "".join(piece.text for piece in plain))
        if reached is None:
            return _within(before, piece, after, name, end)
        before, end = before + piece.text + piece.quantifier, reached
    return Reach(end, "")


def _within(before: str, piece: _Piece, after: str, name: str, end: int) -> Reach:
    """How far into the piece that stops a name the name still goes."""
    if piece.quantifier:
        # as many as there are of those that have to be
        fewer = _end(f"{before}{piece.text}{{0,{max(piece.least, 1)}}}{after}", name)
        return Reach(max(end, fewer or 0), piece.text + piece.quantifier)
    if piece.is_entered:
        inner = [_along(before + piece.opening, branch, ")" + after, name) for branch in piece.branches]
        best = max(inner, key=lambda reach: reach.end)
        if best.end > end or len(inner) == 1:
            return best
    return Reach(end, piece.text)


def _end(pattern: str, name: str) -> int | None:
    try:
        match = re.match(pattern, name)
    except re.error:
        return None
    return match.end() if match else None


def _names(branch: tuple[_Piece, ...]) -> Iterator[str]:
    """Texts for a sequence of pieces: the first choice of each, then each other choice with the first ones beside."""
    choices = [_choices(piece) for piece in branch]
    first = [options[0] for options in choices]
    yield "".join(first)
    for index, options in enumerate(choices):
        for option in options[1:]:
            yield "".join([*first[:index], option, *first[index + 1 :]])


def _choices(piece: _Piece) -> list[str]:
    """Texts for one piece, at least one."""
    if piece.opening and not piece.is_entered:
        return [""]
    options = list(dict.fromkeys([*_likely(piece), *(text for branch in piece.branches for text in _names(branch))]))
    if not piece.opening:
        options = _letters(piece.text)
    often = [option * piece.least for option in options]
    return often if piece.least else ["", *options]


def _likely(piece: _Piece) -> list[str]:
    named = _NAMED.fullmatch(piece.opening)
    texts = _LIKELY.get(named[1], ()) if named else ()
    return [text for text in texts if _end(f"{piece.text}\\Z", text) is not None]


@lru_cache(maxsize=4096)
def _letters(atom: str) -> list[str]:
    """All letters that an atom takes where they are few, else one of them."""
    if _is_literal(atom):
        return [atom[-1]]
    try:
        taken = [letter for letter in _LETTERS if re.fullmatch(atom, letter)]
    except re.error:  # it refers to another group
        return [""]
    return (taken if len(taken) <= _FEW else taken[:1]) or [""]


def _is_plain(piece: _Piece) -> bool:
    return not piece.opening and not piece.quantifier and _is_literal(piece.text)


def _is_literal(atom: str) -> bool:
    return len(atom.removeprefix("\\")) == 1 and not (atom.startswith("\\") and atom[1].isalnum()) and atom not in ".^$"


def _is_name(text: str) -> bool:
    try:
        check_name(text)
    except HostileInput:
        return False
    return True


@lru_cache(maxsize=4096)
def _read(pattern: str) -> tuple[tuple[_Piece, ...], ...]:
    branches, _ = _branches(pattern, 0)
    return branches


def _branches(pattern: str, at: int) -> tuple[tuple[tuple[_Piece, ...], ...], int]:
    """Alternatives from `at` to the end of the group, and where that is."""
    branches: list[tuple[_Piece, ...]] = []
    branch: list[_Piece] = []
    while at < len(pattern) and pattern[at] != ")":
        if pattern[at] == "|":
            branches.append(tuple(branch))
            branch, at = [], at + 1
            continue
        piece, at = _piece(pattern, at)
        branch.append(piece)
    return (*branches, tuple(branch)), at


def _piece(pattern: str, at: int) -> tuple[_Piece, int]:
    opening, start = "", at
    inner: tuple[tuple[_Piece, ...], ...] = ()
    if pattern[at] == "(" and not pattern.startswith("(?P=", at):
        match = _OPENING.match(pattern, at)
        opening = match[0] if match else "("
        inner, end = _branches(pattern, at + len(opening))
        at = end + 1
    else:
        match = _ATOM.match(pattern, at)
        at = match.end() if match else at + 1
    text = pattern[start:at]
    quantifier = _QUANTIFIER.match(pattern, at)
    if quantifier is None or (not opening and text in "^$"):
        return _Piece(text, "", opening, inner), at
    return _Piece(text, quantifier[0], opening, inner), quantifier.end()
