"""Is a product complete: do the files that came agree with those its manifest names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from refsys.catalogue.extract import ManifestMember
from refsys.core.errors import InvalidProduct
from refsys.core.products import FileEntry

_SHOWN = 3
_Item = TypeVar("_Item")


def check(members: Sequence[ManifestMember], files: Sequence[FileEntry], mode: str) -> list[str]:
    """Compare presence, size and MD5 of every file that the manifest names; one sentence for each kind of difference.

    Mode `strict` raises InvalidProduct instead, naming the first files and the count; mode `record` returns them.
    """
    present = {entry.path: entry for entry in files if not entry.is_folder}
    found = [(member, present[member.path]) for member in members if member.path in present]
    problems = [
        *_tell([m for m in members if m.path not in present], len(members), "are missing", _name),
        *_tell(
            [(m, e) for m, e in found if m.size_bytes is not None and m.size_bytes != e.size_bytes],
            len(members),
            "have another size",
            lambda pair: f"{_name(pair[0])} ({pair[1].size_bytes} bytes, {pair[0].size_bytes} announced)",
        ),
        *_tell(
            [(m, e) for m, e in found if m.size_bytes in (None, e.size_bytes) and m.md5 and _differs(m.md5, e)],
            len(members),
            "have another MD5",
            lambda pair: f"{_name(pair[0])} ({pair[1].md5.hex()}, {pair[0].md5} announced)",
        ),
    ]
    if problems and mode == "strict":
        raise InvalidProduct(
            "; ".join(problems),
            subject=members[0].path.partition("/")[0],
            advice="fetch it again or ask the station for the complete product; to take it as it is, set the inbox's "
            "completeness to 'record'",
        )
    return problems


def _tell(wrong: Sequence[_Item], total: int, what: str, show: Callable[[_Item], str]) -> list[str]:
    if not wrong:
        return []
    shown = ", ".join(show(item) for item in wrong[:_SHOWN])
    more = ", ..." if len(wrong) > _SHOWN else ""
    return [f"{len(wrong)} of the {total} files that the manifest names {what}: {shown}{more}"]


def _name(member: ManifestMember) -> str:
    return member.path.partition("/")[2]


def _differs(md5: str, entry: FileEntry) -> bool:
    return bool(entry.md5) and entry.md5.hex() != md5
