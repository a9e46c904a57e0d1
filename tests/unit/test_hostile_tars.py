"""Tars that lie, reach out or exhaust: refused with the archive and the member in the error, and nothing stays."""

import gzip
import os
import struct
import tarfile
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.core.errors import HostileInput, InvalidProduct
from refsys.ingestion.archives import Limits
from tests.archive_makers import (
    NAME,
    gzipped,
    in_folder,
    outcome,
    refused_each_way,
    tar_info,
    tar_of,
    unpacked,
)

ARCHIVE = f"{NAME}.tar.gz"
refused = partial(refused_each_way, name=ARCHIVE)
SOUND = tar_of(in_folder())
#: Where the bytes of the product end: two blocks of zeros and padding follow.
END = len(SOUND.rstrip(b"\0"))
MANIFEST = (tar_info(f"{NAME}/manifest.safe", b"<xfdu/>"), b"<xfdu/>")
FIELDS = {"name": (0, 100), "size": (124, 136), "kind": (156, 157), "magic": (257, 265), "prefix": (345, 500)}


def header(name, size=0, kind=b"0", *, valid=True, **fields):
    """A header with any bytes in any field, and a sum that agrees unless it is not `valid`."""
    block = bytearray(tar_info("x").tobuf(tarfile.USTAR_FORMAT)[:512])
    fields = {"name": name, "size": size if isinstance(size, bytes) else b"%011o\0" % size, "kind": kind} | fields
    for key, value in fields.items():
        start, end = FIELDS[key]
        block[start:end] = value.ljust(end - start, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % (sum(block) + (not valid))
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def tar(*parts, end=bytes(1024)):
    """A tar of headers and data, after one sound member."""
    return tar_of([MANIFEST]).rstrip(b"\0").ljust(1024, b"\0") + b"".join(parts) + end


def pax(**records):
    """An extended header."""
    lines = b""
    for key, value in records.items():
        line = b" " + key.encode().replace(b"__", b".") + b"=" + value + b"\n"
        length = len(line) + 1
        length += len(str(length + len(str(length)) - 1)) - 1
        lines += str(length).encode() + line
    return header(b"pax", len(lines), b"x") + padded(lines)


def inside(name):
    return f"{NAME}/{name}".encode()


def test_the_maker_of_unsound_archives_makes_sound_ones_too():
    archive = tar(header(inside("a"), 4), padded(b"1234"), pax(path=inside("b")), header(b"c"))
    assert unpacked(archive)[1] == {f"{NAME}/manifest.safe": b"<xfdu/>", f"{NAME}/a": b"1234", f"{NAME}/b": b""}


def test_a_tar_cut_anywhere_is_refused():
    whole = (END + 511) // 512 * 512 + 1024
    for length in range(0, whole, 64):
        refused(InvalidProduct, SOUND[:length], "cut short|is empty|neither ZIP|header|holds no file")
    refused(InvalidProduct, SOUND[: whole - 1], "cut short")
    assert unpacked(SOUND[:whole])[1] == in_folder()


def test_a_gzipped_tar_cut_anywhere_is_refused():
    archive = gzipped(SOUND)
    for length in range(len(archive)):
        refused(InvalidProduct, archive[:length], "cut short|is empty|neither ZIP")


def test_a_gzipped_tar_whose_checksum_or_length_is_wrong_is_refused():
    archive = gzipped(SOUND)
    crc, length = struct.unpack("<2L", archive[-8:])
    refused(InvalidProduct, archive[:-8] + struct.pack("<2L", crc ^ 1, length), "damaged.*gzip")
    refused(InvalidProduct, archive[:-8] + struct.pack("<2L", crc, length + 1), "damaged.*gzip")


def test_damaged_gzip_data_are_refused():
    archive = bytearray(gzipped(SOUND))
    archive[20:40] = b"\xff" * 20
    refused(InvalidProduct, bytes(archive), "damaged|header")


@pytest.mark.parametrize(
    "name", [b"../x", inside("../../x"), b"/etc/passwd", b"C:/x", inside("a\\b"), inside("a\nb"), b".."]
)
def test_a_name_that_leaves_its_folder_or_cannot_be_shown_is_refused(name):
    refused(HostileInput, tar(header(name)), "leave its folder|absolute path|backslash|invisible")
    refused(HostileInput, tar(header(name, kind=b"5")), "leave its folder|absolute path|backslash|invisible")
    refused(HostileInput, tar(pax(path=name), header(inside("good"))), "leave its|absolute path|backslash|invisible")
    longer = header(b"long", len(name) + 1, b"L") + padded(name + b"\0")
    refused(HostileInput, tar(longer, header(inside("good"))), "leave its folder|absolute path|backslash|invisible")


def test_a_prefix_that_leaves_the_folder_is_refused():
    refused(HostileInput, tar(header(b"x", prefix=b"../..")), "leave its folder")


def test_a_nul_in_an_extended_name_is_refused():
    refused(HostileInput, tar(pax(path=inside("a\0b")), header(inside("c"))), "invisible")


def test_a_name_that_is_too_long_is_refused():
    refused(HostileInput, tar_of([MANIFEST, (tar_info(f"{NAME}/{'a' * 256}"), b"")]), "too long")
    refused(HostileInput, tar_of([MANIFEST, (tar_info(f"{NAME}/{'folder/' * 110}a"), b"")]), "too long")


def test_a_name_that_is_not_utf_8_is_refused():
    refused(InvalidProduct, tar(header(inside("a") + b"\xff")), "not UTF-8", member=NAME)


def test_an_empty_name_is_refused():
    refused(InvalidProduct, tar(header(b"")), "without a name")


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (b"1", "hard link"),
        (b"2", "symbolic link"),
        (b"3", "character device"),
        (b"4", "block device"),
        (b"6", "named pipe"),
    ],
)
def test_links_devices_and_pipes_are_refused(kind, what):
    info = tar_info(f"{NAME}/reach", kind=kind, linkname="../../../etc/passwd")
    refused(HostileInput, tar_of([MANIFEST, (info, b"")]), what, member=f"{NAME}/reach")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (b"S", "sparse"),
        (b"M", "continued from another volume"),
        (b"D", "unknown kind 'D'"),
        (b"X", "unknown kind 'X'"),
        (b"~", "unknown kind '~'"),
    ],
)
def test_unusual_members_are_refused(kind, told):
    refused(InvalidProduct, tar(header(inside("odd"), kind=kind)), told, member=f"{NAME}/odd")


