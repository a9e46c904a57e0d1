"""The assets of an item: the package that users download, and a product's main files.

Each is text with places for the addresses (`BASE`, `STORE`), which are known only when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import orjson

from refsys.catalogue.model import Product
from refsys.core.products import FileEntry
from refsys.distribution.assets import Asset
from refsys.distribution.packages import is_written, written_path

#: Where the service's address goes, and that of the product's place in a bucket. JSON has no raw control characters.
BASE: Final = "\x02"
STORE: Final = "\x03"

_XML: Final = "application/xml"
_ZIP: Final = "application/zip"
_OTHER: Final = "application/octet-stream"
_TYPES: Final = {".xml": _XML, ".EOF": _XML, ".zip": _ZIP, ".png": "image/png", ".jpg": "image/jpeg"}

#: An asset's second address, in a bucket.
_ALTERNATE: Final = f',"alternate:name":"HTTPS","alternate":{{"s3":{{"href":"{STORE}%s","alternate:name":"S3"}}}}'
ALTERNATE: Final = re.compile(re.escape(_ALTERNATE).replace("%s", '[^"]*'))
# the file extension allows no others
_LOCAL_PATH: Final = re.compile(r"(?!-)[^/]+(?<!-)(/(?!-)[^/]+(?<!-))*")


@dataclass(frozen=True, slots=True)
class MainFile:
    """A file that gets an asset of its own: the asset's key, where it lies within a product, what it is for."""

    key: str
    pattern: str
    roles: tuple[str, ...]


#: Keys as the Copernicus Data Space has them. All other files are reached through OData Nodes or in the package.
MAIN_FILES: Final = (
    MainFile("safe_manifest", r"manifest\.safe", ("metadata",)),
    MainFile("xfdumanifest", r"xfdumanifest\.xml", ("metadata",)),
    MainFile("product_metadata", r"MTD_MSIL[12][A-C]\.xml", ("metadata",)),
    MainFile("granule_metadata", r"GRANULE/[^/]+/MTD_TL\.xml", ("metadata",)),
    MainFile("datastrip_metadata", r"DATASTRIP/[^/]+/MTD_DS\.xml", ("metadata",)),
    MainFile("inspire_metadata", r"INSPIRE\.xml", ("metadata",)),
    MainFile("inventory_metadata", r"Inventory_Metadata\.xml", ("metadata",)),
    MainFile("thumbnail", r"preview/thumbnail\.png|[^/]+-ql\.jpg|quicklook\.jpg", ("thumbnail",)),
    MainFile("quicklook", r"preview/quick-look\.png", ("overview",)),
)
#: What the paths of main files look like, the product's name before them: a regular expression, in SQL too.
MAIN_PATHS: Final = f"^[^/]+/({'|'.join(main.pattern for main in MAIN_FILES)})$"
#: Keys of all assets that items can have.
PRODUCT: Final = "Product"
KEYS: Final = (PRODUCT, *(main.key for main in MAIN_FILES))


def render_assets(product: Product, files: Sequence[FileEntry], pictures: Sequence[Asset]) -> str:
    """The member `assets`; `files` are (at least) the product's main files. Of several for one key the first counts.

    Of its `pictures` one that was made is the thumbnail; the others are files.
    """
    assets = {PRODUCT: _package(product)}
    for main in MAIN_FILES:
        pattern = re.compile(f"[^/]+/(?:{main.pattern})")
        entry = next((entry for entry in files if not entry.is_folder and pattern.fullmatch(entry.path)), None)
        if entry is not None:
            assets[main.key] = _file(product, main, entry)
    made = next((picture for picture in pictures if picture.is_made), None)
    if made is not None:
        assets["thumbnail"] = _made(made)
    return f'"assets":{{{",".join(f"{_json(key)}:{asset}" for key, asset in assets.items())}}}'


def checksum(md5: bytes | None, blake3: bytes | None) -> str | None:
    """The better of two digests as a multihash in hexadecimal digits: code, length, digest (file extension)."""
    if blake3 is not None and len(blake3) == 32:
        return f"1e20{blake3.hex()}"
    return f"d50110{md5.hex()}" if md5 is not None and len(md5) == 16 else None


def _package(product: Product) -> str:
    name = product.package_name or product.name
    members = {
        "title": name,
        "type": _media_type(name),
        "roles": ["data", "metadata", "archive"] if product.packaging != "bare" else ["data"],
        "file:size": product.package_size,
        "file:checksum": checksum(product.package_md5, product.package_blake3),
        "file:local_path": _local_path(name),
    }
    where = None
    if product.packaging == "bare" and not product.is_metadata_only:
        where = product.name
    elif product.package_layout is not None and is_written(product.package_layout) and product.package_md5:
        where = written_path(product.name, product.package_md5)
    return _asset(f"/odata/v1/Products({product.id})/$value", members, where)


def _file(product: Product, main: MainFile, entry: FileEntry) -> str:
    members = {
        "title": entry.path.rpartition("/")[2],
        "type": _media_type(entry.path),
        "roles": main.roles,
        "file:size": entry.size_bytes,
        "file:checksum": checksum(entry.md5, entry.blake3),
        "file:local_path": _local_path(entry.path),
    }
    nodes = "".join(f"/Nodes({quote(segment, safe='')})" for segment in entry.path.split("/"))
    return _asset(f"/odata/v1/Products({product.id}){nodes}/$value", members, entry.path)


def _made(picture: Asset) -> str:
    name = picture.path.rpartition("/")[2]
    members = {
        "title": name,
        "type": picture.media_type,
        "roles": ["thumbnail"],
        "file:size": picture.size,
        "file:checksum": checksum(picture.md5, picture.blake3),
        "file:local_path": _local_path(name),
    }
    return _asset(f"/odata/v1/Assets({picture.id})/$value", members, picture.path)


def _asset(href: str, members: dict[str, Any], path: str | None) -> str:
    """`path` is where its bytes lie below the product's place, None where they are made when they are read."""
    told = ",".join(_told(members))
    alternate = "" if path is None else _ALTERNATE % quote(path)
    return f'{{"href":"{BASE}{href}",{told}{alternate}}}'


def _told(members: dict[str, Any]) -> Iterator[str]:
    return (f"{_json(name)}:{_json(value)}" for name, value in members.items() if value is not None)


def _media_type(name: str) -> str:
    return _TYPES.get(name[name.rfind(".") :], _XML if name.endswith("manifest.safe") else _OTHER)


def _local_path(path: str) -> str | None:
    return path if _LOCAL_PATH.fullmatch(path) else None


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
