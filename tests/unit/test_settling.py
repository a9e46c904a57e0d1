"""When a file that only lies there counts as whole."""

from __future__ import annotations

from datetime import UTC, datetime

from refsys.ingestion.protocols.filedrop import is_path, products_of
from refsys.ingestion.protocols.settling import Entry, Settling, listed_by_dsib

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
CHANNEL = "S1A/DCS_04_S1A_20241114143038056552_dat/ch_1"
DSIB = f"{CHANNEL}/DCS_04_S1A_20241114143038056552_ch1_DSIB.xml"


def entry(path: str, size: int = 10, version: str = "1/x") -> Entry:
    return Entry(path, size, NOON, version)


def block(number: int, size: int = 10) -> Entry:
    return entry(f"{CHANNEL}/DCS_04_S1A_20241114143038056552_ch1_DSDB_{number:05}.raw", size)


def dsib_of(*blocks: Entry, size: int | None = None) -> bytes:
    names = "".join(f"<dsdb_name>{each.name}</dsdb_name>" for each in blocks)
    size = sum(each.size_bytes or 0 for each in blocks) if size is None else size
    return (
        f"<DCSU_Session_Information_Block><session_id>S1A</session_id><data_size>{size}</data_size><dsdb_list>{names}</dsdb_list>"
        "</DCSU_Session_Information_Block>"
    ).encode()


def test_a_file_settles_once_two_looks_so_far_apart_saw_it_the_same() -> None:
    settling = Settling(2.0)
    assert settling.unsettled([entry("a")], 0, 1) == {"a"}
    assert settling.unsettled([entry("a")], 2.9, 3) == {"a"}  # only 1.9 s lie between the two
    assert settling.unsettled([entry("a")], 3.1, 4) == set()
    assert settling.unsettled([entry("a", version="2/x")], 9, 9) == {"a"}  # it grows again
    assert settling.unsettled([], 10, 10) == set()
    assert settling.unsettled([entry("a", version="2/x")], 20, 20) == {"a"}  # it was away meanwhile


def test_what_a_listing_tells_beside_the_version_counts_as_growing() -> None:
    settling = Settling(1.0)
    settling.unsettled([Entry("a", 10, NOON, "10/2026-01-02", "Jan 2 12:00")], 0, 0)
    assert settling.unsettled([Entry("a", 10, NOON, "10/2026-01-02", "Jan 2 12:01")], 5, 5) == {"a"}


def test_nothing_is_waited_for_where_nothing_is_asked() -> None:
    assert Settling(0).unsettled([entry("a")], 0, 0) == set()


def test_what_the_dsib_of_its_channel_lists_is_whole() -> None:
    blocks = [block(1), block(2), block(3)]
    other = entry("S1A/DCS_04_S1A_20241114143038056552_dat/ch_2/DCS_04_S1A_20241114143038056552_ch2_DSDB_00001.raw")
    dsib = entry(DSIB)
    there = [*blocks, other, dsib]
    paths = {each.path for each in there}
    found = listed_by_dsib(there, paths, lambda _: dsib_of(*blocks))
    assert found == paths - {other.path}


def test_a_dsib_that_is_not_borne_out_releases_nothing() -> None:
    blocks = [block(1), block(2)]
    there = [*blocks, entry(DSIB)]
    paths = {each.path for each in there}
    for told in (
        dsib_of(*blocks, size=21),  # the last block still grows
        dsib_of(*blocks, block(3)),  # a block is not there yet
        dsib_of(*blocks)[:-5],  # the DSIB itself still grows
        dsib_of(),
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><a/>",
    ):
        assert listed_by_dsib(there, paths, lambda _, told=told: told) == set()
    assert listed_by_dsib(blocks, paths, lambda _: dsib_of(*blocks)) == set()


def test_a_dsib_is_read_only_where_something_waits_for_it() -> None:
    def read(_: Entry) -> bytes:
        raise AssertionError("was read")

    assert listed_by_dsib([block(1), entry(DSIB)], set(), read) == set()


def test_a_folder_of_a_product_changes_with_each_of_its_files() -> None:
    files = [entry("A.SEN3/x"), entry("A.SEN3/y/z"), entry("B.zip")]
    folder, single = products_of(files)
    assert (folder.path, folder.size_bytes, single) == ("A.SEN3", 20, files[2])
    for changed in ([*files, entry("A.SEN3/new")], files[1:], [entry("A.SEN3/x", version="2/x"), *files[1:]]):
        assert products_of(changed)[0].version != folder.version
    assert products_of(reversed(files))[1].version == folder.version


def test_paths_that_lead_elsewhere_are_none() -> None:
    assert all(map(is_path, ["a", "a/b c", "ü%41", "line\nbreak", ".hidden", "..."]))
    assert not any(map(is_path, ["", "/a", "a/", "a//b", "../a", "a/..", "./a", "a\0", "\udcff", "x" * 1001]))
