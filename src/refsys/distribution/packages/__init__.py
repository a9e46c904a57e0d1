"""Packages: how a product's files become the bytes that users download. Layouts are numbered and frozen.

    0   bare          the product is one file, and that is the package
    1   stored ZIP    computed from the file table, never written
    2   deflated ZIP  written once, beside the product

A new layout gets a new number; products keep the one that they were published in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from refsys.core.errors import RefsysError
from refsys.core.products import FileEntry
from refsys.distribution.packages import bare, deflated_zip, stored_zip
from refsys.distribution.packages.deflated_zip import Deflating, written_path
from refsys.distribution.packages.model import FilePart, Package, Part, Written
from refsys.distribution.packages.sealing import Seal, Sealer, Sealing

__all__ = [
    "LAYOUTS",
    "Deflating",
    "FilePart",
    "Package",
    "Part",
    "Seal",
    "Sealer",
    "Sealing",
    "Written",
    "is_written",
    "lay_out",
    "layout_for",
    "written_path",
]

#: The layout of each packaging that types can have, today.
LAYOUTS: Final[Mapping[str, int]] = {
    "bare": bare.LAYOUT,
    "zip": stored_zip.LAYOUT,
    "deflated": deflated_zip.LAYOUT,
}


def layout_for(packaging: str, *, in_place: bool = False) -> int:
    """The layout in which a product is packaged today; `packaging` is its type's.

    Nothing is written where products lie that belong to somebody else (`in_place`).
    """
    layout = LAYOUTS[packaging]
    return stored_zip.LAYOUT if in_place and is_written(layout) else layout


def is_written(layout: int) -> bool:
    """Whether a package of this layout is an object in storage, and not computed from the product's files."""
    return layout == deflated_zip.LAYOUT


def lay_out(
    layout: int,
    product_name: str,
    sensing_start: datetime | None,
    files: Sequence[FileEntry],
    written: Written | None = None,
) -> Package:
    """The package of a product in a layout.

    `files` is its file table in its order, which says nothing of a package that was `written`: that one is described
    by what is final of it. Raises InvalidProduct where these files cannot be laid out so.
    """
    if layout == bare.LAYOUT:
        return bare.BareFile(product_name, files)
    if layout == stored_zip.LAYOUT:
        return stored_zip.StoredZip(product_name, sensing_start, files)
    if layout == deflated_zip.LAYOUT and written is not None:
        return deflated_zip.DeflatedZip(product_name, written.size_bytes, written.md5)
    raise RefsysError(
        f"is packaged in layout {layout}, which this release does not know",
        subject=product_name,
        advice="run the release that published it, or a newer one",
    )
