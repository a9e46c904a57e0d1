"""Paths of nodes: whatever stands in a URL, names come out as they went in, or it is a 404."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.nodes import node_path

ROOT = "/odata/v1/Products(04fbf1f0-2ce5-5a25-8d3a-1d4a4ea4b1f0)"
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


def is_quoted(name: str) -> bool:
    return len(name) >= 2 and name[0] == name[-1] == "'"


@settings(max_examples=200)
@given(st.lists(NAMES, min_size=1, max_size=5), st.sampled_from(["", "/$value", "/Nodes"]), st.booleans())
@example(["Nodes", "$value"], "/$value", False)
@example(["Nodes(a)", ")("], "/Nodes", False)
@example(["Products(1)"], "", True)
def test_names_come_out_as_they_went_in(names: list[str], tail: str, quoted: bool) -> None:
    # what begins and ends with a quote has to be quoted itself
    written = [f"'{name.replace(chr(39), chr(39) * 2)}'" if quoted or is_quoted(name) else name for name in names]
    path = ROOT + "".join(f"/Nodes({quote(name, safe='')})" for name in written) + tail
    assert node_path(path.encode()) == (names, tail.lstrip("/"))


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["/", "Nodes", "(", ")", "%2F", "%00", "%ff", "$value", "'", "..", "a", "%"])))
def test_whatever_stands_there_names_hold_no_slash_and_no_zero(parts: list[str]) -> None:
    names, asked = read(f"{ROOT}/Nodes{''.join(parts)}".encode()) or ([], "Nodes")
    assert asked in ("", "$value", "Nodes")
    assert names or asked == "Nodes"
    assert all(name and "/" not in name and "\0" not in name for name in names)


def read(path: bytes) -> tuple[list[str], str] | None:
    """None where that is a 404; whatever else is raised is wrong."""
    with contextlib.suppress(ODataError):
        return node_path(path)
    return None


@pytest.mark.parametrize("path", [b"", b"/", b"Products(", b"/odata/v1/Nodes(a)", b"\xff", b"//////"])
def test_paths_without_a_product_lead_nowhere(path: bytes) -> None:
    with pytest.raises(ODataError) as refused:
        node_path(path)
    assert refused.value.status == 404
