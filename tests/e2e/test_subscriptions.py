"""A product that a station offers reaches subscribers: by asking, at their endpoint, and in their stream."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import httpx

from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.storage import Storage
from refsys.missions import load_types
from refsys.web.app import create_app
from tests.bad_products import make_products
from tests.pipeline import running_pipeline
from tests.subscribing import QUICK, following, receiving
from tests.waiting import wait_for
from tests.web import served


async def test_every_published_product_reaches_every_subscriber(
    settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Storage, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"subscriptions": QUICK})
    app = create_app(pool=pool, storage=storage, types=load_types(), settings=settings)
    folder = tmp_path / "offers"
    folder.mkdir()
    made = make_products(tmp_path / "made", 4)
    names = sorted(product.name.removesuffix(".zip") for product in made)
    inbox = InboxSettings(id="folder", type="folder", url=str(folder), poll_s=0.1, stable_s=0.0)
    async with (
        receiving() as receiver,
        served(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/odata/v1/", timeout=30) as client,
        running_pipeline(settings, [inbox], pool=pool, dsn=dsn, storage=storage) as pipeline,
    ):
        pull = (await client.post("Subscriptions", json={})).json()["Id"]
        receiver.refuse(500)
        await client.post("Subscriptions", json={"NotificationEndpoint": receiver.url})
        other = {"FilterParam": "Collection/Name eq 'SENTINEL-3'"}
        nothing = (await client.post("Subscriptions", json=other)).json()["Id"]
        async with following(client, f"Subscriptions({pull})") as stream:
            for product in made:
                product.rename(folder / product.name)
            await pipeline.published(*names)
            await wait_for(lambda: len(receiver.taken) >= 4 and len(stream.events) >= 4)
        told = (await client.get(f"Subscriptions({pull})/Read?$top=20")).json()
        order = [row["name"] for row in await pool.fetch("SELECT name FROM catalogue.product ORDER BY feed_position")]
        assert sorted(order) == names
        assert [notification["ProductName"] for notification in told] == order
        assert receiver.names == order
        assert stream.names == order
        assert [event["AckId"] for event in stream.events] == [notification["AckId"] for notification in told]
        # what is told is what a search finds
        product = (await client.get(f"Products({told[0]['ProductId']})?$expand=Attributes,Assets,Locations")).json()
        assert told[0]["value"] == product
        assert (await client.get(f"Subscriptions({nothing})/Read")).json() == []
