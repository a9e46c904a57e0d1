"""What FTP servers say of a folder."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.ingestion.protocols.ftplistings import read_list, read_mlsd

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "name", "kind", "size", "time"),
    [
        ("-rw-r--r--  1 1000 1000  3601469260 Feb 28 14:12 a.raw", "a.raw", "file", 3601469260, (2026, 2, 28, 14, 12)),
        ("-rw-r--r--    1 ftp      ftp           12 Nov 25 14:12 a b  c", "a b  c", "file", 12, (2025, 11, 25, 14, 12)),
        ("-rw-r--r--    1 ftp      ftp           12 Nov 25  2019  a", " a", "file", 12, (2019, 11, 25)),
        ("-rw-r--r--+   1 a Domain Users          12 Mar  1 12:00 a", "a", "file", 12, (2026, 3, 1, 12, 0)),
        ("-rw-r--r--    1 ftp      ftp           12 Feb 29 12:00 a", "a", "file", 12, (2024, 2, 29, 12, 0)),
        ("-rw-r--r--    1 ftp                    12 Jan  5 12:00 a", "a", "file", 12, (2026, 1, 5, 12, 0)),
        ("-rw-r--r-- 1 ftp ftp 12 2026-02-03 04:05 a", "a", "file", 12, (2026, 2, 3, 4, 5)),
        ("drwxr-xr-x    2 ftp      ftp         4096 Jan 01 00:00 ch_1", "ch_1", "folder", 4096, (2026, 1, 1)),
        ("lrwxrwxrwx    1 ftp      ftp            4 Jan 01 00:00 up -> ../..", "up -> ../..", "other", 4, (2026, 1, 1)),
        ("02-28-26  02:12PM                   12 a b", "a b", "file", 12, (2026, 2, 28, 14, 12)),
        ("02-28-2026  12:01AM       <DIR>          ch_1", "ch_1", "folder", None, (2026, 2, 28, 0, 1)),
        ("02-28-26  02:12PM       <JUNCTION>     x", "x", "other", None, (2026, 2, 28, 14, 12)),
    ],
)  # fmt: skip
def test_lines_of_list_are_read(line: str, name: str, kind: str, size: int | None, time: tuple[int, ...]) -> None:
    (entry,) = read_list(["total 8", line, ""], NOW).entries
    assert (entry.name, entry.kind, entry.size_bytes, entry.modified_at) == (name, kind, size, at(*time))


def test_facts_of_mlsd_are_read() -> None:
    listing = read_mlsd(
        [
            "type=cdir;modify=20260101000000; .",
            "type=pdir; ..",
            "Type=file;Size=12;Modify=20260228141233.5;UNIX.mode=0644; a b;c",
            "type=dir;modify=20260228141233; ch_1",
            "type=OS.unix=slink:/etc;size=3; link",
            "type=file;size=-1;modify=20261399000000; odd",
            "type=file;size=12;no-space",
        ]
    )
    assert [(entry.name, entry.kind, entry.size_bytes) for entry in listing.entries] == [
        ("a b;c", "file", 12),
        ("ch_1", "folder", None),
        ("link", "other", 3),
        ("odd", "file", None),
    ]
    assert listing.entries[0].modified_at == datetime(2026, 2, 28, 14, 12, 33, 500_000, tzinfo=UTC)
    assert listing.entries[3].modified_at is None
    assert listing.strange == ["type=file;size=12;no-space"]


def test_what_is_not_understood_is_said() -> None:
    strange = ["-rw-r--r-- 1 ftp ftp 12 Xxx 25 14:12 a", "13-45-26  02:12PM 12 a", "Zugriff verweigert"]
    assert read_list(strange, NOW).strange == strange


@given(st.lists(st.text(max_size=120), max_size=5))
@settings(max_examples=100)
def test_no_line_is_too_odd(lines: list[str]) -> None:
    assert len(read_list(lines, NOW).entries) + len(read_mlsd(lines).entries) <= 2 * len(lines)


@given(st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), min_size=1, max_size=40))
@settings(max_examples=100)
def test_names_come_back_as_they_were(name: str) -> None:
    (entry,) = read_mlsd([f"type=file;size=1; {name}"]).entries
    assert entry.name == name
