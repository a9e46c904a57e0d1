"""ZIPs that lie, reach out or exhaust: refused with the archive and the member in the error, and nothing stays."""

import os
import stat
import struct
import zipfile
import zlib
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.core.errors import HostileInput, InvalidProduct
from refsys.ingestion.archives import Limits
from tests.archive_makers import (
    NAME,
    ZipMember,
    deflated,
    in_folder,
    outcome,
    raw_zip,
    refused_each_way,
    unpacked,
    zip_of,
)

ARCHIVE = f"{NAME}.zip"
refused = partial(refused_each_way, name=ARCHIVE)
MANIFEST = ZipMember(f"{NAME}/manifest.safe".encode(), b"<xfdu/>")


def inside(name):
    return f"{NAME}/{name}".encode()


def test_the_maker_of_unsound_archives_makes_sound_ones_too():
    member = ZipMember(inside("x"), b"deflated " * 9, method=8)
    assert unpacked(raw_zip(MANIFEST, member))[1] == {
        f"{NAME}/manifest.safe": b"<xfdu/>",
        f"{NAME}/x": b"deflated " * 9,
    }


@pytest.mark.parametrize("streamed", [False, True])
def test_a_zip_cut_anywhere_is_refused(streamed):
    archive = zip_of(in_folder(), streamed=streamed)
    for length in range(len(archive)):
        refused(InvalidProduct, archive[:length], "cut short|is empty|neither ZIP nor tar|lacks some|end record")


@pytest.mark.parametrize(
    "name",
    [
        b"../x", b"../../etc/passwd", inside("../../x"), inside("a/.."), b"..",
        b"/etc/passwd", b"//x", b"C:/x", b"c:x", b"C:\\x", b"\\\\host\\x", inside("a\\b"), inside("..\\..\\x"),
        inside("a\0b"), inside("a\nb"), inside("a\x1b[2Jb"), inside("a\x7f"), inside("a\u202eb"), inside("a\u2028b"),
        inside("a" * 256), inside("é" * 128), inside("/".join(["folder"] * 110)),
    ],
)  # fmt: skip
def test_a_name_that_leaves_its_folder_or_cannot_be_shown_is_refused(name):
    refused(HostileInput, raw_zip(MANIFEST, ZipMember(name)), "leave its folder|path|backslash|invisible|too long")
    refused(HostileInput, raw_zip(MANIFEST, ZipMember(name + b"/", b"")), "leave its|path|backslash|invisible|too long")


def test_an_error_shows_a_hostile_name_as_harmless_text():
    refused(HostileInput, raw_zip(MANIFEST, ZipMember(inside("a\x1b[2Jb"))), "invisible", member=r"a\x1b[2Jb")


@pytest.mark.parametrize(
    "name", [inside("caf\u00e9").decode().encode("cp437"), inside("a") + b"\xff", inside("") + b"\xed\xa0\x80"]
)
def test_a_name_that_is_not_utf_8_is_refused(name):
    refused(InvalidProduct, raw_zip(MANIFEST, ZipMember(name)), "not UTF-8", member=NAME)


@pytest.mark.parametrize("name", [b"", b".", inside("/a"), inside("./a"), inside("a/.")])
def test_an_empty_name_or_folder_is_refused(name):
    refused(InvalidProduct, raw_zip(MANIFEST, ZipMember(name)), "without a name|empty or dotted")


def test_a_member_that_is_there_twice_is_refused():
    refused(
        InvalidProduct, raw_zip(MANIFEST, ZipMember(inside("a")), ZipMember(inside("a"))), "twice", member=f"{NAME}/a"
    )
    refused(
        InvalidProduct, raw_zip(ZipMember(inside("a")), ZipMember(b"./" + inside("a"))), "twice", member=f"{NAME}/a"
    )


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a", "a/"), ("a/", "a"), ("a/b/c", "a/b")])
def test_a_file_and_a_folder_of_one_name_are_refused(names):
    members = [ZipMember(inside(name), b"" if name.endswith("/") else b"x") for name in names]
    refused(InvalidProduct, raw_zip(*members), "file and a folder", member=f"{NAME}/a")


