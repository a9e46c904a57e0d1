"""What stations deliver is unpacked as it should be, whatever container it comes in."""

import gzip
import hashlib
import io
import random
import struct
import tarfile
import threading
import tracemalloc
import zipfile
import zlib

import pytest
from blake3 import blake3

from refsys.core.errors import HostileInput, InvalidProduct
from refsys.ingestion.archives import Limits, store_file
from tests.archive_makers import (
    BASE,
    FILES,
    LIMITS,
    NAME,
    WAYS,
    MemoryBatch,
    ZipMember,
    bring,
    deflated,
    gzipped,
    in_folder,
    raw_zip,
    tar_info,
    tar_of,
    unpacked,
    zip_of,
)


def streamed_zip_of(members):
    """With data descriptors."""
    return zip_of(members, streamed=True)


CONTAINERS = {
    "zip, stored": zip_of(in_folder(), method=zipfile.ZIP_STORED),
    "zip, deflated": zip_of(in_folder()),
    "zip, data descriptors": zip_of(in_folder(), streamed=True),
    "zip, ZIP64 sizes": zip_of(in_folder(), zip64=True),
    "zip, ZIP64 sizes in data descriptors": zip_of(in_folder(), streamed=True, zip64=True),
    "tar, pax": tar_of(in_folder()),
    "tar, GNU": tar_of(in_folder(), form=tarfile.GNU_FORMAT),
    "tar, ustar": tar_of(in_folder(), form=tarfile.USTAR_FORMAT),
    "tar, gzipped": gzipped(tar_of(in_folder())),
    "zip, ./ before each name": zip_of({"./": b""} | in_folder(folder=f"./{NAME}")),
    "tar, ./ before each name": tar_of({"./": b""} | in_folder(folder=f"./{NAME}")),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_brings_the_same_product(container):
    table, objects = unpacked(CONTAINERS[container])
    assert objects == in_folder()
    assert [entry.path for entry in table] == sorted(in_folder())
    for entry in table:
        data = objects[entry.path]
        assert entry.size_bytes == len(data)
        assert entry.crc32 == zlib.crc32(data)
        assert entry.md5 == hashlib.md5(data).digest()
        assert entry.blake3 == blake3(data).digest()
        assert not entry.is_folder


@pytest.mark.parametrize("archive", [f"{NAME}.zip", f"{NAME}.TGZ", f"{NAME}.tar", NAME])
def test_the_first_bytes_decide_and_not_the_name(archive):
    assert unpacked(gzipped(tar_of(in_folder())), archive)[1] == in_folder()
    assert unpacked(zip_of(in_folder()), archive)[1] == in_folder()


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_empty_folders_are_rows_of_the_table_and_others_are_not(pack):
    members = {f"{NAME}/": b"", f"{NAME}/preview/": b"", f"{NAME}/preview/icons/": b"", f"{NAME}/manifest.safe": b"m"}
    table, objects = unpacked(pack(members))
    assert objects == {f"{NAME}/manifest.safe": b"m"}
    folder, file = sorted(table, key=lambda entry: not entry.is_folder)
    assert (folder.path, folder.size_bytes, folder.is_folder) == (f"{NAME}/preview/icons", 0, True)
    assert (folder.md5, folder.blake3) == (b"", b"")
    assert file.path == f"{NAME}/manifest.safe"


def test_the_table_is_in_the_order_of_paths_whatever_the_archive_does():
    backwards = dict(reversed(in_folder().items()))
    assert unpacked(zip_of(backwards))[0] == unpacked(tar_of(in_folder()))[0]


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_a_product_may_be_one_file(pack):
    name = "S1A_OPER_AUX_RESORB_OPOD_20171213T143838_V20171213T102737_20171213T134507.EOF"
    table, objects = unpacked(pack({name: b"<Earth_Explorer_File/>"}), product=name)
    assert [entry.path for entry in table] == [name]
    assert objects == {name: b"<Earth_Explorer_File/>"}


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_a_folder_that_lacks_its_suffix_gets_the_products_name(pack):
    """Housekeeping telemetry of Sentinel-1 comes so."""
    assert unpacked(pack(in_folder(folder=NAME.removesuffix(".SAFE"))))[1] == in_folder()
    assert unpacked(pack(in_folder(folder=NAME.lower().replace("s1a", "S1A")[:-5].upper() + ".safe")))[1] == in_folder()


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_a_file_with_another_suffix_gets_the_products_name(pack):
    assert unpacked(pack({"S1A_ORBIT.eof": b"x"}), product="S1A_ORBIT.EOF")[1] == {"S1A_ORBIT.EOF": b"x"}


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_a_folder_that_has_a_suffix_the_announced_name_lacks_gets_the_products_name(pack):
    """Housekeeping telemetry of Sentinel-2 comes so."""
    name = "S2A_OPER_PRD_HKTM___20191203T051837_20191203T051842_0001"
    files = in_folder(folder=f"{name}.SAFE")
    assert unpacked(pack(files), product=name, fall_back=False)[1] == in_folder(folder=name)


@pytest.mark.parametrize("pack", [zip_of, tar_of])
@pytest.mark.parametrize("files", [FILES, {"manifest.safe": b"m"}, {"xfdumanifest.xml": b"m"}])
def test_a_flat_archive_comes_under_the_products_folder(pack, files):
    assert unpacked(pack(files))[1] == in_folder(files)


@pytest.mark.parametrize("pack", [zip_of, tar_of])
@pytest.mark.parametrize("suffixes", [(".HDR", ".DBL"), (".xml",)])
def test_files_of_a_product_whose_name_has_no_suffix_come_under_its_folder(pack, suffixes):
    """Sentinel-2 auxiliaries: X.TGZ holds X.HDR and X.DBL."""
    name = "S2A_OPER_GIP_ATMIMA_MPC__20150605T094736_V20150622T000000_21000101T000000_B00"
    files = {f"{name}{suffix}": b"x" for suffix in suffixes}
    assert unpacked(pack(files), product=name)[1] == in_folder(files, name)


def test_the_version_at_the_end_of_a_sentinel_2_name_is_no_suffix():
    with pytest.raises(InvalidProduct, match="another product"):
        unpacked(zip_of({"S2A_L0_GR_N02.07/a": b"x"}), product="S2A_L0_GR_N02.08")


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_what_macos_adds_beside_the_product_is_left_out_and_inside_it_all_is_kept(pack):
    inside = {f"{NAME}/manifest.safe": b"m", f"{NAME}/.DS_Store": b"d", f"{NAME}/._x": b"x"}
    beside = {f"__MACOSX/{NAME}/._manifest.safe": b"j", ".DS_Store": b"j", f"._{NAME}": b"j"}
    assert unpacked(pack(beside | inside))[1] == inside
    assert unpacked(pack(inside | beside))[1] == inside
    assert unpacked(pack(beside | {"manifest.safe": b"m"}))[1] == {f"{NAME}/manifest.safe": b"m"}


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_names_that_differ_in_their_case_only_are_two_files(pack):
    members = {f"{NAME}/a": b"1", f"{NAME}/A": b"2"}
    assert unpacked(pack(members))[1] == members


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_in_tars_are_whole(form):
    members = {f"{NAME}/{'folder-' * 10}/{'file-' * 15}.xml": b"long"}
    assert unpacked(tar_of(members, form=form))[1] == members


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_names_beyond_ascii_are_utf_8(pack):
    members = {f"{NAME}/résumé ü.xml": b"x"}
    assert unpacked(pack(members))[1] == members


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_the_longest_names_that_are_allowed_are_taken(pack):
    members = {f"{NAME}/{'é' * 127}a": b"255 bytes in one segment", f"{NAME}/{'folder/' * 99}".ljust(768, "x"): b"768"}
    assert unpacked(pack(members))[1] == members


def test_a_pax_header_overrides_name_and_size():
    """A size beyond 8 GiB has no place in the old header; here it is small, but stands there all the same."""
    info = tar_info("short", b"12345")
    info.pax_headers = {"path": f"{NAME}/real", "comment": "harmless", "size": "5"}
    assert unpacked(tar_of([(info, b"12345")]))[1] == {f"{NAME}/real": b"12345"}


def test_a_tar_of_before_posix_is_read():
    data = bytearray(tar_of(in_folder({"a": b"1"}), form=tarfile.USTAR_FORMAT))
    data[257:265] = bytes(8)
    data[156:157] = b"\0"
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    assert unpacked(bytes(data))[1] == {f"{NAME}/a": b"1"}


def test_a_gzip_of_several_members_and_padding_is_read():
    """As block-wise compressors and tape drives leave it."""
    data = tar_of(in_folder())
    parts = [gzip.compress(data[at : at + 1000]) for at in range(0, len(data), 1000)]
    assert unpacked(b"".join(parts) + gzip.compress(b"") + bytes(1000))[1] == in_folder()


def test_a_zip_with_a_comment_is_read_even_where_it_looks_like_an_end_record():
    comment = b"PK\x05\x06" + bytes(18) + b"PK\x05\x06"
    archive = zip_of(in_folder())
    assert unpacked(archive[:-2] + struct.pack("<H", len(comment)) + comment)[1] == in_folder()


def test_a_zip64_end_record_is_read():
    archive = zip_of(in_folder())
    *_, size, offset, _ = struct.unpack("<4s4H2LH", archive[-22:])
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, len(FILES), len(FILES), size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, offset + size, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert unpacked(archive[:-22] + end64 + locator + end)[1] == in_folder()


@pytest.mark.parametrize("mark", [b"PK\x07\x08", b""])
@pytest.mark.parametrize("layout", ["<3L", "<LQQ"])
def test_data_descriptors_come_in_four_kinds(mark, layout):
    data = b"described behind its data " * 10
    packed = deflated(data)
    member = ZipMember(f"{NAME}/a".encode(), data, method=8, flags=0x808, local={"crc": 0, "packed": 0, "size": 0})
    member.descriptor = mark + struct.pack(layout, zlib.crc32(data), len(packed), len(data))
    assert unpacked(raw_zip(member))[1] == {f"{NAME}/a": data}


def _large() -> bytes:
    """4 MiB and a bit, half of it compressible."""
    return (random.Random(1).randbytes(2**20) + bytes(2**20)) * 2 + b"tail"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pack", [zip_of, tar_of, lambda members: gzipped(tar_of(members)), streamed_zip_of])
def test_large_files_go_through_in_pieces(pack, way):
    data = _large()
    batch = MemoryBatch()
    table = bring(pack({f"{NAME}/large": data, f"{NAME}/small": b"s"}), batch, way, fall_back=False)
    assert batch.objects == {f"{BASE}/{NAME}/large": data, f"{BASE}/{NAME}/small": b"s"}
    assert batch.longest_write <= 2**20
    assert (table[0].md5, table[0].blake3) == (hashlib.md5(data).digest(), blake3(data).digest())
    assert table[0].crc32 == zlib.crc32(data)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("md5")]


