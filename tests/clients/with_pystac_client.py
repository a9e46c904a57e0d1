"""pystac-client: opened at /stac, as a user does who was told nothing else."""

from __future__ import annotations

import hashlib
from typing import Any

import requests
from blake3 import blake3
from pystac_client import Client

from tests.clients.telling import arguments, check_zip, doing, expect, watch

url, user, password, folder = arguments()
stac = Client.open(f"{url}/stac")
#: Multihash codes (multiformats table).
HASHES = {"d50110": hashlib.md5, "1220": hashlib.sha256, "1e20": blake3}


def token() -> str:
    form = {"grant_type": "password", "client_id": "cdse-public", "username": user, "password": password}
    answer = requests.post(f"{url}/auth/realms/CDSE/protocol/openid-connect/token", data=form, timeout=20)
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def names(**asked: Any) -> list[str]:
    return [item.id for item in stac.search(**asked).items()]


everything = []
with doing("browse") as told:
    collections = {collection.id: collection for collection in stac.get_collections()}
    missions = {name.split("-")[1] for name in collections if name.startswith("sentinel-")}
    expect({"1", "2", "3"} <= missions, f"three missions: {sorted(collections)}")
    told.append(f"{len(collections)} collections")
with doing("search") as told:
    everything = list(stac.search(limit=100).items())
    expect(len(everything) >= 30, f"{len(everything)} items")
    used = {item.collection_id for item in everything}
    told.append(f"{len(everything)} items of {len(used)} collections")
    one = next(item for item in everything if item.id.startswith("S2"))
    expect(names(ids=[one.id]) == [one.id], "an id finds its item")
    expect(one.id in names(collections=[one.collection_id], datetime=one.datetime), "collection and time")
    expect(one.id in names(bbox=one.bbox), "its box finds it")
    expect(one.id in names(intersects=one.geometry), "its geometry finds it")
    expect(one.id in names(intersects=one.geometry, method="GET"), "and by GET")
with doing("filter, sort, fields") as told:
    cloudy = {"op": "<=", "args": [{"property": "eo:cloud_cover"}, 100]}
    found = list(stac.search(filter=cloudy).items())
    expect(found and all(item.properties["eo:cloud_cover"] <= 100 for item in found), "CQL2 JSON")
    same = list(stac.search(filter="eo:cloud_cover <= 100", method="GET").items())
    expect({item.id for item in same} == {item.id for item in found}, "CQL2 text finds the same")
    times = [item.datetime for item in stac.search(sortby="-datetime").items()]
    expect(times == sorted(times, reverse=True), "newest first")
    few = next(stac.search(fields=["id", "properties.datetime"], max_items=1).items_as_dicts())
    expect("assets" not in few, "fields that were not wanted")
    queryables = stac.get_merged_queryables([one.collection_id])
    expect("eo:cloud_cover" in queryables["properties"], "queryables")
    told.append(f"{len(found)} with clouds, {len(queryables['properties'])} queryables")
with doing("page") as told:
    for method in ("GET", "POST"):
        ids = names(limit=7, method=method)
        expect(len(ids) == len(set(ids)) == len(everything), f"{method}: {len(ids)} of {len(everything)}")
    of_one = list(collections[everything[0].collection_id].get_items())
    expect(of_one, "a collection has items")
    told.append(f"{len(everything)} in pages of 7")
with doing("watch") as told:
    known = {item.id for item in everything}
    told.append(watch("pystac-client", lambda: [name for name in names(limit=100) if name not in known])[0])
with doing("download and verify") as told:
    headers = {"Authorization": f"Bearer {token()}"}
    checked = 0
    for prefix in ("S1A_IW", "S2", "S3"):
        item = next(item for item in everything if item.id.startswith(prefix))
        for key, asset in item.assets.items():
            if not asset.href.startswith("http"):
                continue
            answer = requests.get(asset.href, headers=headers, timeout=60)
            expect(answer.status_code == 200, f"{item.id} {key}: {answer.status_code}")
            if (size := asset.extra_fields.get("file:size")) is not None:
                expect(len(answer.content) == size, f"{item.id} {key}: {len(answer.content)} bytes, not {size}")
            if multihash := asset.extra_fields.get("file:checksum"):
                code, make = next((code, make) for code, make in HASHES.items() if multihash.startswith(code))
                digest = make(answer.content).hexdigest()
                expect(multihash == code + digest, f"{item.id} {key}: {multihash}")
                checked += 1
            if answer.headers["Content-Type"] == "application/zip":
                path = folder / f"{item.id}.zip"
                path.write_bytes(answer.content)
                check_zip(path)
    expect(checked >= 3, f"{checked} checksums")
    told.append(f"{checked} assets by their multihash")
with doing("refuse without a token"):
    package = next(each for each in everything[0].assets.values() if each.href.endswith("/$value"))
    expect(requests.get(package.href, timeout=20).status_code == 401, "no bytes for strangers")
