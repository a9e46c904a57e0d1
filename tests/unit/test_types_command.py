"""`refsys types list | show | check | test`: what tables say, what is wrong with them, what they make of products."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.main_called import Done, caller

NAME = "MINE_A_20240901T100000.SEN3"
ROW = r"""
types:
  - id: my-type
    about: products of ours
    name: 'MINE_(?P<satellite>[AB])_(?P<start>\d{8}T\d{6})\.SEN3'
    product_type: MINE
    mission: S3
    instrument: SRAL
    level: L1
    documents: {manifest: manifest.xml}
    manifest: manifest
    attributes:
      platformSerialIdentifier: {group: satellite, upper: true}
      processingLevel: {value: "1"}
      orbitNumber: {read: [manifest//orbits/first, manifest//orbits/second], expected: true}
      cycleNumber: manifest//cycle
      beginningDateTime: {read: manifest//start, group: start}
      endingDateTime: manifest//stop
    open_ended: true
    footprint: {rule: positions, read: manifest//area}
    timeliness_class: S3_NRT
    retention: l1-l2
    storage: [Mine, "{product_type}"]
"""
MANIFEST = """<m><orbits><second>42</second></orbits><cycle>seven</cycle><start>2024-09-01T10:00:00.5Z</start>
<area>0 0 0 10 10 10 10 0 0 0</area>
<dataObject><byteStream size="4"><fileLocation href="./data.nc"/></byteStream></dataObject></m>"""


@pytest.fixture
def refsys(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.yaml").write_text(ROW)
    return caller(tmp_path, monkeypatch, capsys)


@pytest.fixture
def product(tmp_path: Path) -> Path:
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "manifest.xml").write_text(MANIFEST)
    (folder / "data.nc").write_bytes(b"data")
    return folder


def tried(refsys: Any, *words: str | Path, code: int = 0) -> list[dict[str, Any]]:
    done: Done = refsys("types", "test", "--tables", "mine.yaml", "--json", *words, code=code)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_list_fits_a_hundred_columns_one_line_each_and_narrows_to_a_mission(refsys):
    lines = refsys("types", "list", COLUMNS="100").stdout.splitlines()
    assert max(map(len, lines)) <= 100
    ids = [line.split()[0] for line in lines[1:]]
    assert {"s1-l1", "s2-l1c"} <= {*ids}
    assert len(ids) == len({*ids})
    rows = [json.loads(line) for line in refsys("types", "list", "--json", "--mission", "s2").stdout.splitlines()]
    assert {row["mission"] for row in rows} == {"S2"}
    assert {row["id"]: row["product_type"] for row in rows}["s2-l1c"] == "S2MSI1C"


def test_show_tells_all_of_a_row_and_what_it_takes_over(refsys):
    setting = ("--set", 'type_tables=["mine.yaml"]')
    row = json.loads(refsys("types", "show", "my-type", "--json", *setting).stdout)
    assert row["example"] == NAME
    assert row["attributes"]["orbitNumber"] == {
        "type": "Integer", "many": False, "from": ["manifest//orbits/first", "manifest//orbits/second"],
        "is_expected": True, "prip": "orbitNumber", "reference": row["attributes"]["orbitNumber"]["reference"],
    }  # fmt: skip
    assert row["attributes"]["beginningDateTime"]["from"] == ["manifest//start", "group start of the name"]
    assert row["timeliness"] == {"S3_NRT": {"from_sensing_s": 10800, "from_t0_s": 3600, "urgent": True}}
    told = refsys("types", "show", "my-type", *setting, COLUMNS="100").stdout
    for text in (
        "S3_NRT: 3 h from sensing, 60 min from T0, urgent", "l1-l2: 45 days", "positions of manifest//area",
        "an end that is not given is for ever", "manifest: manifest.xml", "Mine/{product_type}/YYYY/MM/DD",
        "constant 1", "else it is a problem",
    ):  # fmt: skip
        assert text in told
    # a set of rules that it uses, and a function
    assert "(by last_letter)" in refsys("types", "show", "s1-orbit").stdout
    assert "nearest: 's1-l1'" in refsys("types", "show", "s1_l1", code=1).stderr


def test_check_tells_every_error_of_every_table(refsys, tmp_path):
    assert "the tables are right (" in refsys("types", "check", "mine.yaml").stdout
    (tmp_path / "bad.yaml").write_text(ROW.replace("my-type", "bad-type").replace("level:", "levl:"))
    (tmp_path / "worse.yaml").write_text("types: [")
    lines = refsys("types", "check", "mine.yaml", "bad.yaml", "worse.yaml", code=2).stderr.splitlines()
    assert lines == [
        "refsys: bad.yaml, row 'bad-type' (line 3), column 'level': field required",
        "refsys: bad.yaml, row 'bad-type' (line 9), column 'levl': unknown key 'levl'; nearest: 'level'",
        "refsys: worse.yaml: is not YAML: line 1, column 9: expected the node content, but found '<stream end>'",
    ]
    many = "".join(f"  a{number}: {{type: Strng, about: x}}\n" for number in range(30))
    (tmp_path / "bad.yaml").write_text(f"attributes:\n{many}")
    assert len(refsys("types", "check", "bad.yaml", code=2).stderr.splitlines()) == 30


def test_check_warns_of_names_that_two_rows_match(refsys, tmp_path):
    (tmp_path / "wide.yaml").write_text(ROW.replace("my-type", "wide-type").replace("MINE_", r"M\w+_"))
    told = refsys("types", "check", "mine.yaml", "wide.yaml").stdout
    assert told.startswith(
        f"warning: names such as {NAME} are matched by the rows 'my-type' and 'wide-type'; 'my-type' counts\n"
    )


def test_a_product_is_tried_out_with_the_source_of_each_value(refsys, product):
    [found] = tried(refsys, product)
    assert found["is_sound"]
    assert (found["type"], found["groups"]) == ("my-type", {"satellite": "A", "start": "20240901T100000"})
    assert {name: (told["value"], told["source"]) for name, told in found["attributes"].items()} == {
        "platformSerialIdentifier": ("A", "group satellite of the name"),
        "processingLevel": ("1", "constant 1"),
        "orbitNumber": (42, "manifest//orbits/second"),
        "beginningDateTime": ("2024-09-01T10:00:00.500000Z", "manifest//start"),
        "endingDateTime": ("9999-12-31T23:59:59.999999Z", "open end"),
    }
    assert found["problems"] == ["cycleNumber at manifest//cycle is 'seven', which is no Integer; left out"]
    assert found["lacking"] == []
    assert found["bbox"] == [0.0, 0.0, 10.0, 10.0]
    assert found["footprint"].startswith("POLYGON ((")
    assert found["storage_key"] == f"Mine/MINE/2024/09/01/{NAME}"
    assert (found["package"], found["timeliness"]) == (f"{NAME}.zip", "S3_NRT")


def test_a_folder_an_archive_and_a_relative_path_are_tried_out_alike(refsys, product, tmp_path):
    (product / "data.nc").write_bytes(b"other")
    with zipfile.ZipFile(tmp_path / f"{NAME}.zip", "w") as archive:
        for path in product.iterdir():
            archive.write(path, f"{NAME}/{path.name}")
    found = tried(refsys, product, f"{NAME}.zip", f"./{NAME}/")
    assert [{**each, "given": ""} for each in found[1:]] == [{**found[0], "given": ""}] * 2
    assert "have another size: data.nc" in found[0]["lacking"][0]
    assert (
        "an inbox whose completeness is 'strict' parks it"
        in refsys("types", "test", NAME, "--tables", "mine.yaml").stdout
    )


def test_a_name_alone_is_tried_out_and_where_no_row_knows_it_the_nearest_are_told(refsys):
    [found] = tried(refsys, f"{NAME}.zip")
    assert (found["type"], found["storage_key"]) == ("my-type", f"Mine/MINE/{NAME}")
    assert "attributes" not in found
    [unknown] = tried(refsys, "MINE_A_20240901-100000.SEN3", code=1)
    assert unknown["near"][0] == {"type": "my-type", "matched": "MINE_A_20240901", "wanted": "T"}
    told = refsys("types", "test", "MINE_C_20240901T100000.SEN3", "--tables", "mine.yaml", code=1).stdout
    assert "MINE_▸C_20240901T100000.SEN3" in told
    assert "wants [AB]" in told
    assert "there is no such file or folder" in refsys("types", "test", f"nowhere/{NAME}", code=2).stderr


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        (None, "has no manifest.xml"),
        ("<m>", "is not well-formed XML"),
        ('<!DOCTYPE m [<!ENTITY a "b">]><m>&a;</m>', "declares 1 entities"),
        (MANIFEST.replace("./data.nc", "../../etc/passwd"), "does not lie inside the product"),
        (MANIFEST.replace("10 10 10 10 0 0 0", "10 0 0"), "points where"),
    ],
)
def test_what_is_useless_or_dangerous_says_why(refsys, product, manifest, problem):
    (product / "manifest.xml").unlink() if manifest is None else (product / "manifest.xml").write_text(manifest)
    [found] = tried(refsys, product, code=1)
    assert problem in found["failure"]
    assert (found["type"], found["is_sound"], "attributes" in found) == ("my-type", False, False)


def test_nothing_outside_of_a_product_is_read(refsys, product, tmp_path):
    secret = tmp_path / "secret.xml"
    secret.write_text(MANIFEST)
    (product / "manifest.xml").unlink()
    (product / "manifest.xml").symlink_to(secret)
    [found] = tried(refsys, product, code=1)
    assert "is a link, a device or a pipe" in found["failure"]
    with zipfile.ZipFile(tmp_path / f"{NAME}.zip", "w") as archive:
        archive.writestr(f"{NAME}/../../manifest.xml", MANIFEST)
    [found] = tried(refsys, f"{NAME}.zip", code=1)
    assert "would leave its folder" in found["failure"]
    os.mkfifo(tmp_path / "MINE_B_20240901T100000.SEN3")
    [found] = tried(refsys, "MINE_B_20240901T100000.SEN3", code=1)
    assert "is neither a file nor a folder" in found["failure"]


def test_a_folder_where_the_type_is_one_file_is_useless(refsys, tmp_path):
    name = "S1A_OPER_AUX_RESORB_OPOD_20171213T143838_V20171213T102737_20171213T134507.EOF"
    (tmp_path / name).mkdir()
    (tmp_path / name / "inner.xml").write_text("<a/>")
    [found] = tried(refsys, name, code=1)
    assert found["failure"] == f"{name}: is a folder, where its type is one file"


def test_names_from_outside_do_not_reach_the_terminal_as_they_are(refsys):
    done = refsys("types", "test", "a\x1b[31mb[bold]", code=1)
    assert "\x1b[31m" not in done.stdout
    assert "is not a product name" in done.stdout