def test_sparse_files_of_pax_are_refused():
    sparse = pax(GNU__sparse__major=b"1", GNU__sparse__minor=b"0", GNU__sparse__realsize=b"1099511627776")
    refused(InvalidProduct, tar(sparse, header(inside("odd"), 512), bytes(512)), "sparse", member=f"{NAME}/odd")


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\xff" + bytes(11), b"-0000000001\0", b"xyz", b"12 34", b"9"])
def test_a_negative_or_unreadable_size_is_refused(size):
    refused(InvalidProduct, tar(header(inside("a"), size)), "no valid size", member=f"{NAME}/a")


@pytest.mark.parametrize("size", [b"\x80" + b"\xff" * 11, b"77777777777\0"])
def test_a_huge_size_is_refused(size):
    refused(HostileInput, tar(header(inside("a"), size)), "more than 67108864 bytes.*max_product_bytes")
    refused(InvalidProduct, tar(header(b"beside", size)), "beside the product")
    refused(InvalidProduct, tar(header(b"__MACOSX/x", size)), "cut short", member="__MACOSX/x")
    refused(InvalidProduct, gzipped(tar(header(b"__MACOSX/x", size))), "cut short", member="__MACOSX/x")


@pytest.mark.parametrize("size", [b"-1", b"1e3", b"99999999999999999999", "\u0661".encode(), b"0x10"])
def test_an_extended_size_that_is_no_number_is_refused(size):
    refused(InvalidProduct, tar(pax(size=size), header(inside("a"))), "no valid size", member=f"{NAME}/a")


def test_a_size_beyond_the_archive_is_refused():
    refused(
        InvalidProduct, tar(header(inside("a"), 5000)), "cut short: the archive ends in this file", member=f"{NAME}/a"
    )
    refused(InvalidProduct, tar(pax(size=b"5000"), header(inside("a"))), "cut short", member=f"{NAME}/a")


def test_a_large_file_that_is_cut_is_refused():
    archive = tar_of([MANIFEST, (tar_info(f"{NAME}/a", bytes(5 * 2**20)), bytes(5 * 2**20))])
    refused(InvalidProduct, archive[: 4 * 2**20], "cut short: the archive ends in this file", member=f"{NAME}/a")


def test_a_folder_with_bytes_is_refused():
    refused(
        InvalidProduct, tar(header(inside("a"), 4, b"5"), padded(b"1234")), "folder with 4 bytes", member=f"{NAME}/a"
    )


