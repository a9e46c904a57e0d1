"""What `refsys types test` finds out: which type a name has, or why none, and what would be said of the product.

No database is asked and nothing is written: of a delivery only its metadata are kept, in memory.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from refsys.catalogue.completeness import check
from refsys.catalogue.documents import glob_pattern
from refsys.catalogue.extract import examine_files
from refsys.core.errors import ConfigurationError, HostileInput, InvalidProduct, RefsysError
from refsys.core.footprints import bbox
from refsys.core.products import Description, FileEntry, canonical_name
from refsys.core.times import format_instant
from refsys.distribution.odata.documents import wkt
from refsys.infra import xml
from refsys.infra.storage import BytesWriter
from refsys.ingestion.archives import Limits, store_folder
from refsys.ingestion.delivery import take_delivery
from refsys.missions import Recognised, TypeRegistry, storage_base
from refsys.missions.functions import DERIVED_WITH
from refsys.missions.patterns import Reach, how_far

#: Rows told of a name that none of them knows.
NEAR: Final = 3
#: Bytes of metadata that are kept of one product.
_MOST_KEPT: Final = 4 * xml.SIZE_LIMIT
_BASE: Final = "trial"


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a name or product.

    `recognised` None: no row knows the name, `near` are the rows that go along with it farthest. `others` are rows that
    match too, but are asked later. `failure` is why nothing could be said of the product; `description` is None then,
    and where only a name was given. `origins` says where each attribute comes from, `lacking` what its manifest names
    and did not come, `unasked` which auxiliaries of the catalogue would add to it.
    """

    given: str
    name: str
    recognised: Recognised | None = None
    near: tuple[tuple[str, Reach], ...] = ()
    others: tuple[str, ...] = ()
    failure: str = ""
    description: Description | None = None
    origins: dict[str, str] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        return self.recognised is not None and not self.failure

    @property
    def storage_key(self) -> str:
        """Where it would lie; without its metadata, up to the date."""
        assert self.recognised is not None
        start = self.description.sensing_start if self.description else None
        return f"{storage_base(self.recognised, start)}/{self.name}"


def try_out(given: str, types: TypeRegistry, limits: Limits) -> Trial:
    """Try a folder, file or archive that is there, else a name. Raises ConfigurationError where a path is not there."""
    path = Path(given)
    is_there = os.path.lexists(path)
    if not is_there and "/" in given:
        raise ConfigurationError("there is no such file or folder", subject=ascii(given)[1:-1])
    offered = path.name if path.name not in ("", "..") else path.resolve().name
    trial = try_name(offered, types)
    if trial.recognised is None or not is_there:
        return replace(trial, given=given)
    return replace(_describe(trial, offered, path.resolve(), trial.recognised, limits), given=given)


def try_name(offered: str, types: TypeRegistry) -> Trial:
    """Which type a name has, with or without archive suffix."""
    name = canonical_name(offered)
    try:
        recognised = types.recognise(name)
    except HostileInput as error:
        return Trial(offered, name, failure=str(error))
    except RefsysError as error:
        reaches = [(kind.id, how_far(kind.name, name)) for kind in types.types.values()]
        near = sorted((pair for pair in reaches if pair[1].end), key=lambda pair: -pair[1].end)[:NEAR]
        return Trial(offered, name, failure=error.message, near=tuple(near))
    others = tuple(found.type.id for found in types.matching(name))[1:]
    return Trial(offered, name, recognised, others=others)


def _describe(trial: Trial, offered: str, path: Path, recognised: Recognised, limits: Limits) -> Trial:
    kept = _Metadata(recognised)
    origins: dict[str, str] = {}
    try:
        files = _take(offered, path, recognised, kept, limits)
        description, members = examine_files(recognised, kept.read, files, origins)
        lacking = tuple(check(members, files, "record"))
    except (RefsysError, OSError) as error:
        return replace(trial, failure=str(error))
    wanted = [DERIVED_WITH[name] for name in recognised.type.derive_with]
    unasked = tuple(function.product_type for function in wanted if function.wanted in description.attributes)
    return replace(trial, description=description, origins=origins, lacking=lacking, unasked=unasked)