@pytest.mark.parametrize("way", ["seekable", "streamed, length known"])
@pytest.mark.parametrize("pack", [zip_of, lambda members: gzipped(tar_of(members)), streamed_zip_of])
def test_memory_is_bounded_whatever_the_size(pack, way):
    class Nowhere(MemoryBatch):
        class _Writer:
            def __init__(self, batch):
                pass

            def write(self, data):
                pass

            buffer = io.BytesIO()

    archive = pack({f"{NAME}/large": bytes(2**26)})
    limits = Limits(max_bytes=2**27, max_members=10, max_ratio=2000)
    tracemalloc.start()
    try:
        bring(archive, Nowhere(), way, limits=limits, fall_back=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**24


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pack", [zip_of, tar_of, lambda members: gzipped(tar_of(members)), streamed_zip_of])
def test_the_caller_can_abandon_between_pieces(pack, way):
    class Abandoned(Exception):
        pass

    calls = 0

    def check():
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Abandoned

    batch = MemoryBatch()
    with pytest.raises(Abandoned), batch:
        bring(pack({f"{NAME}/large": _large()}), batch, way, check=check)
    assert batch.objects == {}


def test_a_plain_file_is_stored_with_its_checksums():
    for data in (b"", b"small", _large()):
        batch = MemoryBatch()
        entry = store_file(io.BytesIO(data), path=NAME, base=BASE, batch=batch, limits=LIMITS)
        assert batch.objects == {f"{BASE}/{NAME}": data}
        assert (entry.path, entry.size_bytes, entry.crc32) == (NAME, len(data), zlib.crc32(data))
        assert (entry.md5, entry.blake3) == (hashlib.md5(data).digest(), blake3(data).digest())


def test_a_plain_file_beyond_the_limit_is_refused():
    limits = Limits(max_bytes=2**21, max_members=1, max_ratio=2)
    with pytest.raises(HostileInput, match=r"more than 2097152 bytes.*max_product_bytes"):
        store_file(io.BytesIO(_large()), path=NAME, base=BASE, batch=MemoryBatch(), limits=limits)


def test_a_plain_file_cannot_leave_its_folder():
    with pytest.raises(HostileInput, match="leave its folder"):
        store_file(io.BytesIO(b"x"), path="../x", base=BASE, batch=MemoryBatch(), limits=LIMITS)
