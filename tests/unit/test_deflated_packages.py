"""Layout 2: the records of a ZIP that is written once, which files are deflated, and what is told of bad ones."""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from refsys.core.errors import Permanent, RefsysError
from refsys.core.products import FileEntry, check_name, made_beside
from refsys.distribution.packages import Deflating, FilePart, Written, lay_out, layout_for, sealing
from refsys.distribution.packages import deflated_zip as deflated
from refsys.distribution.packages.zip_records import DEFLATED, Member, Records, descriptor, end
from refsys.infra.storage import MissingObject

NAME = "S1A_TEST.SAFE"
START = datetime(2021, 8, 9, 17, 39, 53, 500_000, tzinfo=UTC)
CONTENTS = {
    f"{NAME}/manifest.safe": b"<xfdu/>" * 30,
    f"{NAME}/measurement/grün.tiff": b"II*\0" + bytes(range(16)),
    f"{NAME}/support": None,
    f"{NAME}/void.txt": b"",
}
#: Layout 2 of these contents where deflate made `squeezed!` of the manifest. Whoever has to change it makes a layout 3.
GOLDEN = (
    "504b0304140008080800fa8c09530000000000000000000000001b0000005331415f544553542e534146452f6d616e69666573742e736166"
    "6573717565657a656421504b07086e81b6d109000000d2000000504b0304140000080000fa8c0953f8736c3c140000001400000024000000"
    "5331415f544553542e534146452f6d6561737572656d656e742f6772c3bc6e2e7469666649492a00000102030405060708090a0b0c0d0e0f"
    "504b0304140000080000fa8c0953000000000000000000000000160000005331415f544553542e534146452f737570706f72742f504b0304"
    "140000080000fa8c0953000000000000000000000000160000005331415f544553542e534146452f766f69642e747874504b01022d031400"
    "08080800fa8c09536e81b6d109000000d20000001b0000000000000000000000a481000000005331415f544553542e534146452f6d616e69"
    "666573742e73616665504b01022d03140000080000fa8c0953f8736c3c1400000014000000240000000000000000000000a4815200000053"
    "31415f544553542e534146452f6d6561737572656d656e742f6772c3bc6e2e74696666504b01022d03140000080000fa8c09530000000000"
    "00000000000000160000000000000000001000ed41a80000005331415f544553542e534146452f737570706f72742f504b01022d03140000"
    "080000fa8c0953000000000000000000000000160000000000000000000000a481dc0000005331415f544553542e534146452f766f69642e"
    "747874504b0506000000000400040023010000100100000000"
)

READERS = ((sys.executable, "-m", "zipfile", "-t"), ("unzip", "-tqq"), ("7z", "t"), ("bsdtar", "-tf"))
Contents = Mapping[str, bytes | None]


class Memory:
    """As much of a storage as a package needs; counts what is read."""

    def __init__(self, contents: Contents) -> None:
        self.objects = {f"base/{path}": data for path, data in contents.items() if data is not None}
        self.opened: list[str] = []
        self.written: io.BytesIO | None = None

    def open(self, key: str) -> Any:
        self.opened.append(key.removeprefix("base/"))
        if key not in self.objects:
            raise MissingObject(key)
        return _Reader(self.objects[key])

    @contextlib.contextmanager
    def batch(self) -> Iterator[Any]:
        yield self

    @contextlib.contextmanager
    def create(self, key: str) -> Iterator[io.BytesIO]:
        file = io.BytesIO()
        yield file
        self.written = file


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size_bytes = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def close(self) -> None: ...


def table(contents: Contents) -> list[FileEntry]:
    return [
        FileEntry(path, len(data or b""), isal_zlib.crc32(data or b""), b"", blake3(data or b"").digest(), data is None)
        for path, data in contents.items()
    ]


def deflating(memory: Any, files: Sequence[FileEntry]) -> Deflating:
    return Deflating(memory, "base", NAME, START, files, target="attempts/t/x")


def written(contents: Contents) -> bytes:
    """The package, after seeing that its seal is right and that each file was read once."""
    memory = Memory(contents)
    sealer = deflating(memory, table(contents))
    while sealer.advance():
        pass
    seal = sealer.seal()
    sealer.stop()
    assert memory.written is not None
    data = memory.written.getvalue()
    assert (seal.package_name, seal.size_bytes) == (f"{NAME}.zip", len(data))
    assert (seal.md5, seal.blake3) == (hashlib.md5(data).digest(), blake3(data).digest())
    assert memory.opened == [path for path, content in contents.items() if content is not None]
    return data


class _Squeezer:
    def __init__(self, *_: object) -> None: ...

    def compress(self, data: bytes) -> bytes:
        return b"squeezed" if len(data) > 100 else data

    def flush(self, mode: int = 0) -> bytes:
        return b"!"


def test_the_records_of_layout_2_never_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deflated.isal_zlib, "compressobj", _Squeezer)
    assert written(CONTENTS).hex() == GOLDEN


