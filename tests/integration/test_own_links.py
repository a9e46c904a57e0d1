"""Links that need no token: for one product, for a while, as the user who asked for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from refsys.infra.settings import AccessSettings, Settings, UserSettings
from tests.published import ONE, WHOLE, Server, publish, serving
from tests.stored_products import FRAME, GRD
from tests.waiting import wait_for

USERS = (
    UserSettings(name="anna", password=SecretStr("right")),
    UserSettings(name="ben", password=SecretStr("right"), rights=("search",)),
)
ANNA, BEN = ("anna", "right"), ("ben", "right")


@pytest.fixture
def signed(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": AccessSettings(user=USERS, anonymous="search")})


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


async def given(client: httpx.AsyncClient, server: Server, identity: object) -> tuple[str, str]:
    """Anna's link to the package, and what of it is secret."""
    answer = await client.get(f"{server.url}/odata/v1/Products({identity})/$link", auth=ANNA)
    assert answer.headers["cache-control"] == "no-store"
    link: str = answer.json()["Link"]
    assert link.startswith(server.value(identity) + "?link=")
    return link, link.rpartition("=")[2]


async def test_a_link_gives_the_bytes_of_its_product_and_nothing_else(signed, storage, pool, client, capsys) -> None:
    identity, other = await publish(pool, storage), await publish(pool, storage, ONE, FRAME)
    async with serving(pool, storage, signed) as server:
        link, text = await given(client, server, identity)
        root = f"{server.url}/odata/v1"
        assert (await client.get(server.value(identity))).status_code == 401
        assert (await client.get(link)).content == WHOLE
        part = await client.get(link, headers={"range": "bytes=9-", "authorization": "Bearer dead"})
        assert (part.status_code, part.content) == (206, WHOLE[9:])
        assert (await client.head(f"{root}/Products({identity})/$zip?a=b&link={text}")).status_code == 200
        file = f"{root}/Products('{identity}')/Nodes({GRD})/Nodes(manifest.safe)/$value?l%69nk={text}"
        assert (await client.get(file)).content == ONE["manifest.safe"]
        changed = text[:-4] + ("AAAA" if text[-4:] != "AAAA" else "BBBB")
        for url in (
            f"{server.value(other)}?link={text}",
            f"{server.value(identity)}?link={changed}",
            f"{server.value(identity)}?link=",
            f"{server.value(identity)}?link=%00%ff",
            f"{root}/Products({identity})/$link?link={text}",
            f"{root}/Products({other})/Nodes(Products({identity}))/$value?link={text}",
            f"{root}/Products({other})/Products({identity})/$value?link={text}",
        ):
            refused = await client.get(url)
            assert refused.status_code == 401, url
            assert refused.json()["error"]["message"].startswith("the link is not accepted: ")
    logged = capsys.readouterr()
    assert text not in logged.out + logged.err
    assert await pool.fetchval("SELECT downloads FROM distribution.volume WHERE user_name = 'anna'") == 3


async def test_only_those_get_links_who_may_download_what_is_there(signed, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    async with serving(pool, storage, signed) as server:
        url = f"{server.url}/odata/v1/Products({identity})/$link"
        assert (await client.get(url)).status_code == 401
        assert (await client.get(url, auth=BEN)).status_code == 403
        link, _ = await given(client, server, identity)
        await pool.execute("UPDATE catalogue.product SET visibility = 'internal'")
        assert (await client.get(url, auth=ANNA)).status_code == 404
        assert (await client.get(link)).status_code == 404


async def test_links_end_and_need_not_be_given(signed, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    async with serving(pool, storage, signed, own_link_s=1) as server:
        link, _ = await given(client, server, identity)

        async def is_over() -> bool:
            answer = await client.get(link, headers={"range": "bytes=0-0"})
            return answer.status_code == 401 and "it is over" in answer.text

        await wait_for(is_over)
    async with serving(pool, storage, signed, own_link_s=0) as server:
        assert (await client.get(f"{server.url}/odata/v1/Products({identity})/$link", auth=ANNA)).status_code == 404
