"""Fingerprints of rows: they change with everything that decides a description, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from refsys.catalogue import fingerprints
from refsys.catalogue.fingerprints import NO_ROW, current_fingerprint, names_fingerprint, type_fingerprint
from refsys.missions import load_types

ROW = r"""
attributes:
  mine: {type: String, about: mine, prip: theirs}
types:
  - id: my-type
    about: products of ours
    name: 'MINE_(?P<number>\d{4})'
    product_type: MINE
    mission: S1
    instrument: SAR
    level: L1
    documents: {manifest: manifest.xml}
    attributes:
      mine: {read: [manifest//a/b, manifest//c], group: number}
      orbitNumber: {group: number}
      beginningDateTime: manifest//start
      endingDateTime: manifest//stop
    packaging: zip
    storage: [Mine]
"""


@pytest.fixture
def load(tmp_path: Path):
    def load(old: str = "", new: str = ""):
        assert old in ROW
        (tmp_path / "mine.yaml").write_text(ROW.replace(old, new, 1) if old else ROW)
        return load_types([tmp_path])

    return load


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("manifest//a/b, manifest//c", "manifest//c, manifest//a/b"),
        ("manifest//c]", "manifest//d]"),
        (r"\d{4}", r"\d{5}"),
        ("product_type: MINE", "product_type: OURS"),
        ("level: L1", "level: L2"),
        ("orbitNumber: {group: number}", "orbitNumber: {group: number, expected: true}"),
        ("manifest: manifest.xml", "manifest: other.xml"),
        ("type: String", "type: Integer"),
        ("packaging: zip", "packaging: zip\n    visibility: internal"),
        ("packaging: zip", "packaging: zip\n    timeliness_class: S1_NRT"),
        ("packaging: zip", "packaging: zip\n    footprint: {rule: positions, read: manifest//area}"),
        ("packaging: zip", "packaging: zip\n    derive: [slice_count]"),
    ],
)
def test_what_decides_a_description_changes_the_fingerprint_of_its_row_alone(load, old, new):
    before, after = load(), load(old, new)
    assert type_fingerprint(before.types["my-type"]) != type_fingerprint(after.types["my-type"])
    assert type_fingerprint(before.types["s1-l1"]) == type_fingerprint(after.types["s1-l1"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("about: products of ours", "about: other words"),
        ("packaging: zip", "packaging: zip\n    priority: housekeeping\n    retention: etad"),
        ("storage: [Mine]", "storage: [Elsewhere]"),
        ("prip: theirs", "prip: ours"),
        ("      beginningDateTime: manifest//start\n      endingDateTime: manifest//stop\n",
         "      endingDateTime: manifest//stop\n      beginningDateTime: manifest//start\n"),
    ],
)  # fmt: skip
def test_what_has_no_say_in_it_does_not(load, old, new):
    before, after = load(), load(old, new)
    assert type_fingerprint(before.types["my-type"]) == type_fingerprint(after.types["my-type"])
    assert names_fingerprint(before) == names_fingerprint(after)


def test_a_change_of_the_code_that_extracts_changes_all(load, monkeypatch):
    before = {type_fingerprint(kind) for kind in load().types.values()}
    monkeypatch.setattr(fingerprints, "EXTRACT_VERSION", fingerprints.EXTRACT_VERSION + 1)
    assert before.isdisjoint(type_fingerprint(kind) for kind in load().types.values())


def test_rows_that_come_and_go_change_the_fingerprint_of_the_names(load):
    packaged = load_types()
    assert names_fingerprint(packaged) != names_fingerprint(load())
    assert current_fingerprint(packaged, "my-type") == NO_ROW
