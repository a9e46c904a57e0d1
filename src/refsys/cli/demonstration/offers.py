"""What a folder has to offer to users: every product in it, at any depth, those of unknown type too."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from refsys.core.errors import ConfigurationError, Permanent
from refsys.core.products import ARCHIVE_SUFFIXES, canonical_name

if TYPE_CHECKING:
    from refsys.missions import TypeRegistry

#: A name that ESA could have given: satellite (`S1A`, `S1_` for all of a mission), then the type.
_LOOKS_LIKE_A_PRODUCT: Final = re.compile(r"S[123][A-Z_]_\w{3}.*", re.ASCII)
#: Folders that are products whatever their names.
_PRODUCT_FOLDERS: Final = (".SAFE", ".SEN3", ".ISIP")
#: Files that can be products of one file.
_PRODUCT_FILES: Final = (".EOF", ".xml", ".jp2", ".TGZ", ".DBL", *ARCHIVE_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Offer:
    """A product on disk. `unknown` says why no type's table has its name; empty where one has."""

    name: str
    path: Path
    unknown: str = ""

    @property
    def is_known(self) -> bool:
        return not self.unknown


def find_offers(folder: Path, types: TypeRegistry) -> list[Offer]:
    """Every product below `folder`, sorted by name; where two have the same name, the first found.

    Raises ConfigurationError where there is none.
    """
    if not folder.is_dir():
        raise ConfigurationError("is not a folder", subject=str(folder), advice="name the folder that holds products")
    found: dict[str, Offer] = {}
    for path in _products(folder, types):
        offer = make_offer(path, types)
        found.setdefault(offer.name, offer)
    if not found:
        raise ConfigurationError(
            "holds no product",
            subject=str(folder),
            advice="products are folders ending in .SAFE, .SEN3 … or files such as S1A_OPER_AUX_….EOF, at any depth",
        )
    return sorted(found.values(), key=lambda offer: offer.name)


def make_offer(path: Path, types: TypeRegistry) -> Offer:
    name = canonical_name(path.name)
    try:
        types.recognise(name)
    except Permanent as error:
        return Offer(name, path, error.message)
    return Offer(name, path)


def _products(folder: Path, types: TypeRegistry) -> Iterator[Path]:
    """Products are not looked into; what begins with a dot, is a link or internal (session files) is passed by."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            path = Path(entry.path)
            if _is_product(path, types):
                yield path
            elif entry.is_dir():
                yield from _products(path, types)


def _is_product(path: Path, types: TypeRegistry) -> bool:
    name = canonical_name(path.name)
    if found := next(types.matching(name), None):
        return found.type.visibility != "internal"
    if path.is_dir():
        return name.endswith(_PRODUCT_FOLDERS) or _LOOKS_LIKE_A_PRODUCT.fullmatch(name) is not None
    return path.name.endswith(_PRODUCT_FILES) and _LOOKS_LIKE_A_PRODUCT.fullmatch(name) is not None