def test_a_product_that_is_file_and_folder_is_refused():
    refused(InvalidProduct, raw_zip(ZipMember(NAME.encode()), MANIFEST), "file and a folder", member=NAME)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_devices_and_pipes_are_refused(mode):
    link = ZipMember(inside("link"), b"/etc/passwd", mode=mode | 0o777)
    refused(HostileInput, raw_zip(MANIFEST, link), "only files and folders", member=f"{NAME}/link")


@pytest.mark.parametrize("flags", [0x0001, 0x0041, 0x2001])
def test_an_encrypted_member_is_refused(flags):
    refused(InvalidProduct, raw_zip(MANIFEST, ZipMember(inside("a"), flags=flags)), "encrypted", member=f"{NAME}/a")


@pytest.mark.parametrize(
    ("method", "called"), [(9, "Deflate64"), (12, "bzip2"), (14, "LZMA"), (93, "Zstandard"), (77, "method 77")]
)
def test_another_method_than_stored_and_deflated_is_named(method, called):
    refused(InvalidProduct, raw_zip(MANIFEST, ZipMember(inside("a"), method=method)), called, member=f"{NAME}/a")


def test_a_member_that_is_a_patch_is_refused():
    patch = ZipMember(inside("a"), method=8, flags=0x820)
    refused(InvalidProduct, raw_zip(MANIFEST, patch), "a patch", member=f"{NAME}/a")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_real_archives_of_other_methods_are_refused(method):
    refused(InvalidProduct, zip_of(in_folder(), method=method), "only stored and deflated")


def test_a_wrong_checksum_is_refused():
    damaged = ZipMember(inside("a"), b"right", packed=b"wrong")
    refused(InvalidProduct, raw_zip(MANIFEST, damaged), "CRC-32", member=f"{NAME}/a")


@pytest.mark.parametrize("size", [3, 5, 2**31, 0])
@pytest.mark.parametrize("both", [True, False])
def test_a_size_that_lies_is_refused(size, both):
    lie = {"size": size}
    member = ZipMember(inside("a"), b"1234", method=8, central=lie, local=lie if both else {})
    kind, match = (HostileInput, "more than") if size > 2**30 else (InvalidProduct, "announced|contradicts")
    refused(kind, raw_zip(MANIFEST, member), match)


@pytest.mark.parametrize("size", [3, 5])
def test_a_stored_size_that_lies_is_refused(size):
    member = ZipMember(inside("a"), b"1234", central={"size": size}, local={"size": size})
    refused(InvalidProduct, raw_zip(MANIFEST, member), "stored in 4 bytes", member=f"{NAME}/a")


@pytest.mark.parametrize(
    "lie",
    [
        {"name": inside("b")},
        {"name": b"../x".rjust(len(inside("a")), b"/")},
        {"method": 0},
        {"flags": 0x801},
        {"flags": 0x808},
        {"crc": 0},
        {"crc": 1},
        {"packed": 5},
        {"size": 0},
        {"size": 5},
        {"size": 0xFFFFFFFF},
    ],
)
def test_a_local_header_that_disagrees_with_the_directory_is_refused(lie):
    member = ZipMember(inside("a"), b"12345678", method=8, local=lie)
    refused(InvalidProduct, raw_zip(MANIFEST, member), "contradicts|beyond 4 GiB", member=f"{NAME}/a")


def test_a_local_header_that_is_damaged_is_refused():
    archive = raw_zip(MANIFEST, ZipMember(inside("a")))
    second = archive.index(b"PK\3\4", 4)
    wrong = archive[:second] + b"PK\3\5" + archive[second + 4 :]
    refused(InvalidProduct, wrong, "no local header", member=f"{NAME}/a")


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_a_data_descriptor_that_disagrees_is_refused(wrong):
    values = [zlib.crc32(b"1234"), 4, 4]
    values[wrong] += 1
    member = ZipMember(inside("a"), b"1234", flags=0x808, descriptor=b"PK\x07\x08" + struct.pack("<3L", *values))
    refused(InvalidProduct, raw_zip(MANIFEST, member, MANIFEST), "twice|descriptor")
    refused(InvalidProduct, raw_zip(MANIFEST, member), "data descriptor", member=f"{NAME}/a")


