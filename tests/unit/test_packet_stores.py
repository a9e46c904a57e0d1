"""Sentinel-1's packet stores: what AUX_OBMEMC says of them, and the timeliness of what lay in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from refsys.core.errors import InvalidProduct
from refsys.missions import load_types
from refsys.missions.packet_stores import PacketStore, read_memory, timeliness_of_stores
from tests.level0_manifests import memory_map

TABLE = load_types().packet_stores
REAL = "S1A_OPER_AUX_OBMEMC_PDMC_20140201T000000.xml"


def timeliness(stores: list[str], kinds: dict[int, str] | None) -> tuple[str, list[str]]:
    memory = None if kinds is None else read_memory(memory_map(kinds), "memory")
    added, problems = timeliness_of_stores({"packetStoreID": stores}, memory, TABLE)
    return added["timeliness"], problems


def test_the_real_memory_map_says_near_real_time_for_the_stores_of_the_golden_segments(shared_data: Path) -> None:
    memory = read_memory((shared_data / "auxiliary" / REAL).read_bytes(), REAL)
    assert len(memory) == 51
    assert {memory[number].kind for number in range(21, 45)} == {"NRT"}
    assert memory[22] == PacketStore(22, 22, "NRT", "V")
    assert memory[50] == PacketStore(50, 63, "Filler", "")
    for stores, expected in ((["22", "37"], "NRT"), (["21"], "NRT"), (["19"], "FAST24"), (["19", "1"], "PT")):
        added, problems = timeliness_of_stores({"packetStoreID": stores}, memory, TABLE)
        assert (added, problems) == ({"timeliness": expected}, [])


@pytest.mark.parametrize(
    ("stores", "expected"),
    [
        (["22", "37"], "PT"),
        (["21"], "FAST24"),
        (["0"], "PT"),
        (["2", "5"], "FAST24"),
        (["6"], "NRT"),
        (["18", "19"], "NRT"),
        (["36"], "FAST24"),
        (["44"], "PT"),
        (["45", "49"], "NRT"),
        (["50"], "FAST24"),
    ],
)
def test_without_a_memory_map_the_tables_say_it_and_that_is_told(stores: list[str], expected: str) -> None:
    found, problems = timeliness(stores, None)
    assert found == expected
    assert len(problems) == 1
    assert problems[0].startswith("no AUX_OBMEMC covers its sensing")


@pytest.mark.parametrize("store", ["51", "99999", "x", "-1", "²"])
def test_an_unknown_store_counts_as_the_slowest_and_is_told(store: str) -> None:
    for kinds in ({22: "NRT"}, None):
        found, problems = timeliness([store], kinds)
        assert found == "FAST24"
        assert problems[-1].endswith("is unknown; its timeliness is taken for FAST24")
    assert timeliness([store, "22"], {22: "NRT"})[0] == "NRT"


def test_a_kind_of_store_that_no_table_knows_is_told() -> None:
    found, problems = timeliness(["7"], {7: "Turbo"})
    assert (found, problems) == (
        "FAST24",
        ["packet store '7' is of the unknown kind 'Turbo'; its timeliness is taken for FAST24"],
    )
    assert timeliness(["7"], {7: "passthrough"}) == ("PT", [])


def test_entries_that_say_nothing_are_left_out_and_what_is_no_xml_is_refused() -> None:
    entries = "<a><PacketStoreAssociation><PacketStoreId>PS-x</PacketStoreId></PacketStoreAssociation></a>"
    assert read_memory(entries.encode(), "memory") == {}
    with pytest.raises(InvalidProduct):
        read_memory(b"no", "memory")


def test_a_user_can_say_what_a_kind_of_store_means(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("packet_stores: {Standard: {first: 21, last: 60, timeliness: NRT}}\n")
    added, _ = timeliness_of_stores({"packetStoreID": ["55"]}, None, load_types([tmp_path]).packet_stores)
    assert added == {"timeliness": "NRT"}
