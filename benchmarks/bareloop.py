"""The least that anybody has to do with a product: download, unzip, fsync, copy. The peer of `benchmarks.pipeline`.

    python -m benchmarks.bareloop PORT THREADS FOLDER < PATHS

It knows nothing, verifies nothing and remembers nothing.
"""

from __future__ import annotations

import http.client
import io
import os
import shutil
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def main() -> None:
    port, threads, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    paths = sys.stdin.read().split()
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(take, port, paths[number::threads], folder) for number in range(threads)]:
            done.result()


def take(port: int, paths: list[str], folder: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for path in paths:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, (path, response.status)
        first, second = folder / "unzipped", folder / "copied"
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            archive.extractall(first)
            names = [name for name in archive.namelist() if not name.endswith("/")]
        for parent in dict.fromkeys((first / name).parent for name in names):
            flush(parent)
        for name in names:
            flush(first / name)
            (second / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(first / name, second / name)


def flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


if __name__ == "__main__":
    main()
