"""Layout 0: the product is one file, and that file is the package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from refsys.core.errors import InvalidProduct
from refsys.core.products import FileEntry
from refsys.distribution.packages.model import Package, Part, clipped_file

LAYOUT: Final = 0


class BareFile(Package):
    """A product that is one file. Raises InvalidProduct where it has more, or none."""

    media_type = "application/octet-stream"
    entries = 1

    def __init__(self, product_name: str, files: Sequence[FileEntry]) -> None:
        if len(files) != 1 or files[0].is_folder:
            raise InvalidProduct(
                f"its type is delivered as one file, and it has {len(files)} entries",
                subject=product_name,
                advice="look at what the station delivered; if that is right, its type needs packaging: zip",
            )
        self.name = product_name
        self.size_bytes = files[0].size_bytes
        self._path = files[0].path

    def parts(self, start: int, stop: int) -> Iterator[Part]:
        part = clipped_file(self._path, self.size_bytes, 0, start, stop)
        if part is not None:
            yield part
