"""Products that lay in storage before the system knew them: published where they lie, and downloaded byte for byte."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path

import asyncpg
import httpx
import pytest

from refsys.infra.settings import Settings
from refsys.infra.storage import Storage
from refsys.infra.storage.s3 import S3Storage
from refsys.missions import load_types
from refsys.simulation.samples import make_samples
from refsys.web.app import create_app
from tests.main_called import caller
from tests.pipeline import running_pipeline
from tests.s3_gateway import ACCESS_KEY, SECRET_KEY
from tests.web import served


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, storage: Storage, settings: Settings) -> tuple[Storage, dict[str, str]]:
    """Storage, and the settings that name it for the command."""
    if request.param == "local":
        return storage, {"REFSYS_STATE_DIR": str(settings.state_dir)}
    gateway = request.getfixturevalue("s3_gateway")
    url = f"s3://{gateway.new_bucket()}"
    return S3Storage.of(url, gateway.settings), {
        "REFSYS_STORAGE_URL": url,
        "REFSYS_S3__ENDPOINT": gateway.endpoint,
        "REFSYS_S3__ACCESS_KEY_ID": ACCESS_KEY,
        "REFSYS_S3__SECRET_ACCESS_KEY": SECRET_KEY,
        "REFSYS_S3__ALLOW_HTTP": "true",
    }


def files_of(product: Path) -> dict[str, bytes]:
    """Path that begins with the product's name → bytes."""
    paths = [product] if product.is_file() else [path for path in product.rglob("*") if path.is_file()]
    return {path.relative_to(product.parent).as_posix(): path.read_bytes() for path in paths}


async def test_a_bucket_is_taken_over_in_place(
    place: tuple[Storage, dict[str, str]],
    settings: Settings,
    pool: asyncpg.Pool,
    dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    storage, named = place
    # a Sentinel-1 scene at the top, the others deeper
    products = {product.name: files_of(product) for product in make_samples(tmp_path / "samples", count=5)}
    bases = {name: "rs-products/2024" if number else "" for number, name in enumerate(products)}
    with storage.batch() as batch:
        for name, files in products.items():
            for path, data in files.items():
                batch.put(f"{bases[name]}/{path}" if bases[name] else path, data)
    before = {info.key: info.modified_at for info in storage.list("")}
    call = caller(tmp_path, monkeypatch, capsys)
    async with running_pipeline(settings, [], pool=pool, dsn=dsn, storage=storage) as pipeline:
        told = await asyncio.to_thread(call, "import", "bucket", REFSYS_DATABASE_URL=dsn, **named)
        assert "5 entered" in told.stdout
        rows = await pipeline.published(*products)
        await pipeline.idle()
        again = await asyncio.to_thread(call, "import", "bucket", REFSYS_DATABASE_URL=dsn, **named)
        assert "5 already there" in again.stdout
    assert {info.key: info.modified_at for info in storage.list("")} == before, "nothing was moved, written or deleted"
    app = create_app(pool=pool, storage=storage, types=load_types(), settings=settings)
    async with served(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/odata/v1") as client:
        for row in rows:
            files, base = products[row["name"]], bases[row["name"]]
            listed = (await client.get(f"/Products({row['id']})")).json()
            assert listed["S3Path"] == "/" + "/".join(filter(None, (base, row["name"])))
            whole = (await client.get(f"/Products({row['id']})/$value")).content
            if row["packaging"] == "bare":
                assert {row["name"]: whole} == files
                continue
            with zipfile.ZipFile(io.BytesIO(whole)) as package:
                members = {info.filename: package.read(info) for info in package.infolist() if not info.is_dir()}
            assert members == files
