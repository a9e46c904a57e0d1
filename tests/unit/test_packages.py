"""Packages: the bytes of layout 1 for ever, any range of them, and everything that makes a ZIP large."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from refsys.core.errors import InvalidProduct, RefsysError
from refsys.core.products import FileEntry
from refsys.distribution.packages import FilePart, Package, lay_out, layout_for
from refsys.distribution.packages.zip_records import dos_date_time

NAME = "S1A_TEST.SAFE"
START = datetime(2021, 8, 9, 17, 39, 53, 500_000, tzinfo=UTC)
CONTENTS = {
    f"{NAME}/manifest.safe": b"<xfdu/>\n",
    f"{NAME}/measurement/grün.tiff": b"II*\0" + bytes(range(16)),
    f"{NAME}/support": None,
    f"{NAME}/void.txt": b"",
}
#: Layout 1 of these contents. Published checksums are of such bytes: whoever has to change this makes a layout 2.
GOLDEN = (
    "504b0304140000080000fa8c0953cd99381408000000080000001b0000005331415f544553542e534146452f6d616e69666573742e736166"
    "653c786664752f3e0a504b0304140000080000fa8c0953f8736c3c1400000014000000240000005331415f544553542e534146452f6d6561"
    "737572656d656e742f6772c3bc6e2e7469666649492a00000102030405060708090a0b0c0d0e0f504b0304140000080000fa8c0953000000"
    "000000000000000000160000005331415f544553542e534146452f737570706f72742f504b0304140000080000fa8c095300000000000000"
    "0000000000160000005331415f544553542e534146452f766f69642e747874504b01022d03140000080000fa8c0953cd9938140800000008"
    "0000001b0000000000000000000000a481000000005331415f544553542e534146452f6d616e69666573742e73616665504b01022d031400"
    "00080000fa8c0953f8736c3c1400000014000000240000000000000000000000a481410000005331415f544553542e534146452f6d656173"
    "7572656d656e742f6772c3bc6e2e74696666504b01022d03140000080000fa8c095300000000000000000000000016000000000000000000"
    "1000ed41970000005331415f544553542e534146452f737570706f72742f504b01022d03140000080000fa8c095300000000000000000000"
    "0000160000000000000000000000a481cb0000005331415f544553542e534146452f766f69642e747874504b050600000000040004002301"
    "0000ff0000000000"
)

#: Programs that test a ZIP, where they are installed.
READERS = ((sys.executable, "-m", "zipfile", "-t"), ("unzip", "-tqq"), ("7z", "t"), ("bsdtar", "-tf"))

Contents = Mapping[str, bytes | None]


def file_table(contents: Contents) -> list[FileEntry]:
    """None is an empty folder."""
    return [
        FileEntry(path, len(data or b""), crc32=isal_zlib.crc32(data or b""), is_folder=data is None)
        for path, data in contents.items()
    ]


def stored(contents: Contents, start: datetime | None = START) -> Package:
    return lay_out(1, NAME, start, file_table(contents))


def written(package: Package, contents: Contents, start: int = 0, stop: int | None = None) -> bytes:
    """The bytes of a range, as somebody who streams them would put them together."""
    pieces = []
    for part in package.parts(start, package.size_bytes if stop is None else stop):
        if isinstance(part, FilePart):
            data = contents[part.path]
            assert data is not None
            pieces.append(data[part.offset : part.offset + part.length])
            assert len(pieces[-1]) == part.length
        else:
            pieces.append(part)
        assert pieces[-1], "no part is empty"
    return b"".join(pieces)


def test_layout_1_never_changes() -> None:
    package = stored(CONTENTS)
    assert written(package, CONTENTS).hex() == GOLDEN
    assert package.size_bytes == len(GOLDEN) // 2


def test_a_zip_has_the_products_files_in_their_order_with_the_instant_of_sensing() -> None:
    with zipfile.ZipFile(io.BytesIO(written(stored(CONTENTS), CONTENTS))) as found:
        assert found.testzip() is None
        assert found.namelist() == [f"{path}/" if data is None else path for path, data in CONTENTS.items()]
        assert {found.read(path) for path, data in CONTENTS.items() if data} == {
            data for data in CONTENTS.values() if data
        }
        assert {info.date_time for info in found.infolist()} == {(2021, 8, 9, 17, 39, 52)}
        assert [info.external_attr >> 16 for info in found.infolist()] == [0o100644, 0o100644, 0o040755, 0o100644]
        assert {info.compress_type for info in found.infolist()} == {zipfile.ZIP_STORED}
        assert found.infolist()[2].is_dir()


@pytest.mark.parametrize("words", [words for words in READERS if shutil.which(words[0])], ids=lambda words: words[0])
def test_other_programs_find_it_sound(words: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    path.write_bytes(written(stored(CONTENTS), CONTENTS))
    done = subprocess.run([*words, path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("instant", "date_time"),
    [
        (None, (1980, 1, 1, 0, 0, 0)),
        (datetime(1979, 12, 31, 23, 59, 59, tzinfo=UTC), (1980, 1, 1, 0, 0, 0)),
        (datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), (2024, 2, 29, 23, 59, 58)),
        (datetime(2024, 1, 1, 1, 0, 0, tzinfo=timezone(timedelta(hours=2))), (2023, 12, 31, 23, 0, 0)),
        (datetime(2107, 12, 31, 23, 59, 59, tzinfo=UTC), (2107, 12, 31, 23, 59, 58)),
        (datetime(9999, 1, 1, tzinfo=UTC), (2107, 12, 31, 23, 59, 58)),
    ],
)
def test_instants_are_in_utc_and_within_what_a_zip_can_say(
    instant: datetime | None, date_time: tuple[int, ...]
) -> None:
    date, time = dos_date_time(instant)
    year, month, day = (date >> 9) + 1980, date >> 5 & 15, date & 31
    assert (year, month, day, time >> 11, time >> 5 & 63, (time & 31) * 2) == date_time


contents_strategy = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20).map(
        lambda s: f"{NAME}/{s}"
    ),
    st.none() | st.binary(max_size=300),
    max_size=8,
)


@given(contents_strategy, st.data())
def test_any_range_is_that_piece_of_the_whole(contents: Contents, data: st.DataObject) -> None:
    package = stored(contents)
    whole = written(package, contents)
    assert len(whole) == package.size_bytes
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(0, len(whole) + 10))
    assert written(package, contents, start, stop) == whole[start:stop]


@given(contents_strategy)
def test_whatever_the_files_are_the_zip_can_be_read(contents: Contents) -> None:
    with zipfile.ZipFile(io.BytesIO(written(stored(contents), contents))) as found:
        assert found.testzip() is None
        # zipfile itself changes names as little as a reader may
        assert [info.orig_filename for info in found.infolist()] == [
            f"{path}/" if data is None else path for path, data in contents.items()
        ]
        assert [info.file_size for info in found.infolist()] == [len(data or b"") for data in contents.values()]


def sparse(package: Package, path: Path) -> Path:
    """The package as a file with holes where its files' bytes would be: nothing of them is written."""
    position = 0
    with path.open("wb") as file:
        for part in package.parts(0, package.size_bytes):
            if isinstance(part, FilePart):
                position += part.length
            else:
                file.seek(position)
                position += file.write(part)
        assert position == package.size_bytes == file.tell()
    return path