def test_a_data_descriptor_that_is_missing_is_refused():
    refused(InvalidProduct, raw_zip(ZipMember(inside("a"), flags=0x808), MANIFEST), "descriptor", member=f"{NAME}/a")


def test_compressed_data_that_are_damaged_cut_or_too_long_are_refused():
    data = os.urandom(500) + b"text " * 100
    packed = deflated(data)
    for wrong in (packed[:-1], packed[:-200], packed + b"x", b"\xff" * len(packed), b""):
        member = ZipMember(inside("a"), data, method=8, packed=wrong)
        refused(InvalidProduct, raw_zip(MANIFEST, member), "damaged|cut short|behind", member=f"{NAME}/a")


def test_an_archive_that_unpacks_beyond_the_ratio_is_refused():
    bomb = zip_of(in_folder({"a": bytes(2**22)}))
    refused(HostileInput, bomb, "more than 200 times as many.*max_ratio")
    assert len(unpacked(bomb, limits=Limits(2**30, 10, 2000))[1][f"{NAME}/a"]) == 2**22


def test_an_archive_larger_than_a_product_may_be_is_refused():
    archive = zip_of(in_folder({"a": os.urandom(3000), "b": os.urandom(3000)}))
    refused(HostileInput, archive, "more than 5999 bytes.*max_product_bytes", limits=Limits(5999, 10, 200))
    assert len(unpacked(archive, limits=Limits(6000, 10, 200))[1]) == 2


def test_a_bomb_that_hides_its_size_is_stopped_by_the_size_it_states():
    bomb = ZipMember(inside("a"), bytes(2**26), method=8, central={"size": 1000}, local={"size": 1000})
    refused(InvalidProduct, raw_zip(MANIFEST, bomb), "more than the 1000 bytes announced", member=f"{NAME}/a")


def test_members_that_share_one_piece_of_data_are_refused():
    """The first kind of overlap: every entry of the directory points to the same local header."""
    kernel = ZipMember(inside("a"), bytes(100), method=8)
    others = [ZipMember(inside(f"a{number}"), b"") for number in range(3)]
    for other in others:
        other.central = kernel.fields() | {"name": other.name}
    refused(HostileInput, raw_zip(kernel, *others, offsets=[0, 0, 0, 0]), "shares its bytes", member=f"{NAME}/a")


def test_members_nested_in_each_other_are_refused():
    """Fifield's bomb: a member quotes the local headers behind it in a stored block, and goes on with their data."""
    inner = ZipMember(inside("b"), b"kernel " * 9, method=8)
    alone = raw_zip(inner)
    quoted = alone[: 30 + len(inner.name)]
    block = b"\0" + struct.pack("<2H", len(quoted), len(quoted) ^ 0xFFFF)
    outer = ZipMember(inside("a"), quoted + inner.data, method=8, packed=block + quoted + inner.packed_data())
    assert unpacked(raw_zip(outer))[1] == {f"{NAME}/a": quoted + inner.data}
    nested = raw_zip(outer, inner, offsets=[0, 30 + len(outer.name) + len(block)])
    refused(HostileInput, nested, "shares its bytes", member=f"{NAME}/a")


def test_a_local_header_that_reaches_into_the_next_member_is_refused():
    archive = bytearray(raw_zip(ZipMember(inside("a"), b"1234"), MANIFEST))
    archive[28:30] = struct.pack("<H", 2)  # the length of its extra field
    refused(HostileInput, bytes(archive), "shares its bytes", member=f"{NAME}/a")


def test_a_member_behind_the_directory_is_refused():
    refused(HostileInput, raw_zip(MANIFEST, offsets=[2**31]), "shares its bytes", member="manifest.safe")


