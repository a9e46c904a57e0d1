"""Products that already lie in our storage: found by their names, read once, and left where they are.

…/NAME/…             a product that is a folder
…/NAME               a product that is one file
…/NAME.md5sum        checksums of its files, which are compared (spec/operations 16.2); no product
…/NAME.zip           an archive: nothing here unpacks it, an inbox does
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final

from blake3 import blake3
from isal import isal_zlib

from refsys.catalogue import commands
from refsys.catalogue.takeover.runs import Line, Outcome, Run, known_names
from refsys.core import steps
from refsys.core.errors import HostileInput, InvalidProduct, RefsysError
from refsys.core.products import Arrival, FileEntry, canonical_name
from refsys.infra.storage import MissingObject, ObjectInfo, Storage, object_key
from refsys.missions import TypeRegistry

#: Where fetched products lie until they are packaged (ingestion.service.ATTEMPTS): those arrive by themselves.
_ATTEMPTS: Final = "attempts/"
_SUMS: Final = ".md5sum"
_LARGEST_SUMS: Final = 64 * 2**20
_PIECE: Final = 4 * 2**20
#: Products that are read at the same time; they arrive in one transaction.
_TOGETHER: Final = 4


@dataclass(frozen=True, slots=True, order=True)
class Root:
    """Where a product lies: below `base`, which is empty for the top of storage."""

    base: str
    name: str

    @property
    def key(self) -> str:
        return object_key(self.base, self.name)


@dataclass(slots=True)
class Findings:
    """What lies in storage: products by the names of types, archives of them, and their files of checksums.

    `strange` are keys that nothing can be stored under.
    """

    roots: set[Root] = field(default_factory=set)
    archives: set[str] = field(default_factory=set)
    sums: set[str] = field(default_factory=set)
    strange: set[str] = field(default_factory=set)
    others: int = 0

    def sort(self, key: str, is_product: Callable[[str], bool]) -> None:
        """Say what an object is; the outermost name of a product counts."""
        segments = key.split("/")
        last = segments[-1]
        place = next((place for place, segment in enumerate(segments) if is_product(segment)), None)
        if place is not None and not key.isprintable():
            self.strange.add(ascii(key)[1:-1])
        elif place is not None:
            self.roots.add(Root("/".join(segments[:place]), segments[place]))
        elif last.endswith(_SUMS):
            self.sums.add(key)
        elif canonical_name(last) != last and is_product(canonical_name(last)):
            self.archives.add(key)
        else:
            self.others += 1


class Stopped(Exception):
    """Reading was given up."""


@dataclass(slots=True)
class Reader:
    """Looks into storage and reads products (blocking); after `close`, which any thread may call, it does no more."""

    storage: Storage
    is_stopped: bool = False

    def close(self) -> None:
        self.is_stopped = True

    def look(self, prefix: str, types: TypeRegistry) -> Findings:
        """Everything under a prefix of keys."""

        @lru_cache(maxsize=100_000)
        def is_product(segment: str) -> bool:
            try:
                types.recognise(segment)
            except RefsysError:
                return False
            return True

        findings = Findings()
        for info in self.storage.list(prefix):
            if self.is_stopped:
                raise Stopped
            if not info.key.startswith(_ATTEMPTS) and not info.key.endswith("/"):
                findings.sort(info.key, is_product)
        return findings

    def files_of(self, root: Root, sums: bool) -> tuple[tuple[FileEntry, ...], datetime]:
        """The file table of a product, and when the last of its files was written; `sums`: compare its checksums.

        Raises HostileInput where a key is none of ours, InvalidProduct where the checksums say otherwise.
        """
        infos = list(self._infos(root))
        if not infos:
            raise InvalidProduct("is gone", subject=root.name)
        entries = tuple(self._entry(info, info.key[len(root.key) - len(root.name) :]) for info in infos)
        if sums:
            _compare(root, entries, self._sums(root))
        return entries, max(info.modified_at for info in infos)

    def _infos(self, root: Root) -> Iterator[ObjectInfo]:
        whole = self.storage.stat(root.key)
        if whole is not None:
            yield whole
            return
        found = (info for info in self.storage.list(f"{root.key}/") if not info.key.endswith("/"))
        yield from sorted(found, key=lambda info: info.key)

    def _entry(self, info: ObjectInfo, path: str) -> FileEntry:
        reader = self.storage.open(info.key)
        crc, md5, digest, offset = 0, hashlib.md5(usedforsecurity=False), blake3(), 0
        try:
            size = reader.size_bytes
            while offset < size:
                if self.is_stopped:
                    raise Stopped
                data = reader.read_at(offset, min(_PIECE, size - offset))
                if not data:
                    raise InvalidProduct(f"its file {path} ends at {offset} bytes, before its end", subject=path)
                crc = isal_zlib.crc32(data, crc)
                md5.update(data)
                digest.update(data)
                offset += len(data)
        finally:
            reader.close()
        return FileEntry(path, size, crc, md5.digest(), digest.digest())

    def _sums(self, root: Root) -> dict[str, str]:
        """Path → MD5 in hex, of the lines `md5 eTag path` or `md5 path` that are about this product."""
        key = f"{root.key}{_SUMS}"
        info = self.storage.stat(key)
        if info is None or info.size_bytes > _LARGEST_SUMS:
            raise InvalidProduct(f"its checksums {key} cannot be read", subject=root.name)
        found = {}
        for line in self.storage.read(key).decode(errors="replace").splitlines():
            words = line.split()
            if len(words) in (2, 3):
                _, middle, rest = f"/{words[-1]}".partition(f"/{root.name}")
                if middle and (not rest or rest.startswith("/")):
                    found[f"{root.name}{rest}"] = words[0].lower()
        return found


def _compare(root: Root, entries: Sequence[FileEntry], sums: Mapping[str, str]) -> None:
    if not sums:
        raise InvalidProduct(f"its checksums {root.key}{_SUMS} name none of its files", subject=root.name)
    found = {entry.path: entry.md5.hex() for entry in entries}
    problems = [f"{path} is missing" for path in sums.keys() - found.keys()]
    problems += [f"{path} is not in it" for path in found.keys() - sums.keys()]
    problems += [f"{path} has another MD5" for path in found.keys() & sums.keys() if found[path] != sums[path]]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InvalidProduct(
            f"does not agree with its checksums {root.key}{_SUMS}: {', '.join(sorted(problems)[:3])}{more}",
            subject=root.name,
        )


async def take_over(
    run: Run, reader: Reader, types: TypeRegistry, findings: Findings, *, completeness: str = "strict"
) -> None:
    """Let the products that the catalogue does not know arrive where they lie, in the order of their places.

    Their steps are those of every product that arrives: they are described, packaged and published.
    """
    if not run.is_resumed:
        told = "an archive: fetch it through an inbox, which unpacks it"
        lines = [Line(Outcome.ARCHIVE, "", ascii(key)[1:-1], told) for key in sorted(findings.archives)]
        lines += [Line(Outcome.REFUSED, "", key, "is no storage key") for key in sorted(findings.strange)]
        run.told({}, lines)
    reached = Root(run.place.get("base", ""), run.place["name"]) if "name" in run.place else None
    roots = [root for root in sorted(findings.roots) if reached is None or root > reached]
    for start in range(0, len(roots), _TOGETHER):
        await _take(run, reader, types, findings, roots[start : start + _TOGETHER], completeness)


async def _take(
    run: Run, reader: Reader, types: TypeRegistry, findings: Findings, roots: Sequence[Root], completeness: str
) -> None:
    known = await known_names(run.connection, [root.name for root in roots])
    new: dict[str, Root] = {}
    lines = []
    for root in roots:
        if root.name in known or root.name in new:
            lines.append(Line(Outcome.KNOWN, root.name, root.key))
        else:
            new[root.name] = root
    if run.dry_run:
        run.told({}, [*lines, *(Line(Outcome.ENTERED, root.name, root.key) for root in new.values())])
        return
    reads = [_read(reader, root, f"{root.key}{_SUMS}" in findings.sums) for root in new.values()]
    place = {"base": roots[-1].base, "name": roots[-1].name}
    found = await asyncio.gather(*reads)
    async with run.connection.transaction():
        for root, read in zip(new.values(), found, strict=True):
            if isinstance(read, RefsysError):
                lines.append(Line(Outcome.REFUSED, root.name, root.key, read.message))
                continue
            await commands.arrive(
                run.connection, _arrival(root, types, *read, completeness), priority=steps.PRIORITY_BACKLOG
            )
            lines.append(Line(Outcome.ENTERED, root.name, root.key))
        await run.move(place, lines)
    run.told(place, lines)


async def _read(reader: Reader, root: Root, sums: bool) -> tuple[tuple[FileEntry, ...], datetime] | RefsysError:
    """The file table, or why the product is refused. What storage itself refuses ends the import."""
    try:
        return await asyncio.to_thread(reader.files_of, root, sums)
    except (HostileInput, InvalidProduct, MissingObject) as error:
        return error


def _arrival(
    root: Root, types: TypeRegistry, files: tuple[FileEntry, ...], written_at: datetime, completeness: str
) -> Arrival:
    return Arrival(
        name=root.name,
        base=root.base,
        files=files,
        source="import bucket",
        completeness=completeness,
        available_at=written_at,
        mission=types.recognise(root.name).mission or None,
        in_place=True,
    )