@pytest.mark.parametrize("size", [2**32 - 2, 2**32 - 1, 2**32, 5 * 2**30 + 7])
def test_sizes_and_offsets_beyond_32_bits_are_in_zip64_fields(size: int, tmp_path: Path) -> None:
    big = FileEntry(f"{NAME}/a.bin", size, crc32=7)
    package = lay_out(1, NAME, START, [big, FileEntry(f"{NAME}/b.txt", 0), FileEntry(f"{NAME}/c", 0, is_folder=True)])
    with zipfile.ZipFile(sparse(package, tmp_path / "large.zip")) as found:
        infos = found.infolist()
        assert [info.filename for info in infos] == [f"{NAME}/a.bin", f"{NAME}/b.txt", f"{NAME}/c/"]
        assert [(info.file_size, info.compress_size) for info in infos] == [(size, size), (0, 0), (0, 0)]
        needs_64 = size >= 2**32 - 1
        assert infos[0].extract_version == (45 if needs_64 else 20)
        assert len(infos[0].extra) == (20 if needs_64 else 0)
        # behind the large file offsets do not fit either; sizes do
        assert [len(info.extra) for info in infos[1:]] == [12, 12]
        local = 30 + len(f"{NAME}/a.bin") + (20 if needs_64 else 0)
        assert infos[1].header_offset == local + size
        with found.open(infos[0]) as first:
            assert first.read(4) == bytes(4)
        assert found.read(infos[1]) == b""


