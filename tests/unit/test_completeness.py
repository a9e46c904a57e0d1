"""The files that a manifest names: inside the product, there, and as announced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from refsys.catalogue.completeness import check
from refsys.core.errors import HostileInput, InvalidProduct
from tests.memory import Case, refused, sentinel1

HREF = "./preview/quick-look.png"
NAMED = "files that the manifest names"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return sentinel1(tmp_path_factory.mktemp("products"))


@pytest.mark.parametrize(
    "href",
    [
        "../other/file", "./../../x", "measurement/../../x", "/etc/passwd", "//host/share", "file:///etc/passwd",
        "http://example.org/x", "C:/x", "c:x", "..\\x", "a\\b", ".", "./", "a/..", "a&#10;b", "a&#9;b",
    ],
)  # fmt: skip
def test_a_manifest_that_names_a_file_outside_the_product_is_hostile(sound: Case, href: str) -> None:
    told = refused(sound.edited((HREF, href)), HostileInput)
    assert "which does not lie inside the product" in told
    assert told.isprintable()


@pytest.mark.parametrize(
    "href", ["preview/quick-look.png", "./preview//quick-look.png", " ./preview/./quick-look.png "]
)
def test_references_are_read_in_every_form_that_manifests_use(sound: Case, href: str) -> None:
    case = sound.edited((HREF, href))
    description, members = case.examine()
    assert description.problems == ()
    assert check(members, case.files(), "strict") == []


@pytest.mark.parametrize("size", ["", "many", "-1", "1e3", "٢٣٦", "9" * 5000])
def test_a_size_that_is_no_number_is_not_compared(sound: Case, size: str) -> None:
    [member] = [
        each for each in sound.edited(('size="236"', f'size="{size}"')).examine()[1] if "quick-look" in each.path
    ]
    assert member.size_bytes is None
    assert member.md5


def test_a_checksum_that_is_no_md5_is_not_compared(sound: Case) -> None:
    case = sound.edited(('checksumName="MD5"', 'checksumName="SHA3-256"'))
    assert {member.md5 for member in case.examine()[1]} == {None}
    broken = sound.edited(('<checksum checksumName="MD5">', '<checksum checksumName="MD5">dummy'))
    assert {member.md5 for member in broken.examine()[1]} == {None}
    lower = sound.edited(('checksumName="MD5"', 'checksumName="md5"'))
    assert all(member.md5 for member in lower.examine()[1])


def missing(sound: Case) -> Case:
    return sound.without("preview/quick-look.png")


def longer(sound: Case) -> Case:
    return sound.holding("preview/quick-look.png", b"x" * 237)


def other(sound: Case) -> Case:
    content = sound.contents["preview/quick-look.png"]
    return sound.holding("preview/quick-look.png", content[:-1] + b"\0")


def folder(sound: Case) -> Case:
    return replace(sound.without("preview/quick-look.png"), folders=("preview/quick-look.png",))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (missing, f"1 of the 8 {NAMED} are missing: preview/quick-look.png"),
        (folder, f"1 of the 8 {NAMED} are missing: preview/quick-look.png"),
        (longer, f"1 of the 8 {NAMED} have another size: preview/quick-look.png (237 bytes, 236 announced)"),
        (other, f"1 of the 8 {NAMED} have another MD5: preview/quick-look.png ("),
    ],
)
def test_what_lacks_is_refused_where_strict_and_recorded_otherwise(
    sound: Case, change: Callable[[Case], Case], problem: str
) -> None:
    case = change(sound)
    _, members = case.examine()
    [recorded] = check(members, case.files(), "record")
    assert recorded.startswith(problem)
    with pytest.raises(InvalidProduct) as caught:
        check(members, case.files(), "strict")
    assert caught.value.subject == case.name
    assert caught.value.message == recorded
    assert "completeness to 'record'" in caught.value.advice


def test_many_differences_are_one_sentence_for_each_kind(sound: Case) -> None:
    empty = replace(
        sound, contents=dict.fromkeys(sound.contents, b"") | {"manifest.safe": sound.contents["manifest.safe"]}
    )
    _, members = empty.examine()
    [told] = check(members, empty.files(), "record")
    assert told.startswith("8 of the 8 files that the manifest names have another size: annotation/")
    assert told.endswith(", ...")
    assert told.count(" announced)") == 3
    half = empty.without("preview/quick-look.png")
    assert [sentence[:10] for sentence in check(members, half.files(), "record")] == ["1 of the 8", "7 of the 8"]


def test_files_that_no_manifest_names_are_welcome(sound: Case) -> None:
    more = sound.holding("support/s1-level-1.xsd", b"<x/>")
    assert check(more.examine()[1], more.files(), "strict") == []
