"""Regular expressions of Java (java.util.regex.Pattern) for Python's `re`, and patterns that do not what they say."""

from __future__ import annotations

import re
import warnings
from typing import Final

#: POSIX and ASCII classes, as the content of a class of Python's.
_CLASSES: Final = {
    "Lower": "a-z", "Upper": "A-Z", "ASCII": r"\x00-\x7f", "Alpha": "A-Za-z", "Digit": "0-9", "Alnum": "A-Za-z0-9",
    "Punct": r"!-/:-@\[-`{-~", "Graph": "!-~", "Print": " -~", "Blank": r" \t", "XDigit": "0-9A-Fa-f",
    "Space": r" \t\n\x0b\f\r", "Cntrl": r"\x00-\x1f\x7f",
}  # fmt: skip
_CLASS: Final = re.compile(r"\\([pP])(?:\{(\w+)\}|(\w))")
_NAME: Final = re.compile(r"\\k<(\w+)>")
_ONLY_JAVA: Final = {
    "h": "horizontal white space", "H": "horizontal white space", "v": "vertical white space", "e": "escape",
    "V": "vertical white space", "R": "line break", "X": "grapheme", "G": "end of the last match",
    "N": "named character", "c": "control character", "0": "octal character",
}  # fmt: skip
_LATE_LOOKAHEAD: Final = re.compile(r"(?<!\\)\.[*+](?![?+])\(*(?=\(\?!)")
_ANYTHING: Final = re.compile(r"\)*(?:\.[*+]|\$|$)")


def python_pattern(java: str) -> str:
    """The same pattern for `re`. Raises ValueError that says what Python does not know."""
    parts: list[str] = []
    position, class_at = 0, -1
    while position < len(java):
        letter = java[position]
        in_class = class_at >= 0
        if letter == "\\":
            piece, position = _escape(java, position, in_class=in_class)
        elif in_class:
            piece, position = _in_class(java, position, is_first=position == class_at)
            class_at = -1 if piece == "]" else class_at
        elif letter == "[":
            piece = "[^" if java.startswith("^", position + 1) else "["
            position += len(piece)
            class_at = position
        elif java.startswith("(?<", position) and java[position + 3 : position + 4] not in ("=", "!"):
            piece, position = "(?P<", position + 3
        else:
            piece, position = letter, position + 1
        parts.append(piece)
    pattern = "".join(parts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            re.compile(pattern)
        except (re.error, FutureWarning, DeprecationWarning) as error:
            raise ValueError(str(error)) from None
    return pattern


def weaknesses(pattern: str) -> list[str]:
    """What a pattern says and does not do."""
    for match in _LATE_LOOKAHEAD.finditer(pattern):
        if _ANYTHING.match(pattern, _end_of_group(pattern, match.end())):
            return [
                "a negative look-ahead between .* and anything excludes nothing: the .* just stops elsewhere; "
                "it belongs before the .*, as in ^S1(?!.*AUX_TRO).*$, or into ignore"
            ]
    return []


def _end_of_group(pattern: str, at: int) -> int:
    """Where the group ends that begins here."""
    depth, in_class = 0, False
    while at < len(pattern):
        letter = pattern[at]
        if letter == "\\":
            at += 1
        elif in_class:
            in_class = letter != "]"
        elif letter == "[":
            in_class = True
        elif letter in "()":
            depth += 1 if letter == "(" else -1
            if not depth:
                return at + 1
        at += 1
    return at


def _escape(java: str, at: int, *, in_class: bool) -> tuple[str, int]:
    letter = java[at + 1 : at + 2]
    if letter == "Q":
        end = java.find("\\E", at)
        end = len(java) if end < 0 else end
        return re.escape(java[at + 2 : end]), end + 2
    if match := _CLASS.match(java, at):
        content = _CLASSES.get(match[2] or match[3])
        if content is None or (in_class and match[1] == "P"):
            raise ValueError(f"{match[0]} is a class of Java only")
        inside = content if in_class else f"[{'^' if match[1] == 'P' else ''}{content}]"
        return inside, match.end()
    if match := _NAME.match(java, at):
        return f"(?P={match[1]})", match.end()
    if letter in ("z", "Z") and not in_class:
        return r"\Z", at + 2
    if letter in _ONLY_JAVA:
        raise ValueError(f"\\{letter} ({_ONLY_JAVA[letter]}) is of Java only")
    if java.startswith("x{", at + 1):
        raise ValueError("\\x{…} is of Java only")
    return java[at : at + 2], at + 2


def _in_class(java: str, at: int, *, is_first: bool) -> tuple[str, int]:
    if java[at] == "[" or java.startswith("&&", at):
        raise ValueError("classes within classes are of Java only")
    if java[at] == "]" and is_first:
        return r"\]", at + 1
    return java[at], at + 1
