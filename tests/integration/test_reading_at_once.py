"""`Reader.read_now`: what is in memory is read without waiting, and nothing else is."""

from __future__ import annotations

import os
import random

from refsys.infra.storage.local import LocalStorage

DATA = random.Random(1).randbytes(3_000_000)


def test_what_was_just_written_is_in_memory(storage: LocalStorage) -> None:
    storage.put("a/b", DATA)
    reader = storage.open("a/b")
    assert reader.read_at(0, len(DATA)) == DATA
    found = reader.read_now(1_000_001, 500_000)
    reader.close()
    # a file system that cannot tell says None always; one that can may stop where a page is busy
    assert found is None or (found and found == DATA[1_000_001 : 1_000_001 + len(found)])


def test_behind_the_end_there_is_nothing(storage: LocalStorage) -> None:
    storage.put("a/b", DATA)
    reader = storage.open("a/b")
    assert reader.read_now(len(DATA), 10) is None
    assert reader.read_now(len(DATA) - 5, 10) in (None, DATA[-5:])
    reader.close()


def test_what_is_not_in_memory_is_left_to_those_who_can_wait(storage: LocalStorage) -> None:
    storage.put("a/b", DATA)
    path = storage.root / "a/b"
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    reader = storage.open("a/b")
    found = reader.read_now(2_000_000, 1000)
    assert found is None or found == DATA[2_000_000 : 2_000_000 + len(found)]
    assert reader.read_at(2_000_000, 1000) == DATA[2_000_000:2_001_000]
    reader.close()


def test_over_a_network_nothing_is_at_once(s3_gateway) -> None:
    storage = s3_gateway.storage()
    storage.put("a", b"x")
    reader = storage.open("a")
    assert reader.read_now(0, 1) is None
    assert reader.read_at(0, 1) == b"x"
