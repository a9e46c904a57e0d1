"""Names of members: which are refused, and where in the product each one belongs.

An archive holds the product's folder (or its one file) and nothing beside it. Three deviations are known from
stations, and one meaning each (spec of the reference, "Uncompression"):

    X.SAFE.zip holds X/…               the folder or the file has no or another suffix: it gets the product's name
    X.SAFE.tar holds manifest.safe, …  flat: the members come under X.SAFE/
    X.TGZ      holds X.DBL only        flat: a product whose name has no suffix is a folder

What macOS adds beside a product (`__MACOSX/`, `.DS_Store`, `._*`) is left out; inside it everything is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from refsys.core.errors import InvalidProduct
from refsys.ingestion.archives.model import Delivery, NotStreamable

#: Longest path in a product, in bytes: a storage key has 1024, and needs room for what stands before.
PATH_LIMIT: Final = 768
_SEGMENT_LIMIT: Final = 255
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_SUFFIX: Final = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}")
_MANIFESTS: Final = frozenset({"manifest.safe", "xfdumanifest.xml"})


def check_path(name: bytes, delivery: Delivery) -> str:
    """A member's name as a relative path without leading `./` and final slash ("" is the archive's own folder).

    Raises HostileInput where it leaves the folder, is too long or cannot be shown; InvalidProduct where it is not UTF-8
    or has empty segments.
    """
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        raise delivery.invalid("has a name that is not UTF-8", name) from None
    if not text.isprintable():
        raise delivery.hostile("has control or invisible characters in its name", name)
    if "\\" in text:
        raise delivery.hostile("has a backslash in its name, which is a separator elsewhere", name)
    if text.startswith("/") or _DRIVE.match(text):
        raise delivery.hostile("has an absolute path", name)
    path = text.removesuffix("/")
    while path.startswith("./"):
        path = path[2:]
    if path in ("", "."):
        return ""
    segments = path.split("/")
    if ".." in segments:
        raise delivery.hostile("would leave its folder", name)
    if "" in segments or "." in segments:
        raise delivery.invalid("has an empty or dotted folder in its path", name)
    if len(path.encode()) > PATH_LIMIT or any(len(segment.encode()) > _SEGMENT_LIMIT for segment in segments):
        raise delivery.hostile(
            f"has too long a name: {_SEGMENT_LIMIT} bytes are allowed for a file, {PATH_LIMIT} for its path", name
        )
    return path


@dataclass(frozen=True, slots=True)
class Layout:
    """Where members belong: `top` is the one entry at the top of the archive; empty where the archive is flat."""

    delivery: Delivery
    product: str
    top: str

    def place(self, path: str) -> str | None:
        """The member's path in the product's file table; None where it is left out."""
        top = path.partition("/")[0]
        if top == self.top:
            return self.product + path[len(top) :]
        if not path or _is_junk(top):
            return None
        if not self.top:
            return f"{self.product}/{path}"
        raise self.delivery.invalid(f"lies beside the product {self.product}, not in it", path)


def layout_of(members: Iterable[tuple[str, bool]], product: str, delivery: Delivery) -> Layout:
    """The layout of an archive with these members: path, and whether it is a folder. Read as far as needed.

    Raises InvalidProduct where it does not hold the product.
    """
    files: set[str] = set()
    folders: set[str] = set()
    for path, is_folder in members:
        top, inside, _ = path.partition("/")
        if top == product:
            return Layout(delivery, product, product)
        if top and not _is_junk(top):
            (folders if is_folder or inside else files).add(top)
    if not files and not folders:
        raise delivery.invalid("holds no file")
    if len(files) + len(folders) > 1:
        if files:
            return Layout(delivery, product, "")
        shown = ", ".join(ascii(top) for top in sorted(folders)[:3])
        raise delivery.invalid(f"holds {len(folders)} folders ({shown}), none of which is the product {product}")
    only = next(iter(files or folders))
    if files and only.lower() in _MANIFESTS:
        return Layout(delivery, product, "")
    if _stem(only) != _stem(product):
        kind = "file" if files else "folder"
        raise delivery.invalid(f"holds another product than announced: the {kind} {only!a}, not {product}")
    return Layout(delivery, product, "" if files and _stem(product) == product else only)


class Placing:
    """Where members belong, one after the other.

    Without a `layout` it is guessed from the first member, so that the others need not be known; `confirm` then says
    at the end whether they make the same one.
    """

    def __init__(self, product: str, delivery: Delivery, layout: Layout | None = None) -> None:
        self._product = product
        self._delivery = delivery
        self._layout = layout
        self._is_guess = layout is None
        self._tops: dict[tuple[str, bool], None] = {}

    def place(self, path: str, is_folder: bool) -> str | None:
        """The member's path in the product's file table; None where it is left out.

        Raises InvalidProduct where it lies beside the product, NotStreamable where it shows that the guess is wrong.
        """
        top, inside, _ = path.partition("/")
        counts = bool(top) and not _is_junk(top)
        if self._is_guess and counts:
            self._tops[top, is_folder or bool(inside)] = None
            self._layout = self._layout or self._guess()
            # another top than guessed, or the product itself behind members of a flat one
            if top != self._layout.top != self._product and (self._layout.top or top == self._product):
                raise NotStreamable("its first member does not tell its layout")
        return self._layout.place(path) if self._layout else None

    def confirm(self) -> None:
        """Raises NotStreamable where the guess was wrong, InvalidProduct where the product is not there."""
        if self._is_guess and layout_of(self._tops, self._product, self._delivery) != self._layout:
            raise NotStreamable("its layout shows at its end only")

    def _guess(self) -> Layout:
        try:
            return layout_of(self._tops, self._product, self._delivery)
        except InvalidProduct:
            return Layout(self._delivery, self._product, "")


@dataclass(slots=True)
class Tree:
    """The files and folders of a product as they come: no path twice, none both file and folder."""

    delivery: Delivery
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    _parents: set[str] = field(default_factory=set)

    def add_file(self, path: str) -> None:
        """Raises InvalidProduct where the path is taken."""
        if path in self.files:
            raise self.delivery.invalid("is there twice", path)
        if path in self.folders:
            raise self._both(path)
        self.files.add(path)
        self._enter_parents(path)

    def add_folder(self, path: str) -> None:
        """A folder may come more than once. Raises InvalidProduct where it is a file."""
        if path in self.files:
            raise self._both(path)
        self.folders.add(path)
        self._enter_parents(path)

    def empty_folders(self) -> list[str]:
        """The folders with nothing in them."""
        return sorted(self.folders - self._parents)

    def _enter_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        while parent and parent not in self._parents:
            if parent in self.files:
                raise self._both(parent)
            self._parents.add(parent)
            self.folders.add(parent)
            parent = parent.rpartition("/")[0]

    def _both(self, path: str) -> Exception:
        return self.delivery.invalid("is a file and a folder at the same time", path)


def _is_junk(top: str) -> bool:
    return top in ("__MACOSX", ".DS_Store") or top.startswith("._")


def _stem(name: str) -> str:
    """A product's name without its suffix (`.SAFE`, `.SEN3`, `.EOF`); the `.08` of a Sentinel-2 name is none."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and _SUFFIX.fullmatch(dot + suffix) else name