def test_a_member_that_is_there_twice_is_refused():
    twice = header(inside("a"), 1) + padded(b"1")
    refused(InvalidProduct, tar(twice, twice), "twice", member=f"{NAME}/a")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a", "a/"), ("a/", "a")])
def test_a_file_and_a_folder_of_one_name_are_refused(names):
    refused(InvalidProduct, tar(*(header(inside(name)) for name in names)), "file and a folder", member=f"{NAME}/a")


@pytest.mark.parametrize(
    "records",
    [
        b"nonsense",
        b"99 comment=x\n",
        b"13 comment=x",
        b"3 =\n",
        b"8 abcde\n",
        b"0 a=b\n",
        b"-5 a=b\n",
        b"7 comment=x\n",
        b"\0" * 20,
        b"9999999 a=b\n",
    ],
)
def test_an_extended_header_that_is_not_made_of_records_is_refused(records):
    wrong = header(b"pax", len(records), b"x") + padded(records)
    refused(InvalidProduct, tar(wrong, header(inside("a"))), "not made of records")


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
@pytest.mark.parametrize("size", [0, 2**16 + 1, 2**33 - 1])
def test_an_extended_header_of_unbounded_size_is_refused(kind, size):
    refused(HostileInput, tar(header(b"pax", size, kind)), "extended header without size, or longer")


def test_an_extended_header_that_is_cut_is_refused():
    refused(InvalidProduct, tar(header(b"pax", 3000, b"x"), end=bytes(512)), "cut short in an extended header")
    refused(InvalidProduct, tar(pax(path=b"x")), "before nothing")
    refused(InvalidProduct, tar(header(b"long", 2, b"L") + padded(b"x\0")), "before nothing")


def test_extended_headers_without_end_are_refused():
    refused(HostileInput, tar(*[pax(comment=b"x")] * 8, header(inside("a"))), "8 extended headers in a row")


@pytest.mark.parametrize("record", [{"path": b"x"}, {"size": b"1"}, {"GNU__sparse__major": b"1"}])
def test_a_global_header_that_overrides_every_member_is_refused(record):
    name = pax(**record)
    everywhere = header(b"pax", int(name[124:135], 8), b"g") + name[512:]
    refused(InvalidProduct, everywhere + SOUND, "global header")


def test_a_global_header_of_comments_and_a_volume_label_are_harmless():
    comment = pax(comment=b"commit 1234")
    label = header(b"volume", kind=b"V")
    archive = header(b"pax", int(comment[124:135], 8), b"g") + comment[512:] + label + SOUND
    assert unpacked(archive)[1] == in_folder()


def test_a_sum_of_signed_bytes_is_taken_too():
    """As some tars of long ago have it."""
    block = bytearray(header(inside("é")))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(byte - 256 * (byte > 127) for byte in block)
    assert list(unpacked(tar(bytes(block)))[1]) == [f"{NAME}/manifest.safe", f"{NAME}/é"]


def test_a_name_of_gnu_has_no_prefix():
    """GNU keeps times where POSIX has the first part of a long name."""
    block = header(inside("a"), magic=b"ustar  \0", prefix=b"14157665551\0")
    assert f"{NAME}/a" in unpacked(tar(block))[1]


def test_a_header_whose_sum_is_wrong_is_refused():
    refused(InvalidProduct, tar(header(inside("a"), valid=False)), "another sum")
    refused(InvalidProduct, header(inside("a"), valid=False) + bytes(1024), "neither ZIP nor tar")


@pytest.mark.parametrize("end", [bytes(1024) + b"x", bytes(1024) + SOUND, bytes(512) + SOUND, bytes(20000) + b"\1"])
def test_bytes_behind_the_end_are_refused(end):
    refused(InvalidProduct, tar(end=end), "other bytes behind its end")
    refused(InvalidProduct, gzipped(tar(end=end)), "other bytes behind its end")


@pytest.mark.parametrize("garbage", [b"x", b"\x1f", b"\x1f\x8b", bytes(300000) + b"x", b"\x1f\x8b\x08" + bytes(7)])
def test_bytes_behind_the_gzip_data_are_refused(garbage):
    refused(InvalidProduct, gzipped(SOUND) + garbage, "behind its end|cut short|damaged")


def test_a_second_tar_in_a_second_gzip_member_is_refused():
    refused(InvalidProduct, gzipped(SOUND) + gzipped(SOUND), "behind its end")


def test_gzip_of_something_else_is_refused():
    refused(InvalidProduct, gzipped(b"<Earth_Explorer_File/>" * 100), "another sum, or is none")
    refused(InvalidProduct, gzipped(b""), "cut short")
    refused(InvalidProduct, gzipped(gzipped(SOUND)), "another sum|cut short")


