"""Schemas of STAC where their hosts cannot be reached: the core's from pystac, empty ones for extensions.

What the fields of extensions have to be is checked by tests/stac.py; everything else of the validator stays as it is.
"""

from __future__ import annotations

import io
import json
from typing import Any, Final

import requests
import urllib3
from pystac.validation.local_validator import get_local_schema_cache

_CORE: Final = "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/item.json"
_HOSTS: Final = (
    "schemas.stacspec.org",
    "geojson.org",
    "stac-extensions.github.io",
    "cs-si.github.io",
    "json-schema.org",
)


def are_reachable() -> bool:
    try:
        return requests.get(_CORE, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def use() -> None:
    """For this process, whatever library asks."""
    known = {url.partition("://")[2]: schema for url, schema in get_local_schema_cache().items()}
    ask = urllib3.HTTPConnectionPool.urlopen

    def urlopen(self: Any, method: str, url: str, *words: Any, **named: Any) -> Any:
        if self.host not in _HOSTS:
            return ask(self, method, url, *words, **named)
        path = url.removeprefix(f"https://{self.host}").partition("?")[0]
        empty = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": f"https://{self.host}{path}#"}
        body = json.dumps(known.get(self.host + path, empty)).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        return urllib3.HTTPResponse(
            io.BytesIO(body), headers, 200, preload_content=named.get("preload_content", True), request_url=url
        )

    urllib3.HTTPConnectionPool.urlopen = urlopen


if __name__ == "__main__":
    from stac_api_validator.__main__ import main

    use()
    main()
