"""Archives that are unpacked while they come: the same product as from a seekable copy, or a copy is asked for."""

import shutil
import struct
import subprocess
import sys
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.core.errors import HostileInput, InvalidProduct, RefsysError
from refsys.ingestion.archives import Limits, NotStreamable, unpack_stream
from tests.archive_makers import (
    BASE,
    LIMITS,
    NAME,
    MemoryBatch,
    Trickle,
    ZipMember,
    bring,
    deflated,
    gzipped,
    in_folder,
    raw_zip,
    tar_of,
    unpacked,
    zip_of,
)

MANIFEST = ZipMember(f"{NAME}/manifest.safe".encode(), b"<xfdu/>")
PACKERS = {
    "zip, stored": lambda members: zip_of(members, method=zipfile.ZIP_STORED),
    "zip": zip_of,
    "zip, data descriptors": lambda members: zip_of(members, streamed=True),
    "zip, ZIP64": lambda members: zip_of(members, zip64=True),
    "zip, ZIP64 in data descriptors": lambda members: zip_of(members, streamed=True, zip64=True),
    "tar": tar_of,
    "tgz": lambda members: gzipped(tar_of(members)),
}
WRITERS = (
    (sys.executable, "-m", "zipfile", "-c", "/dev/stdout", NAME),
    ("zip", "-qr", "-", NAME),
    ("zip", "-qr0", "-", NAME),
    ("zip", "-qrfd", "-", NAME),
    ("bsdtar", "--format", "zip", "-cf", "-", NAME),
    ("tar", "-cf", "-", NAME),
    ("tar", "-czf", "-", NAME),
)
segments = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"], exclude_characters="/\\:"), min_size=1)
trees = st.dictionaries(
    st.lists(segments.filter(lambda text: text.strip(".")), min_size=1, max_size=3).map("/".join),
    st.binary(max_size=3000) | st.integers(1, 9).map(lambda count: bytes(70_000 * count)),
    min_size=1,
    max_size=6,
).filter(lambda tree: not any(one != two and two.startswith(f"{one}/") for one in tree for two in tree))


def refused_while_it_comes(kind, archive, match, *, limits=LIMITS, size_bytes=None):
    batch = MemoryBatch()
    with pytest.raises(kind, match=match) as caught, batch:
        unpack_stream(
            Trickle(archive).read,
            archive="a", product=NAME, base=BASE, batch=batch, limits=limits, size_bytes=size_bytes,
        )  # fmt: skip
    assert type(caught.value) is kind
    assert batch.objects == {}


@pytest.mark.parametrize("packer", PACKERS)
@given(tree=trees, sizes=st.lists(st.integers(1, 100_000), min_size=1, max_size=5), folder=st.booleans())
@settings(max_examples=15, deadline=None)
def test_any_tree_in_any_container_and_any_pieces_gives_what_the_seekable_way_gives(packer, tree, sizes, folder):
    members = ({f"{NAME}/": b""} if folder else {}) | in_folder(tree)
    archive = PACKERS[packer](members)
    seekable, batch = MemoryBatch(), MemoryBatch()
    source = Trickle(archive, sizes)
    limits = Limits(2**26, 50, 2000)
    table = unpack_stream(source.read, archive="a", product=NAME, base=BASE, batch=batch, limits=limits)
    assert source.left == 0
    assert table == bring(archive, seekable, limits=limits)
    assert batch.objects == seekable.objects == {f"{BASE}/{path}": data for path, data in in_folder(tree).items()}


@pytest.mark.parametrize("packer", PACKERS)
@given(st.data())
@settings(max_examples=60, deadline=1000)
def test_what_is_cut_anywhere_or_damaged_is_never_taken_in_part(packer, data):
    """A tar has no checksum over its data: there a changed byte may pass, a missing one not."""
    archive = bytearray(PACKERS[packer](in_folder()))
    cut = data.draw(st.integers(0, len(archive) - (2049 if packer == "tar" else 1)))
    if packer != "tar" and data.draw(st.booleans()):
        archive[cut] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del archive[cut:]
    for size_bytes in (None, len(archive)):
        batch = MemoryBatch()
        try:
            with batch:
                unpack_stream(
                    Trickle(bytes(archive), [data.draw(st.integers(1, 5000))]).read,
                    archive="a", product=NAME, base=BASE, batch=batch, limits=LIMITS, size_bytes=size_bytes,
                )  # fmt: skip
        except (RefsysError, NotStreamable):
            assert batch.objects == {}
        else:
            assert batch.objects == {f"{BASE}/{path}": content for path, content in in_folder().items()}
            assert cut < len(archive)  # a flag or a time that nobody reads


