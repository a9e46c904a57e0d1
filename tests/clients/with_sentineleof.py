"""sentineleof: its three addresses are constants of a module, and are set to this system's."""

from __future__ import annotations

from datetime import datetime

import requests
from eof import dataspace_client
from eof.dataspace_client import DataspaceClient
from eof.parsing import parse_orbit

from tests.clients.telling import arguments, doing, expect, md5, watch

url, user, password, folder = arguments()
dataspace_client.QUERY_URL = f"{url}/odata/v1/Products"
dataspace_client.DOWNLOAD_URL = f"{url}/odata/v1/Products"
dataspace_client.AUTH_URL = f"{url}/auth/realms/CDSE/protocol/openid-connect/token"


def orbits() -> list[dict[str, object]]:
    """Every orbit file, oldest first."""
    asked = {"$filter": "contains(Name,'AUX_RESORB')", "$orderby": "ContentDate/Start asc"}
    answer = requests.get(f"{url}/odata/v1/Products", params=asked, timeout=20)
    answer.raise_for_status()
    return list(answer.json()["value"])


def middle(orbit: dict[str, dict[str, str]]) -> datetime:
    start, end = (datetime.fromisoformat(orbit["ContentDate"][each].replace("Z", "")) for each in ("Start", "End"))
    return start + (end - start) / 2


known = orbits()
results: list[dict[str, object]] = []
with doing("search") as told:
    times = [middle(each) for each in known]
    results = DataspaceClient.query_orbit_by_dt(times, ["S1A"] * len(times), orbit_type="restituted")
    expect([each["Id"] for each in results] == [each["Id"] for each in known], "each time has its orbit file")
    told.append(f"{len(results)} orbit files")
with doing("watch") as told:

    def look() -> list[dict[str, object]]:
        newer = [each for each in orbits() if each["Id"] not in {one["Id"] for one in known}]
        return newer and DataspaceClient.query_orbit_by_dt([middle(newer[0])], ["S1A"], orbit_type="restituted")

    told.append(watch("sentineleof", look)[0]["Name"])
with doing("sign in"):
    expect(not DataspaceClient(username=user, password="wrong"), "a wrong password is refused")
    client = DataspaceClient(username=user, password=password)
    expect(client, "there is a token")
paths = []
with doing("download") as told:
    paths = client.download_all(results, folder)
    told.append(f"{len(paths)} files")
with doing("verify") as told:
    expect(len(paths) == len(results), "as many came as were found")
    for path, result in zip(paths, results, strict=True):
        sums = {entry["Algorithm"]: entry["Value"] for entry in result["Checksum"]}
        expect((path.stat().st_size, md5(path)) == (result["ContentLength"], sums["MD5"]), path.name)
        vectors = parse_orbit(path, extra_osvs=0)
        expect(
            len(vectors) > 100 and all(len(vector) == 7 for vector in vectors), f"{path.name}: {len(vectors)} states"
        )
    told.append("sizes and MD5, and they are read")