def test_a_member_that_does_not_begin_where_the_directory_says_is_refused():
    archive = raw_zip(ZipMember(inside("a"), b"1234567"), MANIFEST)
    second = archive.index(b"PK\3\4", 4)
    wrong = raw_zip(ZipMember(inside("a"), b"1234567"), MANIFEST, offsets=[0, second + 1])
    refused(HostileInput, wrong, "shares its bytes", member="manifest.safe")
    wrong = raw_zip(ZipMember(inside("a"), b"1234567"), MANIFEST, before=b"PK\3\4", offsets=[0, second + 4])
    refused(InvalidProduct, wrong, "contradicts", member=f"{NAME}/a")


def test_too_many_members_are_refused_before_they_are_read():
    archive = zip_of(in_folder({f"f{number}": b"" for number in range(51)}))
    refused(HostileInput, archive, "more than 50 files.*max_members")
    refused(HostileInput, raw_zip(MANIFEST, count=60000, here=60000), "more than 50 files")
    assert len(unpacked(zip_of(in_folder({f"f{number}": b"" for number in range(50)})))[1]) == 50


@pytest.mark.parametrize(("count", "kind"), [(0, HostileInput), (1, InvalidProduct), (3, InvalidProduct)])
def test_a_count_of_members_that_lies_is_refused(count, kind):
    refused(kind, raw_zip(MANIFEST, ZipMember(inside("a")), count=count, here=count), "central directory")


@pytest.mark.parametrize("wrong", [{"disk": 1}, {"first_disk": 1}, {"here": 1}])
def test_one_of_several_volumes_is_refused(wrong):
    refused(InvalidProduct, raw_zip(MANIFEST, ZipMember(inside("a")), **wrong), "several volumes")


def test_a_member_on_another_volume_is_refused():
    refused(InvalidProduct, raw_zip(MANIFEST, ZipMember(inside("a"), central={"disk": 1})), "several volumes")


def test_the_first_of_several_volumes_is_refused():
    refused(InvalidProduct, b"PK\x07\x08" + zip_of(in_folder())[:500], "several volumes")


@pytest.mark.parametrize("garbage", [b"x", bytes(100), b"PK\x05\x06", b"PK\x05\x06" + bytes(18), bytes(70000)])
def test_bytes_behind_the_end_are_refused(garbage):
    refused(InvalidProduct, zip_of(in_folder()) + garbage, "other bytes|end record")


def test_a_second_archive_behind_the_first_is_refused():
    refused(InvalidProduct, zip_of(in_folder()) + zip_of(in_folder()), "other bytes before")


def test_bytes_before_the_archive_are_refused():
    refused(InvalidProduct, b"#!/bin/sh\n" + zip_of(in_folder()), "begins with")
    refused(InvalidProduct, zip_of(in_folder())[:4] + zip_of(in_folder()), "other bytes before")


def test_a_directory_that_is_damaged_is_refused():
    archive = raw_zip(MANIFEST, ZipMember(inside("a")))
    last = archive.rindex(b"PK\1\2")
    refused(InvalidProduct, archive[:last] + b"XXXX" + archive[last + 4 :], "damaged central directory")
    refused(
        InvalidProduct, archive[: last + 32] + b"\5" + archive[last + 33 :], "damaged central directory", member="a"
    )
    size, offset = struct.unpack("<2L", archive[-10:-2])
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 3, 3, size + 4, offset, 0)
    refused(InvalidProduct, archive[:-22] + b"PK\1\2" + end, "damaged central directory")


