"""Sample products are what they say they are: named, described, complete, open to read, the same for a seed."""

from __future__ import annotations

import binascii
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import h5netcdf
import pytest
from lxml import etree
from PIL import Image

from refsys.catalogue.completeness import check
from refsys.catalogue.extract import ManifestMember, examine_files
from refsys.core.products import Description, FileEntry, check_name
from refsys.missions import load_types
from refsys.simulation.samples import make_many, make_samples

TYPES = load_types()
COUNT = 9


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_samples(tmp_path_factory.mktemp("samples"), seed=7)


def entries(product: Path) -> list[FileEntry]:
    """The file table, folders too, as ingestion would make it."""
    paths = [product] if product.is_file() else sorted(product.rglob("*"))
    return [entry(product, path) for path in paths]


def entry(product: Path, path: Path) -> FileEntry:
    name = path.relative_to(product.parent).as_posix()
    if path.is_dir():
        return FileEntry(name, 0, is_folder=True)
    content = path.read_bytes()
    return FileEntry(name, len(content), md5=hashlib.md5(content).digest())


def reader(product: Path) -> Callable[[str], bytes]:
    return lambda path: (product.parent / path).read_bytes()


def describe(product: Path) -> Description:
    return examine(product)[0]


def examine(product: Path) -> tuple[Description, list[ManifestMember]]:
    return examine_files(TYPES.recognise(product.name), reader(product), entries(product))


def manifest_of(product: Path) -> Path | None:
    found = [product / name for name in ("manifest.safe", "xfdumanifest.xml") if (product / name).is_file()]
    return found[0] if found else None


def test_the_set_covers_the_missions(samples: list[Path]) -> None:
    assert [TYPES.recognise(product.name).product_type for product in samples] == [
        "IW_GRDH_1S",
        "IW_GRDH_1S",
        "AUX_RESORB",
        "S2MSI1C",
        "S2MSI2A",
        "S2MSI2A",
        "OL_1_EFR___",
        "OL_1_EFR___",
        "SR_2_LAN___",
    ]
    assert all(check_name(product.name) for product in samples)


def test_every_sample_is_described_without_a_problem(samples: list[Path]) -> None:
    for product in samples:
        description = describe(product)
        assert description.problems == (), product.name
        assert description.sensing_start is not None
        assert description.footprint is not None or product.suffix == ".EOF"


def test_every_sample_is_complete_by_the_strict_rule(samples: list[Path]) -> None:
    for product in samples:
        _, members = examine(product)
        assert check(members, entries(product), "strict") == []
        assert bool(members) is (manifest_of(product) is not None)


def test_manifests_name_every_file_with_its_size_and_checksum(samples: list[Path]) -> None:
    for product in samples:
        manifest = manifest_of(product)
        if manifest is None:
            continue
        named = set()
        for stream in etree.parse(manifest).iter("{*}byteStream"):
            href = stream.find("{*}fileLocation").get("href").removeprefix("./")
            checksum = stream.find("{*}checksum")
            content = (product / href).read_bytes()
            algorithm = checksum.get("checksumName").lower().replace("-", "_")
            assert int(stream.get("size")) == len(content)
            assert checksum.text == hashlib.new(algorithm, content).hexdigest()
            named.add(href)
        there = {file.relative_to(product).as_posix() for file in product.rglob("*") if file.is_file()}
        assert {path for path in there - named if not path.startswith("support/")} == {manifest.name}


def test_rasters_open(samples: list[Path]) -> None:
    opened = 0
    for product in samples:
        for file in product.rglob("*"):
            if file.suffix in {".tiff", ".png", ".jp2"}:
                with Image.open(file) as image:
                    image.load()
                    assert min(image.size) >= 40
                    assert image.getextrema() not in [(0, 0), ((0, 0),) * 3], f"{file.name} is black"
            elif file.suffix == ".nc":
                with h5netcdf.File(file) as data:
                    assert data.variables
                    assert all(variable[...].size for variable in data.variables.values())
            else:
                continue
            opened += 1
    assert opened > 100


def test_tile_metadata_states_the_sizes_that_the_images_have(samples: list[Path]) -> None:
    product = next(product for product in samples if "MSIL2A" in product.name)
    tile = etree.parse(next(product.glob("GRANULE/*/MTD_TL.xml")))
    for resolution in (10, 20, 60):
        rows = int(tile.findtext(f".//Size[@resolution='{resolution}']/NROWS"))
        for file in product.glob(f"GRANULE/*/IMG_DATA/R{resolution}m/*.jp2"):
            with Image.open(file) as image:
                assert image.size == (rows, rows)


def test_empty_folders_are_there_as_in_real_products(samples: list[Path]) -> None:
    product = next(product for product in samples if "MSIL1C" in product.name)
    empty = {path.name for path in product.iterdir() if path.is_dir() and not any(path.iterdir())}
    assert empty == {"AUX_DATA", "HTML", "rep_info"}


def test_some_cross_the_antimeridian_and_some_come_near_a_pole(samples: list[Path]) -> None:
    footprints = {product.name: describe(product).footprint for product in samples}
    crossing = [name for name, footprint in footprints.items() if footprint and footprint["type"] == "MultiPolygon"]
    assert [name[:3] for name in crossing] == ["S1A", "S2A"]
    polar = [name for name, footprint in footprints.items() if footprint and "-81." in str(footprint["coordinates"])]
    assert [name[4:12] for name in polar] == ["OL_1_EFR", "SR_2_LAN"]


def test_the_same_seed_makes_the_same_bytes_and_another_seed_other_products(
    tmp_path: Path, samples: list[Path]
) -> None:
    again = make_samples(tmp_path / "again", seed=7)
    assert [product.name for product in again] == [product.name for product in samples]
    for first, second in zip(samples, again, strict=True):
        assert entries(first) == entries(second)
    others = make_samples(tmp_path / "others", seed=8, count=3)
    assert not {product.name for product in others} & {product.name for product in samples}


def test_more_samples_are_later_ones(tmp_path: Path) -> None:
    products = make_samples(tmp_path, seed=7, count=COUNT + 3)
    assert len({product.name for product in products}) == COUNT + 3
    assert products[COUNT].name[:17] == products[0].name[:17]


def test_the_last_four_digits_of_a_sentinel_1_name_are_the_crc_of_its_manifest(
    samples: list[Path], shared_data: Path
) -> None:
    real = [
        shared_data / "sentinel-1" / name
        for name in (
            "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE",
            "S1B_WV_SLC__1SSV_20210403T083025_20210403T084452_026300_032390_D542.SAFE",
        )
    ]
    for product in [*real, *(product for product in samples if "GRDH" in product.name)]:
        crc = binascii.crc_hqx((product / "manifest.safe").read_bytes(), 0xFFFF)
        assert product.name.endswith(f"_{crc:04X}.SAFE")


def test_many_products_are_valid_and_as_large_as_asked(tmp_path: Path) -> None:
    products = make_many(tmp_path, 25, size_bytes=200_000)
    assert len({product.name for product in products}) == 25
    for product in products:
        files = entries(product)
        assert sum(file.size_bytes for file in files) == pytest.approx(200_000, abs=500)
        assert sum(not file.is_folder for file in files) == 9
        assert describe(product).problems == ()
        assert check(examine(product)[1], files, "strict") == []
        for image in (*product.glob("measurement/*.tiff"), *product.glob("preview/*.png")):
            Image.open(io.BytesIO(image.read_bytes())).load()


def test_a_product_too_small_for_its_metadata_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no room for its metadata"):
        make_many(tmp_path, 1, size_bytes=1000)
