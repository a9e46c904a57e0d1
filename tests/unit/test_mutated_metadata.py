"""Metadata with anything wrong in it: the product is described with what is sound, or refused with a reason."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from refsys.core.errors import RefsysError
from refsys.core.products import Description
from refsys.simulation.samples import make_samples
from tests.memory import Case

#: Texts that metadata has in wrong places.
TEXTS: Final = (
    "", " ", "-", "NaN", "1e999", "-0", "99999999999999999999", "true", "UTC=2024-13-45T99:99:99", "2024-01-01", "1,5",
    "9999-99-99T00:00:00", "2024-02-30T00:00:00Z", "10,20 30,40", "91 181 91 181", "0 0 1 1 0 1 1 0 0 0", "0 0 0 0 0 0",
    "180,0 -180,0 90,90 -90,-90", "1;DROP TABLE", "../../etc/passwd", "x" * 5000, "\u0405", "\u0661",
)  # fmt: skip


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """The metadata of products of every mission."""
    made = make_samples(tmp_path_factory.mktemp("samples"))
    return [_metadata(product) for product in sorted(made, key=lambda product: product.name)]


def _metadata(product: Path) -> Case:
    if product.is_file():
        return Case(product.name, {"": product.read_bytes()})
    files = (file for file in product.rglob("*") if file.suffix in (".xml", ".safe"))
    return Case(product.name, {file.relative_to(product).as_posix(): file.read_bytes() for file in files})


def mutated(case: Case, rng: random.Random, count: int) -> Case:
    """With `count` random changes of one of its files."""
    path = rng.choice(sorted(case.contents))
    root = etree.fromstring(case.contents[path])
    for _ in range(count):
        element = rng.choice([found for found in root.iter() if isinstance(found.tag, str)])
        _change(element, rng)
    return case.holding(path, etree.tostring(root))


def _change(element: Any, rng: random.Random) -> None:
    parent = element.getparent()
    match rng.randrange(6):
        case 0 if parent is not None:
            parent.remove(element)
        case 1 if parent is not None:
            parent.append(etree.fromstring(etree.tostring(element)))
        case 2:
            element.text = rng.choice(TEXTS)
        case 3 if element.text:
            element.text = element.text[: rng.randrange(len(element.text))]
        case 4 if element.attrib:
            element.set(rng.choice(sorted(element.attrib)), rng.choice(TEXTS))
        case _:
            element.tag = rng.choice(("startTime", "coordinates", "orbitNumber", "x"))


def described(case: Case) -> Description | RefsysError:
    try:
        return case.describe()
    except RefsysError as error:
        return error


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 12), index=st.integers(0, 10_000))
def test_a_description_is_sound_whatever_the_metadata_says(
    cases: list[Case], seed: int, count: int, index: int
) -> None:
    case = mutated(cases[index % len(cases)], random.Random(seed), count)
    description = described(case)
    if isinstance(description, RefsysError):
        assert case.name in str(description)
        assert description.advice
        return
    orjson.dumps(description.attributes)
    for name, value in description.attributes.items():
        assert value not in ("", [], None), f"{name} is blank"
        assert not isinstance(value, str) or len(value) <= 2000
    if description.footprint is not None:
        assert shapely.geometry.shape(description.footprint).is_valid
    assert all(problem and len(problem) < 3000 for problem in description.problems)


def test_the_unchanged_metadata_has_no_problems(cases: list[Case]) -> None:
    assert {case.name: case.describe().problems for case in cases} == {case.name: () for case in cases}
