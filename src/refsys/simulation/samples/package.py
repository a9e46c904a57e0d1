"""A product in memory: its name, its files and its empty folders; and the words that manifests are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from xml.sax.saxutils import quoteattr

Ring = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Sample:
    """A product: `contents` maps paths inside it to bytes; a product that is one file has the single path ``""``."""

    name: str
    contents: Mapping[str, bytes]
    folders: tuple[str, ...] = ()

    def write(self, parent: Path) -> Path:
        """Write it into `parent` and return its path."""
        target = parent / self.name
        for folder in self.folders:
            (target / folder).mkdir(parents=True, exist_ok=True)
        for path, content in self.contents.items():
            file = target / path if path else target
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return target


@dataclass(frozen=True, slots=True)
class DataObject:
    """A file as a manifest's dataObjectSection names it."""

    id: str
    path: str
    mime_type: str
    content: bytes
    schema: str = ""
    text: str = ""

    def element(self, *, algorithm: str = "MD5", prefix: str = "./") -> str:
        """The dataObject element (CCSDS 661.0-B-1, XFDU), with the size and checksum of the bytes."""
        schema = f" repID={quoteattr(self.schema)}" if self.schema else ""
        text = f" textInfo={quoteattr(self.text)}" if self.text else ""
        return (
            f"    <dataObject ID={quoteattr(self.id)}{schema}>\n"
            f'      <byteStream mimeType={quoteattr(self.mime_type)} size="{len(self.content)}">\n'
            f'        <fileLocation locatorType="URL"{text} href={quoteattr(prefix + self.path)}/>\n'
            f'        <checksum checksumName="{algorithm}">{checksum(algorithm, self.content)}</checksum>\n'
            f"      </byteStream>\n"
            f"    </dataObject>\n"
        )


def checksum(algorithm: str, content: bytes) -> str:
    """Hexadecimal digest under the name that manifests use (MD5, SHA3-256)."""
    return hashlib.new(algorithm.lower().replace("-", "_"), content).hexdigest()


@cache
def _template(name: str) -> Template:
    return Template(files(__package__).joinpath("templates", name).read_text(encoding="utf-8"))


def fill(template: str, /, **fields: object) -> bytes:
    """The template file with its `$fields` replaced; a field without value is a KeyError."""
    return _template(template).substitute(fields).encode()


def lat_lon(ring: Ring, *, separator: str, digits: int = 6) -> str:
    """Coordinates as the products write them: latitude first. `separator` stands between latitude and longitude."""
    return " ".join(f"{latitude:.{digits}f}{separator}{longitude:.{digits}f}" for longitude, latitude in ring)


def compact(instant: datetime) -> str:
    """For names: `20240917T054321`."""
    return instant.strftime("%Y%m%dT%H%M%S")


def iso(instant: datetime, zone: str = "") -> str:
    """With six digits of the second: `2024-09-17T05:43:21.012345`, then `zone`."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%f") + zone
