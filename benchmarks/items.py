"""STAC items like the real ones of the European hub (structure: eu-cdse/eometadatatool, stac/*/example), and back.

An item has the product's properties, one asset for each file with size, checksum, bands, projection and two links, and
the package as the asset `Product`. `entry_of` reads all of that again: what a catalogue keeps in columns and tables.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

import orjson
from tests.catalogue_rows import Row, plausible_rows

from refsys.catalogue.bulk import Entry, StoredPackage
from refsys.core.footprints import bbox
from refsys.core.products import Description, FileEntry
from refsys.core.times import format_instant, parse_instant
from refsys.missions import TypeRegistry

COLLECTION: Final = "benchmark"
_SCHEMES: Final = {
    "auth:schemes": {
        "s3": {"type": "s3"},
        "oidc": {
            "type": "openIdConnect",
            "openIdConnectUrl": "https://identity.example/.well-known/openid-configuration",
        },
    },
    "storage:schemes": {
        name: {
            "title": title,
            "description": "Earth observation products in object storage; see the documentation for the endpoints, the "
            "credentials that they want, and how many requests they take in a minute.",
            "platform": f"https://{name}.example",
            "requester_pays": False,
            "type": "custom-s3",
        }
        for name, title in (("hub-s3", "Object storage of the hub"), ("partner-s3", "Object storage of its partner"))
    },
}
_BANDS: Final = {
    "B01": ("coastal", 0.443), "B02": ("blue", 0.493), "B03": ("green", 0.56), "B04": ("red", 0.665),
    "B05": ("rededge071", 0.704), "B06": ("rededge075", 0.741), "B07": ("rededge078", 0.783), "B08": ("nir", 0.833),
    "B8A": ("nir08", 0.865), "B09": ("nir09", 0.945), "B11": ("swir16", 1.614), "B12": ("swir22", 2.202),
}  # fmt: skip
_S2_IMAGES: Final = (
    *((band, 10) for band in ("AOT", "B02", "B03", "B04", "B08", "TCI", "WVP")),
    *(
        (band, 20)
        for band in ("AOT", "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B11", "B12", "B8A", "SCL", "TCI")
    ),
    *((band, 60) for band in (*(b for b in _BANDS if b != "B08"), "AOT", "SCL", "TCI", "WVP")),
)
_S3_FILES: Final = (
    *(f"Oa{number:02d}_radiance" for number in range(1, 22)),
    "geo_coordinates", "instrument_data", "qualityFlags", "removed_pixels", "tie_geo_coordinates", "tie_geometries",
    "tie_meteo", "time_coordinates",
)  # fmt: skip
#: Properties of items that are attributes of ours under another name; all others keep theirs.
_NAMES: Final = {
    "sat:absolute_orbit": "orbitNumber",
    "sat:relative_orbit": "relativeOrbitNumber",
    "sat:orbit_state": "orbitDirection",
    "eo:cloud_cover": "cloudCover",
    "processing:version": "processorVersion",
    "product:type": "productType",
    "product:timeliness_category": "timeliness",
    "sar:polarizations": "polarisationChannels",
    "sar:instrument_mode": "operationalMode",
    "grid:code": "tileId",
}
_OUR_NAMES: Final = {ours: theirs for theirs, ours in _NAMES.items()}
_MD5: Final = "d50110"


def make_items(count: int, seed: int = 0) -> Iterator[bytes]:
    """Items as JSON, one of each mission in turn of chance; the same for a seed, no two of the same name."""
    rng = random.Random(seed)
    for row in plausible_rows(2 * count, seed=seed):
        if row.footprint is not None:
            yield orjson.dumps(_item(row, rng))
            count -= 1
            if not count:
                return


def entry_of(text: bytes, types: TypeRegistry) -> Entry:
    """An item as a product of ours, complete with the files that its assets are."""
    item = orjson.loads(text)
    properties, assets = item["properties"], item["assets"]
    package = assets["Product"]
    name = package["file:local_path"]
    files = tuple(
        FileEntry(asset["file:local_path"], asset["file:size"], md5=_md5(asset))
        for key, asset in assets.items()
        if key != "Product"
    )
    start, stop = (parse_instant(properties[key]) for key in ("start_datetime", "end_datetime"))
    plain = {_NAMES.get(key, key): value for key, value in properties.items() if not key.endswith(":schemes")}
    base = item["links"][0]["href"].removeprefix("s3://eodata/").rpartition("/")[0]
    md5, size = _md5(package), package["file:size"]
    return Entry(
        types.recognise(name),
        Description(start, stop, item["geometry"], plain),
        "items",
        StoredPackage(base, files, 1, f"{name}.zip", size, md5, md5 * 2),
        origin_size_bytes=size,
        origin_checksums={"MD5": md5.hex()},
    )


def assets_of(row: Row, rng: random.Random, base: str) -> dict[str, Any]:
    """One asset for each file of a product, as the hub's items have them; `base` is where products of its kind lie."""
    files = {"SENTINEL-1": _sentinel1, "SENTINEL-2": _sentinel2, "SENTINEL-3": _sentinel3}[row.collection](row)
    return {key: _asset(row, base, path, rng, more) for key, path, more in files}