def test_an_archive_that_unpacks_beyond_the_ratio_is_refused():
    bomb = gzipped(tar_of(in_folder({"a": bytes(2**22)})))
    refused(HostileInput, bomb, r"more than 200 times.*max_ratio")
    assert len(unpacked(bomb, limits=Limits(2**30, 10, 2000))[1][f"{NAME}/a"]) == 2**22


def test_a_bomb_of_padding_is_refused():
    refused(HostileInput, gzipped(tar(end=bytes(2**22))), "more than 200 times")


def test_a_bomb_in_a_flat_archive_is_refused_while_it_is_listed():
    refused(HostileInput, gzipped(tar_of({"manifest.safe": bytes(2**22)})), "more than 200 times")


def test_an_archive_larger_than_a_product_may_be_is_refused():
    archive = tar_of(in_folder({"a": os.urandom(3000), "b": os.urandom(3000)}))
    refused(HostileInput, archive, r"more than 5999 bytes.*max_product_bytes", limits=Limits(5999, 10, 200))
    assert len(unpacked(archive, limits=Limits(6000, 10, 200))[1]) == 2


def test_as_many_members_as_are_allowed_are_taken():
    assert len(unpacked(tar_of({f"{NAME}/f{number}": b"" for number in range(50)}))[1]) == 50


@pytest.mark.parametrize("folder", [NAME, "__MACOSX"])
def test_too_many_members_are_refused(folder):
    refused(
        HostileInput, tar_of({f"{folder}/f{number}": b"" for number in range(51)}), r"more than 50 files.*max_members"
    )


def test_an_archive_of_another_product_is_refused():
    other = NAME.replace("S1A", "S1B")
    refused(InvalidProduct, tar_of(in_folder(folder=other)), f"another product than announced: the folder '{other}'")
    refused(InvalidProduct, tar_of(in_folder() | in_folder(folder=other)), "beside the product", member=other)
    refused(InvalidProduct, tar_of({"readme.txt": b"x"} | in_folder()), "beside the product", member="readme.txt")


@pytest.mark.parametrize("members", [{}, {f"{NAME}/": b""}, {"./": b""}])
def test_an_empty_archive_is_refused(members):
    refused(InvalidProduct, tar_of(members), "holds no file")


def test_very_many_gzip_members_are_read_in_time():
    """Thousands of them; each costs what it holds, not what stands behind it."""
    data = tar_of(in_folder())
    size = len(data) // 10_000 + 1
    parts = [gzip.compress(data[at : at + size], 1) for at in range(0, len(data), size)]
    assert unpacked(b"".join(parts))[1] == in_folder()


@given(st.data())
@settings(max_examples=300, deadline=1000)
def test_any_damage_is_met_with_an_error_or_leaves_a_product_in_its_folder(data):
    """A tar has no checksum over its data; gzip has."""
    plain = bytearray(SOUND[: END + 1536])
    packed = data.draw(st.booleans())
    archive = bytearray(gzipped(bytes(plain))) if packed else plain
    at = st.integers(0, len(archive) - 1)
    for _ in range(data.draw(st.integers(1, 8))):
        archive[data.draw(at)] = data.draw(st.integers(0, 255))
    start, length = data.draw(at), data.draw(st.integers(0, 600))
    archive[start : start + length] = bytes(archive[start : start + length]) * data.draw(st.integers(0, 2))
    objects = outcome(bytes(archive))
    if objects == "refused":
        return
    assert all(name.startswith(f"{NAME}/") for name in objects)
    assert objects == in_folder() or not packed


@given(st.data())
@settings(max_examples=200, deadline=1000)
def test_any_header_is_met_with_an_error_or_leaves_a_product_in_its_folder(data):
    """Headers with sums that agree, whatever stands in them."""
    fields = {key: data.draw(st.binary(max_size=FIELDS[key][1] - FIELDS[key][0])) for key in FIELDS}
    fields["kind"] = data.draw(st.sampled_from([b"0", b"5", b"x", b"g", b"L", b"K", b"V", b"\0", b"~"]))
    if data.draw(st.booleans()):
        fields["size"] = b"%011o\0" % data.draw(st.integers(0, 2000))
    content = data.draw(st.binary(max_size=1100))
    objects = outcome(tar(header(**fields), padded(content), header(inside("a"))))
    assert objects == "refused" or all(name.startswith(f"{NAME}/") for name in objects)