def test_below_the_limit_there_is_no_zip64_at_all(tmp_path: Path) -> None:
    entry = FileEntry(f"{NAME}/a.bin", 2**32 - 1 - 30 - len(f"{NAME}/a.bin") - 1, crc32=7)
    below = lay_out(1, NAME, START, [entry])
    end = written(below, {}, below.size_bytes - 22 - 20)
    assert b"PK\6\7" not in end
    above = lay_out(1, NAME, START, [FileEntry(entry.path, entry.size_bytes + 1, crc32=7)])
    assert b"PK\6\7" in written(above, {}, above.size_bytes - 22 - 20)
    with zipfile.ZipFile(sparse(above, tmp_path / "above.zip")) as found:
        assert found.infolist()[0].file_size == entry.size_bytes + 1


@pytest.mark.parametrize(("count", "is_64"), [(65_534, False), (65_535, True)])
def test_more_entries_than_16_bits_can_count(count: int, is_64: bool) -> None:
    contents = {f"{NAME}/{number}": b"" for number in range(count)}
    whole = written(stored(contents), contents)
    assert (b"PK\6\6" in whole[-98:]) is is_64
    with zipfile.ZipFile(io.BytesIO(whole)) as found:
        assert len(found.infolist()) == count
        assert found.read(f"{NAME}/{count - 1}") == b""


def test_the_directory_of_many_entries_is_told_from_anywhere() -> None:
    contents = {f"{NAME}/{number}": b"x" for number in range(3000)}
    package = stored(contents)
    whole = written(package, contents)
    for start in range(0, len(whole), 9973):
        assert written(package, contents, start, start + 50) == whole[start : start + 50]


def test_a_bare_product_is_its_file() -> None:
    name = "S1A_OPER_AUX_RESORB_OPOD.EOF"
    package = lay_out(0, name, START, [FileEntry(name, 10)])
    assert (package.name, package.size_bytes) == (name, 10)
    assert list(package.parts(0, 10)) == [FilePart(name, 0, 10)]
    assert list(package.parts(3, 5)) == [FilePart(name, 3, 2)]
    assert list(package.parts(10, 10)) == []


@pytest.mark.parametrize("paths", [[], ["N/a", "N/b"]])
def test_a_bare_product_that_is_not_one_file_is_refused(paths: list[str]) -> None:
    with pytest.raises(InvalidProduct, match=f"N: its type is delivered as one file, and it has {len(paths)} entries"):
        lay_out(0, "N", START, [FileEntry(path, 1) for path in paths])


def test_types_say_how_their_products_are_packaged_today() -> None:
    assert (layout_for("bare"), layout_for("zip")) == (0, 1)
    assert stored(CONTENTS).name == f"{NAME}.zip"


def test_a_layout_of_a_newer_release_is_not_guessed() -> None:
    with pytest.raises(RefsysError, match="N: is packaged in layout 9, which this release does not know"):
        lay_out(9, "N", START, [])


def test_checksums_of_larger_packages_stay_the_same() -> None:
    """More than a hundred entries, sizes around powers of two, folders between them."""
    contents: dict[str, bytes | None] = {}
    for number in range(120):
        contents[f"{NAME}/{number:03d}"] = None if number % 10 == 0 else bytes([number]) * (2 ** (number % 12) - 1)
    digest = hashlib.sha256(written(stored(contents, None), contents)).hexdigest()
    assert digest == "1e16955d834198af92c9111141a1f16323bc4c71728d42e1b9fabb9376cc2422"