def _md5(asset: dict[str, Any]) -> bytes:
    return bytes.fromhex(asset["file:checksum"].removeprefix(_MD5))


def _item(row: Row, rng: random.Random) -> dict[str, Any]:
    assert row.footprint is not None
    assert row.sensing_start is not None
    assert row.sensing_stop is not None
    assert row.published_at is not None
    base = f"s3://eodata/{row.collection.title()}/{row.product_type}/{row.sensing_start:%Y/%m/%d}"
    published = format_instant(row.published_at)
    properties: dict[str, Any] = {
        "created": published,
        "updated": published,
        "published": published,
        "eopf:origin_datetime": published,
        **_SCHEMES,
        "datetime": format_instant(row.sensing_start),
        "start_datetime": format_instant(row.sensing_start),
        "end_datetime": format_instant(row.sensing_stop),
        "platform": f"{row.collection.lower()}{row.platform.lower()}",
        "constellation": row.collection.lower(),
        "expires": "9999-01-01T00:00:00.000000Z",
        "processing:facility": "ESA",
    }
    properties |= {_OUR_NAMES.get(key, key): value for key, value in row.attributes.items()}
    assets = assets_of(row, rng, base)
    assets["Product"] = {
        "type": "application/zip",
        "title": "Zipped product",
        "roles": ["data", "metadata", "archive"],
        "file:checksum": _MD5 + rng.randbytes(16).hex(),
        "file:size": row.package_size,
        "file:local_path": row.name,
        "href": f"https://hub.example/odata/v1/Products({row.id})/$value",
        "auth:refs": ["oidc"],
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "collection": COLLECTION,
        "id": row.name,
        "properties": properties,
        "bbox": list(bbox(row.footprint)),
        "geometry": row.footprint,
        "links": [
            {
                "rel": "enclosure",
                "href": f"{base}/{row.name}",
                "type": "application/x-directory",
                "title": "Path of the product's folder",
                "auth:refs": ["s3"],
                "storage:refs": ["hub-s3", "partner-s3"],
            }
        ],
        "assets": assets,
    }


def _asset(row: Row, base: str, path: str, rng: random.Random, more: dict[str, Any]) -> dict[str, Any]:
    nodes = "".join(f"/Nodes({segment})" for segment in path.split("/"))
    return {
        **more,
        "file:checksum": _MD5 + rng.randbytes(16).hex(),
        "file:size": rng.randint(10**4, 10**9),
        "file:local_path": f"{row.name}/{path}",
        "href": f"{base}/{row.name}/{path}",
        "alternate:name": "S3",
        "auth:refs": ["s3"],
        "storage:refs": ["hub-s3", "partner-s3"],
        "alternate": {
            "https": {
                "href": f"https://hub.example/odata/v1/Products({row.id})/Nodes({row.name}){nodes}/$value",
                "alternate:name": "HTTPS",
                "auth:refs": ["oidc"],
                "storage:refs": [],
            }
        },
    }


_Files = Iterator[tuple[str, str, dict[str, Any]]]


def _about(kind: str, title: str, *roles: str) -> dict[str, Any]:
    return {"type": kind, "title": title, "roles": list(roles)}