@pytest.mark.parametrize(
    ("at", "value", "match"),
    [
        (0, b"XX", "ZIP64 end record"),
        (4, struct.pack("<Q", 45), "other bytes before"),
        (16, struct.pack("<L", 1), "several volumes"),
        (20, struct.pack("<L", 1), "several volumes"),
        (24, struct.pack("<Q", 2), "several volumes"),
        (32, struct.pack("<Q", 2**60), "several volumes"),
        (40, struct.pack("<Q", 2**60), "contradict"),
        (48, struct.pack("<Q", 2**60), "contradict"),
        (56 + 4, struct.pack("<L", 1), "several volumes"),
        (56 + 8, struct.pack("<Q", 2**63), "ZIP64 end record"),
        (56 + 16, struct.pack("<L", 2), "several volumes"),
    ],
)
def test_a_zip64_end_record_that_lies_is_refused(at, value, match):
    archive = raw_zip(MANIFEST)
    *_, size, offset, _ = struct.unpack("<4s4H2LH", archive[-22:])
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, offset)
    end64 += struct.pack("<4sLQL", b"PK\x06\x07", 0, offset + size, 1)
    assert len(unpacked(archive[:-22] + end64 + archive[-22:])[1]) == 1
    end64 = end64[:at] + value + end64[at + len(value) :]
    refused(InvalidProduct, archive[:-22] + end64 + archive[-22:], match)


def test_a_zip64_extra_field_that_is_missing_or_short_is_refused():
    for extra in (b"", struct.pack("<2HL", 1, 4, 4), struct.pack("<2H", 1, 8), b"\1"):
        member = ZipMember(inside("a"), extra=extra, central={"size": 0xFFFFFFFF})
        refused(InvalidProduct, raw_zip(MANIFEST, member), "beyond 4 GiB", member=f"{NAME}/a")


def test_a_folder_with_bytes_is_refused():
    refused(
        InvalidProduct, raw_zip(MANIFEST, ZipMember(inside("a/"), b"1234")), "folder with 4 bytes", member=f"{NAME}/a"
    )


def test_an_archive_of_another_product_is_refused():
    other = NAME.replace("S1A", "S1B")
    refused(InvalidProduct, zip_of(in_folder(folder=other)), f"another product than announced: the folder '{other}'")
    refused(InvalidProduct, zip_of({"S1B_ORBIT.EOF": b"x"}), "another product than announced: the file 'S1B_ORBIT.EOF'")


def test_a_folder_that_is_called_like_a_manifest_is_no_flat_product():
    refused(InvalidProduct, zip_of({"manifest.safe/a": b"x"}), "another product than announced: the folder")


def test_two_products_in_one_archive_are_refused():
    other = NAME.replace("S1A", "S1B")
    refused(InvalidProduct, zip_of(in_folder() | in_folder(folder=other)), "beside the product", member=other)
    refused(InvalidProduct, zip_of(in_folder(folder="A") | in_folder(folder="B")), "2 folders .'A', 'B'.")
    refused(InvalidProduct, zip_of(in_folder() | {"readme.txt": b"x"}), "beside the product", member="readme.txt")


@pytest.mark.parametrize("members", [{}, {f"{NAME}/": b""}, {"__MACOSX/._x": b"x"}, {f"{NAME}/a/": b""}])
def test_an_empty_archive_is_refused(members):
    refused(InvalidProduct, zip_of(members), "holds no file")


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"", "is empty"),
        (b"<html><body>Sign in", "web page"),
        (b'{"error": 1}', "JSON"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07", "RAR"),
        (b"BZh9", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "Zstandard"),
        (b"II*\0" + bytes(600), "something else"),
    ],
)
def test_what_is_no_archive_is_said_to_be_what_it_is(start, told):
    refused(InvalidProduct, start, told)


@given(st.data())
@settings(max_examples=300, deadline=1000)
def test_any_damage_is_met_with_an_error_or_harmless(data):
    """One to eight bytes changed, or a stretch taken out, doubled or zeroed."""
    archive = bytearray(zip_of(in_folder(), streamed=data.draw(st.booleans()), zip64=data.draw(st.booleans())))
    at = st.integers(0, len(archive) - 1)
    for _ in range(data.draw(st.integers(1, 8))):
        archive[data.draw(at)] = data.draw(st.integers(0, 255))
    start, length = data.draw(at), data.draw(st.integers(0, 60))
    middle = data.draw(st.sampled_from([bytes(archive[start : start + length]), b"", bytes(length), b"\xff" * length]))
    archive[start : start + length] = middle * data.draw(st.integers(1, 2))
    assert outcome(bytes(archive)) in (in_folder(), "refused")
