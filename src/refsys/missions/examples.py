"""Names that products have: for whoever has to try a pattern before the first product comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Example:
    """A product's name, its type's id, and what is read out of it; `key` is its place in storage without the date."""

    type: str
    name: str
    product_type: str
    satellite: str
    key: str


def examples() -> Iterator[Example]:
    """At least one for every type of the built-in tables."""
    heading: list[str] = []
    for line in (files("refsys.missions") / "examples.txt").read_text("utf-8").splitlines():
        if line.startswith(" "):
            kind, product_type, satellite, key = heading
            yield Example(kind, line.strip(), product_type, satellite.strip("-"), key)
        elif line and not line.startswith("#"):
            heading = line.split()
