"""Which file of a product is its picture, and of which one a picture is made: by the row of its type."""

from __future__ import annotations

from collections.abc import Sequence

from refsys.catalogue.documents import glob_pattern
from refsys.core.products import FileEntry


def first_like(patterns: Sequence[str], product_name: str, files: Sequence[FileEntry]) -> FileEntry | None:
    """The first file that matches a pattern, the patterns in their order; empty files count as absent.

    A pattern is relative to the product; the empty one is the product where it is one file.
    """
    sound = [entry for entry in files if entry.size_bytes and not entry.is_folder]
    for pattern in patterns:
        wanted = glob_pattern(f"{product_name}/{pattern}" if pattern else product_name)
        found = next((entry for entry in sound if wanted.fullmatch(entry.path)), None)
        if found is not None:
            return found
    return None