def test_a_connection_that_is_cut_is_not_an_end():
    archive = zip_of(in_folder())

    class Cut(Trickle):
        def read(self, length):
            if self.left < len(archive) // 2:
                raise ConnectionResetError
            return super().read(length)

    batch = MemoryBatch()
    with pytest.raises(ConnectionResetError), batch:
        unpack_stream(Cut(archive, [100]).read, archive="a", product=NAME, base=BASE, batch=batch, limits=LIMITS)
    assert batch.objects == {}


@pytest.mark.parametrize("words", [words for words in WRITERS if shutil.which(words[0])], ids=" ".join)
def test_what_other_programs_write_into_a_pipe_is_unpacked(words, tmp_path):
    """Into a pipe some write stored members with data descriptors, which cannot be read without the directory."""
    for path, data in in_folder().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data * 50)
    archive = subprocess.run(words, cwd=tmp_path, stdout=subprocess.PIPE, check=True, timeout=30).stdout
    assert unpacked(archive)[1] == {path: data * 50 for path, data in in_folder().items()}


@pytest.mark.parametrize("layout", ["<3L", "<LQQ"])
@pytest.mark.parametrize("mark", [b"PK\x07\x08", b""])
@pytest.mark.parametrize("data", [b"", b"described " * 10])
def test_where_a_data_descriptor_ends_shows_by_what_follows(mark, layout, data):
    """An empty member's descriptor of 4-byte sizes is the beginning of one of 8-byte sizes."""
    packed = deflated(data)
    member = ZipMember(f"{NAME}/a".encode(), data, method=8, flags=0x808, local={"crc": 0, "packed": 0, "size": 0})
    member.descriptor = mark + struct.pack(layout, zlib.crc32(data), len(packed), len(data))
    assert unpacked(raw_zip(member, MANIFEST), fall_back=False)[1][f"{NAME}/a"] == data


def test_a_folder_that_was_deflated_is_a_folder():
    """As Java writes it."""
    folder = ZipMember(f"{NAME}/empty/".encode(), b"", method=8, flags=0x808, local={"crc": 0, "packed": 0})
    folder.descriptor = b"PK\x07\x08" + struct.pack("<3L", 0, 2, 0)
    table = unpacked(raw_zip(folder, MANIFEST), fall_back=False)[0]
    assert [entry.path for entry in table if entry.is_folder] == [f"{NAME}/empty"]


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([ZipMember(MANIFEST.name, flags=0x808, local={"packed": 0, "size": 0})], "does not tell where it ends"),
        ([ZipMember(MANIFEST.name, flags=0x801)], "encrypted"),
        ([MANIFEST, ZipMember(f"{NAME}/a".encode(), central={"offset": 5})], "its directory lists something else"),
    ],
)
def test_a_zip_that_its_local_headers_do_not_tell_is_asked_for_as_a_copy(members, why):
    if "directory" in why:
        archive = raw_zip(*members)
        at = archive.rindex(b"PK\1\2")
        size, offset = struct.unpack("<2L", archive[-10:-2])
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size - (len(archive) - 22 - at), offset, 0)
        archive = archive[:at] + end
    else:
        archive = raw_zip(*members)
    refused_while_it_comes(NotStreamable, archive, why)


def test_bytes_between_members_are_left_to_the_directory():
    """They are there where a member was deleted in place."""
    sound = raw_zip(MANIFEST, ZipMember(f"{NAME}/a".encode()))
    second = sound.index(b"PK\3\4", 4)
    gap = raw_zip(ZipMember(MANIFEST.name, MANIFEST.data, descriptor=b"deleted"), ZipMember(f"{NAME}/a".encode()))
    assert len(gap) == len(sound) + len(b"deleted")
    assert gap[second : second + 7] == b"deleted"
    refused_while_it_comes(NotStreamable, gap, "other bytes stand between")
    assert unpacked(gap)[1] == unpacked(sound)[1]


