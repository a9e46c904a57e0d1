"""Products as no station should deliver them: each bad in one way, with what is to be said of it."""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from refsys.core.products import canonical_name
from refsys.simulation.samples import make_many
from refsys.simulation.station import Station
from tests.archive_makers import ZipMember, in_folder, raw_zip, tar_info, tar_of, zip_of

_DESCRIBE: Final = "catalogue.describe"
_ONE: Final = "1 of the 8 files that the manifest names"
_BOMB_BYTES: Final = 32 * 2**20
_LAUGHS: Final = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'
_OUTSIDE: Final = b'<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/passwd">]>'


@dataclass(frozen=True, slots=True)
class Bad:
    """A product that is to be parked. `spoil` makes, of a sound product's folder, what the station offers.

    `offered` is its name there, with {} for the product's. Empty `stage`: that which fetches. `error`, `told` and
    `subject` are the error's type, a piece of its message and one of its subject.
    """

    about: str
    spoil: Callable[[Path], Path]
    error: str
    told: str
    subject: str = ""
    stage: str = ""
    offered: str = "{}.zip"


def _archive(product: Path, data: bytes, suffix: str = "zip") -> Path:
    path = product.with_name(f"{product.name}.{suffix}")
    path.write_bytes(data)
    return path


def _zipped(product: Path) -> bytes:
    return zip_of(in_folder(_files(product), product.name))


def _files(product: Path) -> dict[str, bytes]:
    return {
        path.relative_to(product).as_posix(): path.read_bytes() for path in sorted(product.rglob("*")) if path.is_file()
    }


def _truncated(product: Path) -> Path:
    data = _zipped(product)
    return _archive(product, data[: len(data) * 2 // 3])


def _bomb(product: Path) -> Path:
    files = _files(product) | {"measurement/zeros.tiff": bytes(_BOMB_BYTES)}
    return _archive(product, zip_of(in_folder(files, product.name)))


def _climbing(product: Path) -> Path:
    members = [ZipMember(f"{product.name}/{path}".encode(), data) for path, data in _files(product).items()]
    return _archive(product, raw_zip(*members, ZipMember(b"../../x")))


def _linking(product: Path) -> Path:
    members = [(tar_info(f"{product.name}/{path}", data), data) for path, data in _files(product).items()]
    link = tar_info(f"{product.name}/preview/more", b"", tarfile.SYMTYPE, linkname="/etc/passwd")
    return _archive(product, tar_of([*members, (link, b"")]), "tar")


def _as_it_is(product: Path) -> Path:
    return product


def _without_manifest(product: Path) -> Path:
    (product / "manifest.safe").unlink()
    return product


def _manifest(pattern: bytes, replacement: bytes) -> Callable[[Path], Path]:
    """Spoils a manifest: the first match of the regular expression becomes something else."""

    def spoil(product: Path) -> Path:
        file = product / "manifest.safe"
        data, count = re.subn(pattern, lambda _: replacement, file.read_bytes(), count=1)
        assert count == 1, f"{pattern!r} is not in the manifest"
        file.write_bytes(data)
        return product

    return spoil


def _one_of(product: Path) -> Path:
    """A file that the manifest names."""
    return min((product / "measurement").iterdir())


def _without_a_file(product: Path) -> Path:
    """The file that the manifest names is not there."""
    _one_of(product).unlink()
    return product


def _with_another_size(product: Path) -> Path:
    """A file has one byte more than the manifest says."""
    _one_of(product).write_bytes(_one_of(product).read_bytes() + b"\0")
    return product


def _with_another_md5(product: Path) -> Path:
    """A file has other bytes than the manifest says, and as many."""
    data = _one_of(product).read_bytes()
    _one_of(product).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    return product


#: What is refused while it is fetched: nothing of it may stay in storage.
REFUSED: Final = (
    Bad("truncated zip", _truncated, "InvalidProduct", "is cut short"),
    Bad("zip bomb", _bomb, "HostileInput", "more than 200 times as many"),
    Bad("member ../../x", _climbing, "HostileInput", "would leave its folder", subject="../../x"),
    Bad(
        "symlink in a tar",
        _linking,
        "HostileInput",
        "is a symbolic link",
        subject="preview/more",
        offered="{}.tar",
    ),
    Bad("unknown name", _as_it_is, "UnknownProduct", "no product type has such a name", offered="S9Z_{}.zip"),
)
#: What is refused when its metadata are read.
USELESS: Final = (
    Bad("missing manifest", _without_manifest, "InvalidProduct", "has no manifest.safe", stage=_DESCRIBE),
    Bad(
        "external entity",
        _manifest(rb"(?<=\?>)", _OUTSIDE),
        "HostileInput",
        "an external entity that reads 'file:///etc/passwd'",
        subject="manifest.safe",
        stage=_DESCRIBE,
    ),
    Bad(
        "million laughs",
        _manifest(rb"(?<=\?>)", _LAUGHS),
        "HostileInput",
        "declares 3 entities, which can grow without bound",
        subject="manifest.safe",
        stage=_DESCRIBE,
    ),
    Bad(
        "footprint of three points",
        _manifest(rb"(?<=<gml:coordinates>)[^<]*", b"1.0,2.0 1.0,3.0 2.0,3.0"),
        "InvalidProduct",
        "has 3 points",
        stage=_DESCRIBE,
    ),
    Bad(
        "manifest naming a file outside",
        _manifest(rb'(?<=href=")\./measurement[^"]*', b"../../../etc/passwd"),
        "HostileInput",
        "names '../../../etc/passwd', which does not lie inside the product",
        stage=_DESCRIBE,
    ),
)
#: What is refused by an inbox that is `strict`, and noted by one that is to `record`.
INCOMPLETE: Final = (
    Bad("missing file", _without_a_file, "InvalidProduct", f"{_ONE} are missing: measurement/", stage=_DESCRIBE),
    Bad("other size", _with_another_size, "InvalidProduct", f"{_ONE} have another size: measurement/", stage=_DESCRIBE),
    Bad("other MD5", _with_another_md5, "InvalidProduct", f"{_ONE} have another MD5: measurement/", stage=_DESCRIBE),
)


def bad(about: str) -> Bad:
    """One of them."""
    (found,) = (each for each in (*REFUSED, *USELESS, *INCOMPLETE) if each.about == about)
    return found


@dataclass(frozen=True, slots=True)
class Case:
    """A bad product on offer. `name` is the product's, `product` the sound one of which it was made."""

    bad: Bad
    name: str
    path: Path
    offered: str
    product: Path

    def offer(self, station: Station) -> None:
        station.offer(self.path, name=self.offered)


def spoiled(bad: Bad, product: Path, folder: Path) -> Case:
    """Spoil a copy of the product below `folder`."""
    copy = Path(shutil.copytree(product, folder / product.name))
    offered = bad.offered.format(product.name)
    return Case(bad, canonical_name(offered), bad.spoil(copy), offered, product)


def make_cases(folder: Path, bads: tuple[Bad, ...], products: list[Path]) -> list[Case]:
    """One product spoiled in each way."""
    return [spoiled(bad, product, folder) for bad, product in zip(bads, products, strict=True)]


def make_products(folder: Path, count: int) -> list[Path]:
    """Sound products, as small as they can be."""
    return make_many(folder, count, size_bytes=40_000)