def test_what_shrinks_is_deflated_and_all_else_is_stored() -> None:
    noise = random.Random(1).randbytes(5 * 2**20)
    contents = CONTENTS | {f"{NAME}/z-large": b"abcdefgh" * 2**20, f"{NAME}/z-noise": noise}
    with zipfile.ZipFile(io.BytesIO(written(contents))) as found:
        assert found.testzip() is None
        infos = {info.filename: info for info in found.infolist()}
        assert list(infos) == [f"{path}/" if data is None else path for path, data in contents.items()]
        methods = {name.rpartition("/")[2]: info.compress_type for name, info in infos.items() if not info.is_dir()}
        assert methods == {"manifest.safe": 8, "grün.tiff": 0, "void.txt": 0, "z-large": 8, "z-noise": 0}
        assert infos[f"{NAME}/z-large"].compress_size < 2**17
        for path, data in contents.items():
            if data is not None:
                assert found.read(path) == data
        assert {info.date_time for info in infos.values()} == {(2021, 8, 9, 17, 39, 52)}


def test_what_stops_shrinking_stays_deflated() -> None:
    contents = {f"{NAME}/half": b"a" * 2**22 + random.Random(2).randbytes(6 * 2**20)}
    with zipfile.ZipFile(io.BytesIO(written(contents))) as found:
        assert found.read(f"{NAME}/half") == contents[f"{NAME}/half"]


@pytest.mark.parametrize("words", [words for words in READERS if shutil.which(words[0])], ids=lambda words: words[0])
def test_other_programs_find_it_sound(words: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    path.write_bytes(written(CONTENTS | {f"{NAME}/z": b"abcdefgh" * 2**20}))
    done = subprocess.run([*words, path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20).map(
            lambda text: f"{NAME}/{text}"
        ),
        st.none() | st.binary(max_size=300) | st.binary(min_size=1, max_size=4).map(lambda data: data * 200),
        max_size=8,
    )
)
@settings(max_examples=50)
def test_whatever_the_files_are_the_zip_can_be_read(contents: Contents) -> None:
    with zipfile.ZipFile(io.BytesIO(written(contents))) as found:
        assert found.testzip() is None
        assert [info.orig_filename for info in found.infolist()] == [
            f"{path}/" if data is None else path for path, data in contents.items()
        ]
        assert [found.read(info) for info in found.infolist()] == [data or b"" for data in contents.values()]


def test_large_files_have_zip64_fields_in_header_descriptor_and_directory(tmp_path: Path) -> None:
    """Records around bytes that are not there: 5 GiB that became 3."""
    entry, tail = FileEntry(f"{NAME}/a", 5 * 2**30, crc32=7), FileEntry(f"{NAME}/b", 0)
    records, member = Records(START), Member(DEFLATED, 3 * 2**30, is_64=True)
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.write(records.local(entry, member))
        file.seek(member.packed_bytes, io.SEEK_CUR)
        file.write(descriptor(entry, member))
        at = file.tell()
        nothing = Member(0, 0, is_64=False)
        file.write(records.local(tail, nothing))
        directory = file.tell()
        file.write(records.central(entry, member, 0) + records.central(tail, nothing, at))
        file.write(end(2, directory, file.tell()))
    with zipfile.ZipFile(path) as found:
        first, second = found.infolist()
        assert (first.file_size, first.compress_size, first.CRC) == (5 * 2**30, 3 * 2**30, 7)
        assert (first.flag_bits, first.extract_version, second.header_offset) == (0x808, 45, at)
        assert found.read(second) == b""
    assert len(descriptor(entry, member)) == 24


@pytest.mark.parametrize(
    ("altered", "told"), [(b"<xfdX/>" * 30, "has the BLAKE3"), (b"<xfdu/>", "has 7 bytes, and the file table says 210")]
)
def test_a_file_that_is_not_that_of_the_table_is_named_and_nothing_is_written(altered: bytes, told: str) -> None:
    memory = Memory(CONTENTS | {f"{NAME}/manifest.safe": altered})
    sealer = deflating(memory, table(CONTENTS))
    with pytest.raises(Permanent, match=f"its file {NAME}/manifest.safe in storage {told}"):
        sealer.advance()
    assert memory.written is None
    sealer.stop()


def test_whoever_stops_it_takes_back_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "PAUSE_AFTER", 1)
    closed = []

    class Watched(Memory):
        @contextlib.contextmanager
        def create(self, key: str) -> Iterator[io.BytesIO]:
            try:
                yield io.BytesIO()
            except BaseException as error:
                closed.append(type(error))
                raise

    contents = {f"{NAME}/large": random.Random(3).randbytes(9 * 2**20)}
    sealer = deflating(Watched(contents), table(contents))
    assert sealer.advance()
    sealer.stop()
    sealer._close()  # as the thread does that `stop` starts
    assert closed == [GeneratorExit]


def test_a_written_package_is_described_by_what_is_final_of_it() -> None:
    package = lay_out(2, NAME, None, (), Written(1000, bytes(16)))
    path = f"_made/{NAME}/{'00' * 16}/{NAME}.zip"
    assert (package.name, package.size_bytes, package.entries) == (f"{NAME}.zip", 1000, 1)
    assert list(package.parts(0, 1000)) == [FilePart(path, 0, 1000)]
    assert list(package.parts(990, 2000)) == [FilePart(path, 990, 10)]
    assert list(package.parts(5, 5)) == []


def test_no_product_can_lie_where_packages_do() -> None:
    with pytest.raises(RefsysError):
        check_name(made_beside(NAME).partition("/")[0])


def test_nothing_is_written_where_products_of_others_lie() -> None:
    assert layout_for("deflated") == 2
    assert [layout_for(packaging, in_place=True) for packaging in ("bare", "zip", "deflated")] == [0, 1, 1]