def _sentinel1(row: Row) -> _Files:
    stem = row.name.removesuffix(".SAFE").lower().replace("_", "-")
    yield "safe_manifest", "manifest.safe", _about("application/xml", "manifest.safe", "metadata")
    yield "thumbnail", "preview/quick-look.png", _about("image/png", "Quick look", "thumbnail")
    yield "preview", "preview/product-preview.html", _about("text/html", "Preview", "overview")
    yield "overlay", "preview/map-overlay.kml", _about("application/vnd.google-earth.kml+xml", "Overlay", "overview")
    for number, polarisation in enumerate(row.attributes["polarisationChannels"], 1):
        swath = f"{stem}-{polarisation.lower()}-{number:03d}"
        shape = {
            "sar:polarizations": [polarisation],
            "proj:shape": [16_679, 25_832],
            "proj:transform": [10, 0, 0, 0, -10, 0],
            "processing:level": "L1",
            "data_type": "uint16",
        }
        tiff = "image/tiff; application=geotiff; profile=cloud-optimized"
        yield polarisation.lower(), f"measurement/{swath}.tiff", _about(tiff, polarisation, "data") | shape
        for kind in ("product", "calibration", "noise", "rfi"):
            path = f"annotation/{'' if kind == 'product' else f'{kind}/{kind}-'}{swath}.xml"
            about = _about("application/xml", f"{kind.title()} schema of {polarisation}", "metadata")
            yield f"schema-{kind}-{polarisation.lower()}", path, about


def _sentinel2(row: Row) -> _Files:
    tile = row.attributes["tileId"]
    granule = f"GRANULE/L2A_T{tile}_A{row.attributes['orbitNumber']:06d}_{row.sensing_start:%Y%m%dT%H%M%S}"
    for key, path in (
        ("safe_manifest", "manifest.safe"),
        ("product_metadata", "MTD_MSIL2A.xml"),
        ("granule_metadata", f"{granule}/MTD_TL.xml"),
        ("inspire_metadata", "INSPIRE.xml"),
        ("datastrip_metadata", f"DATASTRIP/DS_{row.sensing_start:%Y%m%dT%H%M%S}/MTD_DS.xml"),
    ):
        yield key, path, _about("application/xml", path.rpartition("/")[2], "metadata")
    yield "thumbnail", f"{row.name.removesuffix('.SAFE')}-ql.jpg", _about("image/jpeg", "Quick look", "thumbnail")
    for band, gsd in _S2_IMAGES:
        common, wavelength = _BANDS.get(band, ("", 0.0))
        path = f"{granule}/IMG_DATA/R{gsd}m/T{tile}_{row.sensing_start:%Y%m%dT%H%M%S}_{band}_{gsd}m.jp2"
        edge = 109_800 // gsd
        more: dict[str, Any] = _about("image/jp2", f"{band} - {gsd}m", "data", "reflectance", f"gsd:{gsd}m")
        if common:
            more["bands"] = [
                {"name": band, "description": common, "eo:center_wavelength": wavelength, "eo:common_name": common}
            ]
        more |= {
            "data_type": "uint16",
            "nodata": 0,
            "raster:scale": 0.0001,
            "raster:offset": -0.1,
            "gsd": gsd,
            "proj:code": f"EPSG:326{tile[:2]}",
            "proj:shape": [edge, edge],
            "proj:bbox": [499_980, 6_890_220, 609_780, 7_000_020],
            "proj:transform": [gsd, 0, 499_980, 0, -gsd, 7_000_020],
        }
        yield f"{band}_{gsd}m", path, more


def _sentinel3(row: Row) -> _Files:
    yield "xfdumanifest", "xfdumanifest.xml", _about("application/xml", "Product manifest", "metadata")
    yield "thumbnail", "quicklook.jpg", _about("image/jpeg", "Quick look", "thumbnail")
    for name in _S3_FILES:
        more = _about("application/netcdf", f"{name.replace('_', ' ')} on the full resolution grid", "data")
        if name.endswith("radiance"):
            more |= {"bands": [{"name": name[:4], "eo:center_wavelength": 0.4}], "gsd": 300, "proj:shape": [4091, 4865]}
        yield name, f"{name}.nc", more