def _take(offered: str, path: Path, recognised: Recognised, kept: _Metadata, limits: Limits) -> Sequence[FileEntry]:
    if path.is_dir():
        return store_folder(path, product=recognised.name, base=_BASE, batch=kept, limits=limits)
    if not path.is_file():
        raise HostileInput("is neither a file nor a folder", subject=offered)
    with path.open("rb") as file:
        return take_delivery(file, offered, recognised, base=_BASE, batch=kept, limits=limits)


class _Metadata:
    """A storage batch that keeps the files that the type's documents name, and forgets all others."""

    def __init__(self, recognised: Recognised) -> None:
        name = recognised.name
        documents = recognised.type.documents
        self._limits = [
            (
                glob_pattern(f"{name}/{document.pattern}" if document.pattern else name),
                xml.EMBEDDED_LIMIT if document.embedded else xml.SIZE_LIMIT + 1,
            )
            for document in documents
        ]
        self._kept: dict[str, bytearray] = {}
        self._size_bytes = 0

    @contextlib.contextmanager
    def create(self, key: str) -> Iterator[BytesWriter]:
        yield _Writer(self, key.removeprefix(f"{_BASE}/"))

    def put(self, key: str, data: bytes) -> None:
        self.add(key.removeprefix(f"{_BASE}/"), data)

    def add(self, path: str, data: bytes | memoryview) -> None:
        """More bytes of a file; of one that is too large for metadata one byte more than allowed is kept."""
        limits = [most for pattern, most in self._limits if pattern.fullmatch(path)]
        if not limits:
            return
        kept = self._kept.setdefault(path, bytearray())
        piece = data[: max(limits) - len(kept)]
        self._size_bytes += len(piece)
        if self._size_bytes > _MOST_KEPT:
            raise HostileInput(f"has more than {_MOST_KEPT} bytes of metadata", subject=path.partition("/")[0])
        kept += piece

    def read(self, path: str, most_bytes: int | None = None, /) -> bytes:
        if path not in self._kept:
            raise InvalidProduct("is a folder, where its type is one file", subject=path)
        return bytes(self._kept[path][:most_bytes])


@dataclass(frozen=True, slots=True)
class _Writer:
    metadata: _Metadata
    path: str

    def write(self, data: bytes | memoryview, /) -> None:
        self.metadata.add(self.path, data)


def to_json(trial: Trial, types: TypeRegistry) -> dict[str, Any]:
    """A trial as JSON has it; what was not found out is left out."""
    found: dict[str, Any] = {"given": trial.given, "name": trial.name, "is_sound": trial.is_sound}
    if trial.failure:
        found["failure"] = trial.failure
    if trial.recognised is None:
        near = [{"type": row, "matched": trial.name[: r.end], "wanted": r.wanted} for row, r in trial.near]
        return found | {"type": None, "near": near}
    kind = trial.recognised.type
    found |= {
        "type": kind.id,
        "pattern": kind.name.pattern,
        "groups": dict(trial.recognised.fields),
        "also_matched_by": list(trial.others),
        "product_type": trial.recognised.product_type,
        "prip_type": trial.recognised.prip_type,
        "mission": trial.recognised.mission,
        "platform": trial.recognised.platform,
        "storage_key": trial.storage_key,
        "package": f"{trial.name}{kind.package_suffix}",
    }
    description = trial.description
    if description is None:
        return found
    footprint = description.footprint
    return found | {
        "timeliness": kind.timeliness.class_of(description.attributes),
        "sensing_start": format_instant(description.sensing_start) if description.sensing_start else None,
        "sensing_stop": format_instant(description.sensing_stop) if description.sensing_stop else None,
        "footprint": wkt(footprint) if footprint else None,
        "bbox": bbox(footprint) if footprint else None,
        "footprint_quality": description.footprint_quality,
        "attributes": {
            name: {"value": value, "type": types.attributes[name].type, "source": trial.origins[name]}
            for name, value in sorted(description.attributes.items())
        },
        "problems": list(description.problems),
        "lacking": list(trial.lacking),
        "unasked": list(trial.unasked),
    }
