"""Distribution's stages at work on products that are described: what they publish, park and leave in storage."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg

from refsys.catalogue import service as catalogue
from refsys.catalogue import store
from refsys.catalogue.model import Product
from refsys.distribution import service
from refsys.infra.storage import Reader, Storage
from refsys.infra.storage.local import LocalStorage
from tests.stored_products import FRAME, TYPES
from tests.waiting import wait_for
from tests.working import running


@contextlib.asynccontextmanager
async def worker(dsn: str, pool: asyncpg.Pool, storage: Storage, **times: Any) -> AsyncIterator[None]:
    """Runs distribution's stages and the catalogue's deletion of what was discarded."""
    of_catalogue = [stage for stage in catalogue.stages(pool, storage, TYPES) if stage.name == "catalogue.discard"]
    async with running(dsn, pool, *service.stages(pool, storage, TYPES), *of_catalogue, max_attempts=2, **times):
        yield


async def fetch(pool: asyncpg.Pool, identity: UUID) -> Product:
    async with pool.acquire() as connection:
        product = await store.fetch_product(connection, identity)
    assert product is not None
    return product


async def published(pool: asyncpg.Pool, identity: UUID) -> Product:
    async def look() -> Product | None:
        product = await fetch(pool, identity)
        return product if product.state == "published" else None

    found: Product = await wait_for(look, 20, "published")
    return found


async def parked(pool: asyncpg.Pool) -> dict[str, Any]:
    """The error of the one step that is parked."""
    found = "SELECT error FROM work.step WHERE state = 'parked'"
    error: dict[str, Any] = await wait_for(lambda: pool.fetchval(found), 20, "parked")
    return error


def keys(storage: Storage, prefix: str = "") -> set[str]:
    return {info.key for info in storage.list(prefix)}


class Gated(LocalStorage):
    """Storage in which the reader of one file, once opened, is held until the test lets it go."""

    def __init__(self, storage: LocalStorage, at: str, name: str = FRAME) -> None:
        super().__init__(storage.root)
        self.reached = threading.Event()
        self.gate = threading.Event()
        self.opened: list[str] = []
        self._at = at
        self._name = name

    def open(self, key: str) -> Reader:
        reader = super().open(key)
        self.opened.append(key.partition(f"/{self._name}/")[2])
        if key.endswith(f"/{self._at}") and not self.reached.is_set():
            self.reached.set()
            assert self.gate.wait(20)
        return reader
