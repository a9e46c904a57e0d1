"""Packages: how a product's files become the bytes that users download. Layouts are numbered and frozen.

    0   bare        the product is one file, and that is the package
    1   stored ZIP  computed from the file table, never written

A new layout gets a new number; products keep the one that they were published in. One whose bytes are written once
(deflated, say) describes itself by the file that it was written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from refsys.core.errors import RefsysError
from refsys.core.products import FileEntry
from refsys.distribution.packages import bare, stored_zip
from refsys.distribution.packages.model import FilePart, Package, Part
from refsys.distribution.packages.sealing import Seal, Sealing

__all__ = ["FilePart", "Package", "Part", "Seal", "Sealing", "lay_out", "layout_for"]


def layout_for(packaging: str) -> int:
    """The layout in which a product is packaged today; `packaging` is its type's."""
    return bare.LAYOUT if packaging == "bare" else stored_zip.LAYOUT


def lay_out(layout: int, product_name: str, sensing_start: datetime | None, files: Sequence[FileEntry]) -> Package:
    """The package of a product in a layout; `files` is its file table in its order.

    Raises InvalidProduct where these files cannot be laid out so.
    """
    if layout == bare.LAYOUT:
        return bare.BareFile(product_name, files)
    if layout == stored_zip.LAYOUT:
        return stored_zip.StoredZip(product_name, sensing_start, files)
    raise RefsysError(
        f"is packaged in layout {layout}, which this release does not know",
        subject=product_name,
        advice="run the release that published it, or a newer one",
    )
