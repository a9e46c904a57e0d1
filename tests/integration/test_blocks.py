"""Blocks of sessions on their way to publication: large, internal, and read by nobody but production."""

from __future__ import annotations

import hashlib
from pathlib import Path

import asyncpg
import pytest

from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.storage import Reader, Storage
from tests.pipeline import running_pipeline

BLOCK = "DCS_01_S1A_20200105072204030888_ch1_DSDB_00001.raw"
DATA = bytes(range(256)) * 100


async def test_a_block_gets_the_checksums_that_were_taken_as_it_came(
    settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    before = storage.open

    def noted(key: str) -> Reader:
        opened.append(key)
        return before(key)

    monkeypatch.setattr(storage, "open", noted)
    place = tmp_path / "inbox"
    place.mkdir()
    (place / BLOCK).write_bytes(DATA)
    inbox = InboxSettings(id="folder", type="folder", url=str(place), poll_s=0.05, stable_s=0.1)
    async with running_pipeline(settings, [inbox], pool=pool, dsn=dsn, storage=storage) as pipeline:
        [product] = await pipeline.published(BLOCK)
    assert (product["visibility"], product["package_name"], product["package_size"]) == ("internal", BLOCK, len(DATA))
    assert product["package_md5"] == hashlib.md5(DATA).digest()
    assert opened == []


async def test_a_block_that_is_not_where_it_was_written_is_not_published(
    settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = storage.move

    def cut(source: str, target: str, paths: list[str]) -> None:
        move(source, target, paths)
        storage.put(f"{target}/{paths[0]}", DATA[:-1])

    monkeypatch.setattr(storage, "move", cut)
    place = tmp_path / "inbox"
    place.mkdir()
    (place / BLOCK).write_bytes(DATA)
    inbox = InboxSettings(id="folder", type="folder", url=str(place), poll_s=0.05, stable_s=0.1)
    async with running_pipeline(settings, [inbox], pool=pool, dsn=dsn, storage=storage) as pipeline:
        error = await pipeline.parked(BLOCK)
    assert "25599 bytes in storage, 25600 were written" in error["message"]
