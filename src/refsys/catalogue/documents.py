"""The metadata files of one product: found by pattern, parsed once, searched in one walk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from lxml import etree

from refsys.core.errors import InvalidProduct
from refsys.core.products import FileEntry
from refsys.infra import xml
from refsys.infra.xmlpath import Anchors
from refsys.missions import Document, Recognised
from refsys.missions.model import Source


class Read(Protocol):
    """Reads a member of a product, whole or its first bytes."""

    def __call__(self, path: str, most_bytes: int | None = None, /) -> bytes: ...


class Documents:
    """The documents of a product, by the names that its type's row gives them.

    Raises InvalidProduct at once where a required one, or every one of several, is missing; HostileInput or
    InvalidProduct when one that is not sound is first looked into.
    """

    def __init__(self, recognised: Recognised, read: Read, files: Sequence[FileEntry]) -> None:
        self._read = read
        self._documents = {document.name: document for document in recognised.type.documents}
        self._paths = {document.name: _find(document, recognised, files) for document in recognised.type.documents}
        if len(self._paths) > 1 and not any(self._paths.values()):
            patterns = " or ".join(document.pattern for document in recognised.type.documents)
            raise _lacks(patterns, recognised, files)
        self._roots: dict[str, list[etree._Element]] = {}
        self._anchors: dict[str, list[Anchors]] = {}

    def texts(self, source: Source, *, all_of_them: bool = True) -> list[str]:
        """Every value at a source that is not blank, or only the first; none where the document is absent."""
        found = self._anchors.get(source.document)
        if found is None:
            wanted = self._documents[source.document].anchors
            found = self._anchors[source.document] = [Anchors(root, wanted) for root in self.roots(source.document)]
        texts: list[str] = []
        for anchors in found:
            for text in source.path.values(anchors):
                texts.append(text)
                if not all_of_them:
                    return texts
        return texts

    def roots(self, name: str) -> list[etree._Element]:
        """The roots of a document's files; none where it is absent."""
        roots = self._roots.get(name)
        if roots is None:
            beside = self._documents[name].beside
            paths = self._paths[name] if not beside or any(self._paths[other] for other in beside) else []
            roots = self._roots[name] = [self._parse(path, self._documents[name].embedded) for path in paths]
        return roots

    def _parse(self, path: str, embedded: str) -> etree._Element:
        if embedded:
            return xml.parse_embedded(self._read(path, xml.EMBEDDED_LIMIT), embedded, subject=path)
        return xml.parse(self._read(path), subject=path)


def _find(document: Document, recognised: Recognised, files: Sequence[FileEntry]) -> list[str]:
    """The paths of a document in the file table, none where it is absent and may be."""
    if not document.pattern:
        return [recognised.name]
    path = f"{recognised.name}/{document.pattern}"
    if "*" in path or "?" in path:
        pattern = glob_pattern(path)
        found = sorted(entry.path for entry in files if not entry.is_folder and pattern.fullmatch(entry.path))
    else:
        found = [entry.path for entry in files if not entry.is_folder and entry.path == path]
    if found:
        return found if document.many else found[:1]
    if document.required:
        raise _lacks(document.pattern, recognised, files)
    return []


def _lacks(pattern: str, recognised: Recognised, files: Sequence[FileEntry]) -> InvalidProduct:
    return InvalidProduct(
        f"has no {pattern}, which describes a {recognised.type.id} product ({len(files)} files came)",
        subject=recognised.name,
        advice="compare it with the station's; fetch it again, or ask the station to publish it complete",
    )


@lru_cache(maxsize=4096)
def glob_pattern(text: str) -> re.Pattern[str]:
    """`*` is anything within one folder level, `?` one character of it."""
    wild = {"*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(wild.get(piece) or re.escape(piece) for piece in re.split(r"([*?])", text)))
