"""Of an image with its inventory in it, as much is read as the inventory needs, however large it is."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

from refsys.catalogue.model import Content
from refsys.catalogue.service import examine
from refsys.core.products import FileEntry
from refsys.infra.storage.local import LocalStorage
from refsys.missions import load_types
from tests.sentinel2_parts import inventory, picture

NAME = "S2B_OPER_MSI_L1C_TC_EPAE_20191001T102654_A013417_T39UWP_N02.08.jp2"
SIZE = 300 * 2**20


def test_an_image_of_300_megabytes_is_not_read_whole(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.put(f"incoming/{NAME}", picture(inventory({"File_Type": "MSI_L1C_TC", "Start_Orbit_Number": "013417"})))
    with (tmp_path / "incoming" / NAME).open("r+b") as file:
        file.truncate(SIZE)
    content = Content(
        id=1,
        name=NAME,
        base="incoming",
        source="test",
        mission=None,
        on_change="park",
        completeness="strict",
        available_at=None,
        t0_raw=None,
        origin_size=None,
        origin_checksums={},
        size=SIZE,
        digest=b"",
        found_at=None,
        stored_at=datetime.now(UTC),
        discarded_at=None,
        inputs=[],
        in_place=False,
    )
    tracemalloc.start()
    description = examine(load_types().recognise(NAME), storage, content, [FileEntry(NAME, SIZE)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert description.attributes["orbitNumber"] == 13417
    assert peak < 16 * 2**20
