"""Patterns of texts: `%` is any text, `_` any character, a backslash takes the meaning from the next character."""

from __future__ import annotations

from enum import Enum


class Wildcard(Enum):
    """A piece of a pattern that is no character."""

    TEXT = "%"
    CHARACTER = "_"


def pieces_of(pattern: str) -> list[str | Wildcard]:
    """Characters and wildcards, one by one. Raises ValueError that says what is wrong, as the end of a sentence."""
    pieces: list[str | Wildcard] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if not escaped:
                raise ValueError("ends with a backslash, which needs a character behind it")
            pieces.append(escaped)
        elif character in "%_":
            pieces.append(Wildcard(character))
        else:
            pieces.append(character)
    return pieces


def pattern_of(pieces: list[str | Wildcard]) -> str:
    """The shortest pattern of some pieces."""
    return "".join(
        piece.value if isinstance(piece, Wildcard) else f"\\{piece}" if piece in "%_\\" else piece for piece in pieces
    )


def fixed_texts(pattern: str) -> list[str]:
    """The texts between the wildcards, in their order; empty ones at the ends where a wildcard stands there."""
    texts = [""]
    for piece in pieces_of(pattern):
        if isinstance(piece, Wildcard):
            texts.append("")
        else:
            texts[-1] += piece
    return texts
