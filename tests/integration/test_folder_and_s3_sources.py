"""Folders and prefixes of buckets as inboxes: what is listed, held, read and resumed."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import obstore
import pytest
from aiohttp import web
from obstore.store import S3Store
from pydantic import SecretStr

from refsys.core.errors import Gone, HostileInput, Transient, Unreachable
from refsys.infra.settings import AuthSettings
from refsys.ingestion.protocols import s3
from tests.file_drops import begin, drained, look, opened, read
from tests.s3_gateway import ACCESS_KEY, SECRET_KEY, Gateway
from tests.stranger import stranger
from tests.waiting import wait_for

BYTES = random.Random(2).randbytes(300_000)
SESSION = "DCS_04_S1A_20241114143038056552"
CHANNEL = f"S1A/{SESSION}_dat/ch_1"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "drop"
    made.mkdir()
    return made


def folder(place: Path, **changes: Any) -> dict[str, Any]:
    return {"type": "folder", "url": str(place), **changes}


def put(path: Path, data: bytes = BYTES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


async def test_a_folder_of_sessions_offers_its_files_and_others_are_products(place: Path) -> None:
    put(place / CHANNEL / f"{SESSION}_ch1_DSDB_00001.raw")
    put(place / CHANNEL / "notes.txt", b"12345")
    put(place / f"{SESSION}_ch2_DSDB_00001.raw")
    put(place / "X.SEN3" / "deep" / "data.nc")
    async with opened(**folder(place, retransfer=True)) as source:
        found, is_whole = await look(source)
        assert is_whole
        assert found.keys() == {
            f"{CHANNEL}/{SESSION}_ch1_DSDB_00001.raw",
            f"{CHANNEL}/notes.txt",
            f"{SESSION}_ch2_DSDB_00001.raw",
            "X.SEN3",
        }
        block = found[f"{CHANNEL}/{SESSION}_ch1_DSDB_00001.raw"]
        assert block.session is not None
        assert (block.name, block.session.retransfer) == (f"{SESSION}_ch1_DSDB_00001.raw", True)
        assert await read(source, block) == BYTES
        (part,) = source.parts(found["X.SEN3"])
        assert (part.path, part.size_bytes) == ("deep/data.nc", len(BYTES))
        assert await read(source, found["X.SEN3"], part) == BYTES


async def test_a_file_of_a_folder_is_read_from_anywhere(place: Path) -> None:
    path = put(place / "a.raw")
    async with opened(**folder(place)) as source:
        offer = (await look(source))[0]["a.raw"]
        first = await begin(source, offer)
        assert (first.start, first.size_bytes) == (0, len(BYTES))
        assert drained(await begin(source, offer, start=1000, stop=5000, tag=first.tag)) == BYTES[1000:5000]
        first.close()
        with pytest.raises(OSError, match="closed"):
            first.readinto(memoryview(bytearray(10)))
        shrinking = await begin(source, offer)
        put(path, BYTES[:10])
        with pytest.raises(OSError, match="ends at byte 10"):
            drained(shrinking)
        other = await begin(source, offer, start=5, tag=first.tag)
        assert (other.start, other.tag == first.tag) == (0, False)
        other.close()
        with pytest.raises(Transient, match="changed since it was listed"):
            source.parts(offer)
        path.unlink()
        with pytest.raises(Gone):
            source.parts(offer)
        with pytest.raises(Gone):
            await begin(source, offer)


async def test_links_below_a_folder_s_entries_lead_nowhere(place: Path, tmp_path: Path) -> None:
    secret = put(tmp_path / "secret" / f"{SESSION}_ch1_DSDB_00009.raw", b"not yours")
    block = put(place / CHANNEL / f"{SESSION}_ch1_DSDB_00001.raw")
    (block.parent / f"{SESSION}_ch1_DSDB_00002.raw").symlink_to(secret)
    put(place / "X.SEN3" / "data.nc")
    (place / "X.SEN3" / "link.nc").symlink_to(secret)
    async with opened(**folder(place)) as source:
        found, _ = await look(source)
        assert found.keys() == {f"{CHANNEL}/{block.name}", "X.SEN3"}
        with pytest.raises(HostileInput, match="is a link"):
            source.parts(found["X.SEN3"])
        # the folder becomes a link between listing and reading
        offer = found[f"{CHANNEL}/{block.name}"]
        block.unlink()
        (block.parent / block.name).symlink_to(secret)
        with pytest.raises(HostileInput, match="is a link"):
            await begin(source, offer)
        for path in list(block.parent.iterdir()):
            path.unlink()
        block.parent.rmdir()
        put(tmp_path / "secret" / block.name, b"nor this")
        block.parent.symlink_to(tmp_path / "secret", target_is_directory=True)
        with pytest.raises((HostileInput, Gone)):
            await begin(source, offer)


async def test_what_may_not_be_looked_into_hides_nothing_else(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(place / "a.raw")
    put(place / "lost+found" / "x")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for ignore, is_whole in ((".*found", True), ("", False)):
        async with opened(**folder(place, ignore=ignore)) as source:
            assert (await look(source))[0].keys() == {"a.raw"}
            assert (await look(source))[1] == is_whole


async def test_a_folder_that_is_not_there_is_told(place: Path) -> None:
    async with opened(**folder(place / "nowhere")) as source:
        with pytest.raises(Transient, match="cannot be looked into"):
            await look(source)


@pytest.fixture
def bucket(s3_gateway: Gateway) -> tuple[S3Store, Callable[..., dict[str, Any]]]:
    """A prefix in a new bucket, and the inbox for it."""
    name = s3_gateway.new_bucket()
    known = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY, "region": "us-east-1"}
    store = S3Store(name, endpoint=s3_gateway.endpoint, client_options={"allow_http": True}, **known)  # fmt: skip

    def inbox(**changes: Any) -> dict[str, Any]:
        auth = AuthSettings(kind="basic", user=ACCESS_KEY, password=SecretStr(SECRET_KEY))
        return {
            "type": "s3",
            "url": f"s3://{name}/in/box",
            "endpoint": s3_gateway.endpoint,
            "auth": auth,
            **changes,
        }

    return store, inbox


Bucket = tuple[S3Store, Callable[..., dict[str, Any]]]


async def test_objects_under_a_prefix_are_offered_and_read(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_CHUNK", 100_000)
    store, inbox = bucket
    names = [f"{CHANNEL}/{SESSION}_ch1_DSDB_00001.raw", "sp ace/ü%41+&.raw", ".hidden"]
    for name in names:
        obstore.put(store, f"in/box/{name}", BYTES)
    obstore.put(store, "in/boxer/other.raw", BYTES)
    obstore.put(store, "in/box/empty.raw", b"")
    async with opened(**inbox()) as source:
        found, is_whole = await look(source)
        assert is_whole
        assert found.keys() == {*names, "empty.raw"}
        assert found["empty.raw"].held == "it is empty"
        block = found[names[0]]
        assert block.session is not None
        for name in names:
            assert await read(source, found[name]) == BYTES
        first = await begin(source, block)
        assert (first.start, first.size_bytes) == (0, len(BYTES))
        first.close()
        for start, stop in ((1, None), (150_000, 250_001), (len(BYTES) - 1, None), (len(BYTES), None), (7, 7)):
            more = await begin(source, block, start=start, stop=stop, tag=first.tag)
            assert (more.start, more.tag) == (start, first.tag)
            assert drained(more) == BYTES[start:stop]


async def test_an_object_that_is_another_by_now_begins_at_its_beginning(bucket: Bucket) -> None:
    store, inbox = bucket
    obstore.put(store, "in/box/a.raw", BYTES)
    async with opened(**inbox()) as source:
        before = (await look(source))[0]["a.raw"]
        first = await begin(source, before)
        first.close()
        obstore.put(store, "in/box/a.raw", BYTES[::-1])
        assert (await look(source))[0]["a.raw"].version != before.version
        for start in (1000, len(BYTES)):
            other = await begin(source, before, start=start, tag=first.tag)
            assert other.start == 0
            assert drained(other) == BYTES[::-1]
        obstore.put(store, "in/box/a.raw", BYTES[1:])
        with pytest.raises(Transient, match="changed since it was listed"):
            await begin(source, before)
        obstore.delete(store, "in/box/a.raw")
        with pytest.raises(Gone):
            await begin(source, before)


async def test_an_object_that_changes_while_it_is_read_is_told(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_CHUNK", 10_000)
    store, inbox = bucket
    obstore.put(store, "in/box/a.raw", BYTES)
    async with opened(**inbox()) as source:
        stream = await begin(source, (await look(source))[0]["a.raw"])
        obstore.put(store, "in/box/a.raw", BYTES[::-1])
        with pytest.raises(OSError, match="PreconditionFailed"):
            await asyncio.to_thread(drained, stream)


async def test_folders_in_a_bucket_can_be_the_products(bucket: Bucket) -> None:
    store, inbox = bucket
    for name in ("X.SEN3/manifest.xml", "X.SEN3/deep/data.nc", "single.EOF"):
        obstore.put(store, f"in/box/{name}", BYTES)
    async with opened(**inbox(directories=True)) as source:
        found, _ = await look(source)
        assert found.keys() == {"X.SEN3", "single.EOF"}
        parts = await asyncio.to_thread(source.parts, found["X.SEN3"])
        assert {part.path for part in parts} == {"manifest.xml", "deep/data.nc"}
        for part in parts:
            assert await read(source, found["X.SEN3"], part) == BYTES
        obstore.put(store, "in/box/X.SEN3/late.nc", BYTES)
        with pytest.raises(Transient, match="changed since it was listed"):
            await asyncio.to_thread(source.parts, found["X.SEN3"])


async def test_what_grows_in_a_bucket_is_held(bucket: Bucket) -> None:
    store, inbox = bucket
    obstore.put(store, "in/box/a.raw", BYTES[:10])
    async with opened(**inbox(stable_s=0.05)) as source:
        assert (await look(source))[0]["a.raw"].held
        obstore.put(store, "in/box/a.raw", BYTES)
        assert (await look(source))[0]["a.raw"].held

        async def is_taken() -> bool:
            return not (await look(source))[0]["a.raw"].held

        await wait_for(is_taken)


async def test_a_bucket_that_refuses_is_told(bucket: Bucket) -> None:
    _, inbox = bucket
    wrong = AuthSettings(kind="basic", user=ACCESS_KEY, password=SecretStr("wr0ng"))
    for changes, told in (
        ({"auth": wrong}, "check user"),
        ({"auth": AuthSettings()}, "check user"),
        ({"endpoint": "http://127.0.0.1:9"}, "is it up"),
    ):
        async with opened(**inbox(**changes)) as source:
            with pytest.raises(Unreachable, match=told) as caught:
                await look(source)
        assert "wr0ng" not in str(caught.value)


def listed(*keys: str, more: bool = False) -> str:
    """A page of a listing."""
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-11-25T14:00:00.000Z</LastModified><ETag>1</ETag>"
        f"<Size>{0 if key.endswith('/') else 5}</Size></Contents>"
        for key in keys
    )
    token = "<NextContinuationToken>next</NextContinuationToken>" * more
    return f'<?xml version="1.0"?><ListBucketResult><Name>bucket</Name>{contents}{token}</ListBucketResult>'


async def test_a_listing_of_a_bucket_that_breaks_off_is_none() -> None:
    async with stranger() as other:
        pages = iter([listed("in/a.raw", more=True)])
        other.answers["/bucket"] = lambda request: (
            web.Response(text=page) if (page := next(pages, "")) else web.Response(status=400)
        )
        async with opened(type="s3", url="s3://bucket/in", endpoint=other.url) as source:
            with pytest.raises(Unreachable):
                await look(source)


async def test_keys_that_mark_folders_are_left_out_and_odd_ones_are_told() -> None:
    async with stranger() as other:
        keys = ["in/deep/", "in/deep/b.raw", "in/a.raw"]
        other.answers["/bucket"] = lambda request: web.Response(text=listed(*keys))
        async with opened(type="s3", url="s3://bucket/in", endpoint=other.url) as source:
            found, is_whole = await look(source)
            assert is_whole
            assert found.keys() == {"a.raw", "deep/b.raw"}
            for odd in ("in//double.raw", "in/../up.raw", "in/new&#10;line.raw"):
                keys[-1] = odd
                with pytest.raises(Transient, match="key is no path"):
                    await look(source)
