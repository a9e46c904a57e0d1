"""EODAG: its provider `cop_dataspace`, with other addresses and nothing else changed (tests/clients/eodag.yml)."""

from __future__ import annotations

from pathlib import Path

from eodag import EODataAccessGateway

from tests.clients.telling import arguments, check_zip, doing, expect, md5, watch

url, user, password, folder = arguments()
template = Path(__file__).with_name("eodag.yml").read_text("utf-8")
config = folder / "eodag.yml"
config.write_text(template.format(url=url, user=user, password=password, folder=folder), "utf-8")
dag = EODataAccessGateway(user_conf_file_path=str(config))
dag.set_preferred_provider("cop_dataspace")
EVERYTHING = {"start": "2020-01-01", "end": "2030-01-01", "provider": "cop_dataspace", "raise_errors": True}

found = []
with doing("search") as told:
    for collection, least in (("S1_SAR_GRD", 4), ("S2_MSI_L1C", 2), ("S2_MSI_L2A", 4), ("S3_EFR", 2)):
        page = dag.search(collection=collection, count=True, **EVERYTHING)
        expect(len(page) >= least, f"{collection}: {len(page)} products, {least} or more are there")
        expect(page.number_matched == len(page), f"{collection}: {page.number_matched} counted")
        told.append(f"{collection} {len(page)}")
        found += page
with doing("search by area, attribute and id") as told:
    one = found[0]
    by_area = dag.search(collection="S1_SAR_GRD", geom=one.geometry.centroid.buffer(0.01), **EVERYTHING)
    expect(one.properties["id"] in {each.properties["id"] for each in by_area}, "the area finds the product")
    orbit = one.properties["sat:absolute_orbit"]
    by_orbit = dag.search(collection="S1_SAR_GRD", **{"sat:absolute_orbit": orbit}, **EVERYTHING)
    expect({each.properties["sat:absolute_orbit"] for each in by_orbit} == {orbit}, "the orbit finds its products")
    by_id = dag.search(id=one.properties["id"], provider="cop_dataspace")
    expect([each.properties["id"] for each in by_id] == [one.properties["id"]], "the id finds the product")
    told.append(f"{len(by_area)}, {len(by_orbit)}, {len(by_id)}")
with doing("page") as told:
    everything = dag.search_all(collection="S1_SAR_GRD", items_per_page=2, **EVERYTHING)
    ids = [each.properties["id"] for each in everything]
    expect(len(ids) == len(set(ids)) == len([each for each in found if "GRD" in each.properties["id"]]), f"{ids}")
    told.append(f"{len(ids)} in pages of 2")
with doing("watch") as told:
    newest = {each.properties["id"] for each in found}

    def look() -> list[object]:
        now = dag.search(collection="S1_SAR_GRD", published_after="2020-01-01T00:00:00Z", **EVERYTHING)
        return [each for each in now if each.properties["id"] not in newest]

    told.append(watch("eodag", look)[0].properties["id"])
with doing("download") as told:
    paths = {}
    for product in (found[0], found[4], found[-1]):
        paths[product.properties["id"]] = Path(product.download(output_dir=str(folder), extract=False))
    told += [f"{check_zip(path)} files" for path in paths.values()]
with doing("verify") as told:
    for product in (found[0], found[4], found[-1]):
        path = paths[product.properties["id"]]
        expect(path.stat().st_size == product.properties["file:size"], f"{path.name}: size")
        expect(md5(path) == product.properties["file:checksum"], f"{path.name}: MD5")
    told.append("sizes and MD5")
with doing("quick-look") as told:
    picture = Path(found[0].get_quicklook(output_dir=str(folder)))
    expect(picture.stat().st_size > 100, "a quick-look has bytes")
    told.append(f"{picture.stat().st_size} bytes")
