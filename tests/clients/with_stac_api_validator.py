"""stac-api-validator, for every conformance class that it knows and the service announces."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import requests

from tests.clients import offline_schemas
from tests.clients.telling import arguments, tell

url, *_ = arguments()
ROOT = f"{url}/stac"
#: The validator's names, and how the URIs of the classes end.
KNOWN = {
    "core": "v1.0.0/core",
    "browseable": "v1.0.0/browseable",
    "children": "v1.0.0/children",
    "collections": "v1.0.0/collections",
    "features": "v1.0.0/ogcapi-features",
    "item-search": "v1.0.0/item-search",
    "filter": "v1.0.0/item-search#filter",
    **{f"item-search#{each}": f"v1.0.0/item-search#{each}" for each in ("sort", "fields", "query")},
    **{f"features#{each}": f"v1.0.0/ogcapi-features#{each}" for each in ("sort", "fields", "query")},
}
announced = requests.get(ROOT, timeout=20).json()["conformsTo"]
classes = [name for name, uri in KNOWN.items() if any(each.endswith(uri) for each in announced)]
# all that intersect it are paged through
area = {"type": "Polygon", "coordinates": [[[-179, -89], [179, -89], [179, 89], [-179, 89], [-179, -89]]]}
collection = "sentinel-2-l2a"
found = requests.get(f"{ROOT}/collections/{collection}/items?limit=1", timeout=20).json()["features"][0]["properties"]
clouds = str(found["eo:cloud_cover"])
more = [
    "--fields-nested-property", "properties.eo:cloud_cover",
    "--query-comparison-field", "eo:cloud_cover", "--query-eq-value", clouds, "--query-neq-value", clouds,
    "--query-lt-value", "101", "--query-lte-value", "100", "--query-gt-value", "-1", "--query-gte-value", "0",
    "--query-substring-field", "platform", "--query-starts-with-value", "sentinel", "--query-ends-with-value", "a",
    "--query-contains-value", "2", "--query-in-field", "instruments", "--query-in-values", "msi,olci",
]  # fmt: skip
# the schemas' hosts may be out of reach
is_online = offline_schemas.are_reachable()
module = "stac_api_validator" if is_online else "tests.clients.offline_schemas"
how = "" if is_online else "without the schemas of extensions, which cannot be reached"
program = [sys.executable, "-m", module, "--root-url", ROOT]
for name in classes:
    needs = [] if name == "core" else ["core"]
    asked = [word for each in (*needs, name) for word in ("--conformance", each)]
    about = ["--collection", collection, "--geometry", json.dumps(area)]
    done = subprocess.run([*program, *asked, *about, *more], capture_output=True, text=True, timeout=600, check=False)
    told = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    print(told, done.stderr, file=sys.stderr)
    # where it breaks itself it says so, and ends as if all were well
    is_well = done.returncode == 0 and "Errors: none" in told
    errors = re.findall(r"^- +(.*)$", told.partition("Errors:")[2], re.MULTILINE) or [told.strip().rpartition("\n")[2]]
    tell(name, ok=is_well, detail=how if is_well else "; ".join(errors)[:300])
