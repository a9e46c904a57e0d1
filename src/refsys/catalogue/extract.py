"""What a product's metadata says: its description, and the files that its manifest names (spec/catalogue 4 to 6).

Everything that differs between types is in their rows (refsys.missions); this module only follows them. It is pure
computation on bytes that `read` brings; call it in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from lxml import etree

from refsys.catalogue.documents import Documents, Read
from refsys.catalogue.values import Values
from refsys.core.errors import HostileInput, InvalidProduct
from refsys.core.footprints import Footprint
from refsys.core.products import Description, FileEntry
from refsys.core.times import FOREVER, format_instant
from refsys.missions import Recognised
from refsys.missions.footprint_rules import RULES, WrongCount
from refsys.missions.functions import DERIVED

_MD5 = re.compile(r"[0-9a-fA-F]{32}")
_SIZE = re.compile(r"[0-9]{1,18}")
# nearly all references are such, and need no closer look
_PLAIN = re.compile(r"(?:\./)?([A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*)")
_UNUSABLE = re.compile(r"[\x00-\x1f\\]")
_OUTSIDE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|/")


class ManifestMember(NamedTuple):
    """A file that a manifest names. `path` begins with the product's name; `md5` is lower-case hex."""

    path: str
    size_bytes: int | None
    md5: str | None


def examine_files(
    recognised: Recognised, read: Read, files: Sequence[FileEntry], origins: dict[str, str] | None = None
) -> tuple[Description, list[ManifestMember]]:
    """Describe a product from its metadata and its name, and list the files that its manifest names.

    `read(path)` gives the bytes of a member of `files`. What is not sound is left out and told in
    `Description.problems`; `origins` is told where each attribute comes from. Raises InvalidProduct where the product
    is useless (no metadata, not XML, a footprint without the points it needs), HostileInput where its XML is dangerous
    or its manifest names files outside it.
    """
    documents = Documents(recognised, read, files)
    description = _describe(recognised, documents, origins)
    manifest = recognised.type.manifest
    name = next((d.name for d in recognised.type.documents if manifest is not None and d.pattern == manifest), "")
    roots = documents.roots(name) if name else []
    return description, [member for root in roots for member in _members(recognised, root)]


def _describe(recognised: Recognised, documents: Documents, origins: dict[str, str] | None) -> Description:
    kind = recognised.type
    values = Values(documents, recognised.fields, origins)
    for rule in kind.attributes:
        values.apply(rule)
    start, stop = _sensing(recognised, values)
    for name in kind.derive:
        for key, value in DERIVED[name](values.plain, recognised.fields).items():
            values.set(key, value, f"function {name}")
    _check_orbits(recognised, values)
    footprint = _footprint(recognised, documents, values.problems)
    return Description(
        sensing_start=start,
        sensing_stop=stop,
        footprint=footprint.geometry,
        attributes=values.plain,
        problems=tuple(values.problems),
        footprint_quality=footprint.quality,
    )


def _sensing(recognised: Recognised, values: Values) -> tuple[datetime | None, datetime | None]:
    """Start and stop of sensing, or of validity; an open end is FOREVER."""
    kind = recognised.type
    start, stop = (values.instants.get(name) for name in kind.sensing)
    if stop is None and kind.open_ended:
        stop = FOREVER
        values.set(kind.sensing[1], stop, "open end")
    for name, instant in zip(kind.sensing, (start, stop), strict=True):
        if (
            instant is None
            and not kind.undated
            and not any(problem.startswith(f"{name} is not given") for problem in values.problems)
        ):
            values.problems.append(f"{name} is not given")
    if start is not None and stop is not None and stop < start:
        values.problems.append(f"it stops ({format_instant(stop)}) before it starts ({format_instant(start)})")
    return start, stop


def _check_orbits(recognised: Recognised, values: Values) -> None:
    """Flag orbits that do not belong together; never reject (errata 18)."""
    rule = recognised.type.relative_orbit
    absolute, relative = values.plain.get("orbitNumber"), values.plain.get("relativeOrbitNumber")
    offset = rule.offsets.get(recognised.platform) if rule else None
    if rule is None or offset is None or not isinstance(absolute, int) or not isinstance(relative, int):
        return
    wanted = (absolute - offset) % rule.cycle + 1
    if wanted != relative:
        values.problems.append(
            f"relativeOrbitNumber is {relative}, but orbit {absolute} of satellite {recognised.platform} has {wanted}"
        )


def _footprint(recognised: Recognised, documents: Documents, problems: list[str]) -> Footprint:
    rule = recognised.type.footprint
    if rule is None:
        return Footprint(None)
    for source in rule.read:
        texts = documents.texts(source)
        if not texts:
            continue
        try:
            return RULES[rule.rule](texts)
        except WrongCount as error:
            raise InvalidProduct(
                f"its footprint ({source}) {error}",
                subject=recognised.name,
                advice="compare the manifest with the station's and ask for a correct one",
            ) from None
        except ValueError as error:
            problems.append(f"its footprint ({source}) {error}; left out")
    if rule.expected and not any(problem.startswith("its footprint") for problem in problems):
        problems.append(f"its footprint is not given at {' or '.join(str(source) for source in rule.read)}")
    return Footprint(None)


def _members(recognised: Recognised, root: etree._Element) -> list[ManifestMember]:
    """`dataObject/byteStream` of an XFDU manifest: size, fileLocation/@href, checksum (CCSDS 661.0)."""
    members: list[ManifestMember] = []
    folder = f"{recognised.name}/"
    for stream in root.iter("{*}byteStream"):
        href, md5 = "", ""
        for child in stream:
            tag = child.tag.rpartition("}")[2]
            if tag == "fileLocation":
                href = href or child.get("href", "").strip()
            elif tag == "checksum" and child.get("checksumName", "").upper() == "MD5":
                md5 = md5 or (child.text or "").strip().lower()
        if href:
            plain = _PLAIN.fullmatch(href)
            path = plain[1] if plain else _inside(recognised, href)
            size = stream.get("size", "")
            size_bytes = int(size) if _SIZE.fullmatch(size) else None
            members.append(ManifestMember(folder + path, size_bytes, md5 if _MD5.fullmatch(md5) else None))
    return members


def _inside(recognised: Recognised, href: str) -> str:
    """A manifest's reference as a path within the product."""
    steps = [step for step in href.split("/") if step not in ("", ".")]
    if _UNUSABLE.search(href) or _OUTSIDE.match(href) or ".." in steps or not steps:
        raise HostileInput(
            f"its manifest names {href[:100]!a}, which does not lie inside the product",
            subject=recognised.name,
            advice="nothing was read there; ask the station what it sent, and delete the step",
        )
    return "/".join(steps)