@pytest.mark.parametrize("data", [b"", b"described " * 10])
@pytest.mark.parametrize("lie", [{"crc": 1}, {"size": 1}, {"packed": 3}, {"method": 0, "size": 2, "packed": 2}])
def test_a_directory_that_says_something_else_than_what_came_decides(data, lie):
    """Also where nothing came: 0 is no "not known" there."""
    packed = deflated(data)
    member = ZipMember(f"{NAME}/a".encode(), data, method=8, flags=0x808, local={"crc": 0, "packed": 0, "size": 0})
    member.descriptor = b"PK\x07\x08" + struct.pack("<3L", zlib.crc32(data), len(packed), len(data))
    member.central = lie
    archive = raw_zip(member, MANIFEST)
    refused_while_it_comes(NotStreamable, archive, "lists something else than what came")
    with pytest.raises(InvalidProduct):
        bring(archive, MemoryBatch())


def test_a_link_shows_in_the_directory_only_and_is_refused_then():
    link = ZipMember(f"{NAME}/link".encode(), b"/etc/passwd", mode=0o120777)
    refused_while_it_comes(HostileInput, raw_zip(MANIFEST, link), "only files and folders")


@pytest.mark.parametrize("pack", [zip_of, tar_of])
@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"a/x": b"1", "readme.txt": b"2", NAME: b"3"}, "first member does not tell"),
        ({NAME.removesuffix(".SAFE") + "/x": b"1", "readme.txt": b"2"}, "first member does not tell"),
    ],
)
def test_a_layout_that_the_first_member_does_not_tell_needs_a_copy(pack, members, why):
    refused_while_it_comes(NotStreamable, pack(members), why)


@pytest.mark.parametrize("pack", [tar_of, zip_of])
@pytest.mark.parametrize(
    "files", [{"manifest.safe": b"m", "a/b": b"1"}, {"a/b": b"1", "c": b"2", "manifest.safe": b""}]
)
def test_a_flat_archive_streams_into_the_products_folder(pack, files):
    assert unpacked(pack(files), fall_back=False)[1] == in_folder(files)


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_another_product_is_refused_when_it_has_come_whole(pack):
    other = in_folder(folder=NAME.replace("S1A", "S1B"))
    with pytest.raises(InvalidProduct, match="another product than announced"):
        unpacked(pack(other), fall_back=False)


def test_a_bomb_is_stopped_by_the_length_of_what_came():
    """Where the length is not known, a copy has to tell whether the rest makes up for the beginning."""
    bomb = gzipped(tar_of(in_folder({"a": bytes(2**22)})))
    refused_while_it_comes(NotStreamable, bomb, "unpacks beyond the ratio, and its length is not known")
    refused_while_it_comes(HostileInput, bomb, "more than 200 times", size_bytes=len(bomb))
    refused_while_it_comes(HostileInput, bomb, "more than 200 times", size_bytes=len(bomb) * 1000)
    zipped = zip_of(in_folder({"a": bytes(2**22)}), streamed=True)
    refused_while_it_comes(NotStreamable, zipped, "length is not known")
    refused_while_it_comes(NotStreamable, zipped, "more than 200 times", size_bytes=len(zipped))
    refused_while_it_comes(HostileInput, zipped, "more than 200 times", size_bytes=len(zipped) * 1000)


def test_members_without_end_are_refused_while_they_come():
    def endless():
        number = 0
        while True:
            yield raw_zip(ZipMember(f"{NAME}/{number}".encode()))[: 30 + len(f"{NAME}/{number}") + 4]
            number += 1

    pieces = endless()
    rest = bytearray()

    def read(length):
        while len(rest) < length:
            rest.extend(next(pieces))
        data = bytes(rest[:length])
        del rest[:length]
        return data

    with pytest.raises(NotStreamable, match="more than 50 files"):
        unpack_stream(read, archive="a", product=NAME, base=BASE, batch=MemoryBatch(), limits=LIMITS)


def test_a_directory_without_end_is_not_kept():
    archive = raw_zip(MANIFEST)
    start = archive.index(b"PK\1\2")
    asked = 0

    def read(length):
        nonlocal asked
        asked += length
        return archive[:start] if asked == length else b"PK\1\2" + bytes(length - 4)

    with pytest.raises(NotStreamable, match="more than a directory"):
        unpack_stream(read, archive="a", product=NAME, base=BASE, batch=MemoryBatch(), limits=LIMITS)
    assert asked < 2**22


def test_an_empty_answer_and_a_web_page_are_told_as_such():
    refused_while_it_comes(InvalidProduct, b"", "is empty")
    refused_while_it_comes(InvalidProduct, b"<html>Sign in", "web page")
