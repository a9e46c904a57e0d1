"""CDSETool. Its hosts are fixed in its code: an adapter of requests sends what is for them to this system.

Its credentials take the address of the realm as an argument.
"""

from __future__ import annotations

import zipfile
from typing import Any

import requests
from cdsetool.credentials import Credentials, InvalidCredentialsException
from cdsetool.download import download_feature, download_features
from cdsetool.query import describe_collection, get_product_attribute, query_features
from requests.adapters import HTTPAdapter

from tests.clients.telling import arguments, check_zip, doing, expect, md5, watch

url, user, password, folder = arguments()
HUB = ("https://catalogue.dataspace.copernicus.eu", "https://download.dataspace.copernicus.eu")


class Elsewhere(HTTPAdapter):
    """Sends what is meant for the hub to this system."""

    def send(self, request: requests.PreparedRequest, *words: Any, **named: Any) -> requests.Response:
        for host in HUB:
            request.url = (request.url or "").replace(host, url)
        return super().send(request, *words, **named)


make_session = Credentials.make_session


def make_session_elsewhere(*words: Any, **named: Any) -> requests.Session:
    session = make_session(*words, **named)
    for host in HUB:
        session.mount(host, Elsewhere(max_retries=session.get_adapter(host).max_retries))
    return session


Credentials.make_session = staticmethod(make_session_elsewhere)
REALM = f"{url}/auth/realms/CDSE/.well-known/openid-configuration"
ALWAYS = {"contentDateStartGe": "2020-01-01", "contentDateEndLe": "2030-01-01"}
ONCE = {"max_attempts": 1, "expand_attributes": True}

features = []
with doing("search") as told:
    for collection in ("SENTINEL-1", "SENTINEL-2", "SENTINEL-3"):
        query = query_features(collection, ALWAYS, options=ONCE)
        expect(len(query) >= 8, f"{collection}: {len(query)}")
        expect(len(list(query)) == len(query), f"{collection}: as many came as were counted")
        told.append(f"{collection} {len(query)}")
        features += list(query)[:4]
with doing("search by attributes and area"):
    images = query_features("SENTINEL-2", {**ALWAYS, "productType": "S2MSI1C", "cloudCover": "[0,100]"}, options=ONCE)
    kinds = {get_product_attribute(each, "productType") for each in images}
    expect(kinds == {"S2MSI1C"}, f"only those: {kinds}")
    world = "POLYGON((-179 -89,179 -89,179 89,-179 89,-179 -89))"
    expect(
        len(query_features("SENTINEL-1", {**ALWAYS, "geometry": world}, options=ONCE)) >= 4, "the world has products"
    )
    terms = describe_collection("SENTINEL-1") or {}
    expect("orbitNumber" in terms, "attributes are described")
with doing("page") as told:
    query = query_features("SENTINEL-1", {**ALWAYS, "top": 3}, options=ONCE)
    ids = [each["Id"] for each in query]
    expect(len(ids) == len(set(ids)) == len(query), f"{len(ids)} of {len(query)}")
    told.append(f"{len(ids)} in pages of 3")
with doing("sign in") as told:
    try:
        Credentials(user, "wrong", openid_configuration_endpoint=REALM)
    except InvalidCredentialsException:
        told.append("and a wrong password is refused")
    credentials = Credentials(user, password, openid_configuration_endpoint=REALM)
options = {"credentials": credentials, "download_attempts": 1}
with doing("watch") as told:
    last = max(each["PublicationDate"] for each in query_features("SENTINEL-2", ALWAYS, options=ONCE))

    def look() -> list[dict[str, Any]]:
        return list(query_features("SENTINEL-2", {"publicationDateGt": last}, options=ONCE))

    told.append(watch("cdsetool", look)[0]["Name"])
with doing("download") as told:
    wanted = [each for each in features if each["Name"].endswith((".SAFE", ".SEN3"))][::3]
    names = list(download_features(wanted, str(folder), {**options, "concurrency": 2}))
    expect(len(names) == len(wanted) and all(names), f"{names}")
    told += [f"{check_zip(folder / str(name))} files" for name in names]
with doing("verify") as told:
    for each in wanted:
        sums = {entry["Algorithm"]: entry["Value"] for entry in each["Checksum"]}
        path = folder / f"{each['Name']}.zip"
        expect((path.stat().st_size, md5(path)) == (each["ContentLength"], sums["MD5"]), each["Name"])
    told.append("sizes and MD5")
with doing("download single files") as told:
    radar = next(each for each in wanted if each["Name"].startswith("S1"))
    parts = folder / "parts"
    expect(download_feature(radar, str(parts), {**options, "filter_pattern": "*annotation*"}), "it says that it did")
    got = [path for path in (parts / radar["Name"]).rglob("*") if path.is_file()]
    with zipfile.ZipFile(folder / f"{radar['Name']}.zip") as package:
        whole = {name: package.read(name) for name in package.namelist()}
    same = [whole[str(path.relative_to(parts))] == path.read_bytes() for path in got]
    expect(same and all(same), "each is as in the package")
    told.append(f"{len(same)} as in the package")
