"""Sentinel-1's memory on board: which packet store is of which kind, and how soon what lay in it must be down.

The kinds come from AUX_OBMEMC, an XML file valid for a period (list of `PacketStoreAssociation`: `PacketStoreId` PS-n,
`VirtualChannelId` VC-n, `PacketStoreType`, `Polarization` H or V); the timeliness of a kind, and the kinds where no
such file is at hand, from the tables (section `packet_stores`; spec/catalogue 6.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from refsys.infra import xml
from refsys.missions.model import PacketStores

#: The best first: a product is as urgent as the most urgent of its packets.
_BEST: Final = ("PT", "NRT", "FAST24")
_UNKNOWN: Final = "FAST24"
_NUMBER = re.compile(r"(?:PS|VC)-(\d{1,4})")


@dataclass(frozen=True, slots=True)
class PacketStore:
    """One packet store: its number, the virtual channel it is sent in (None where that is not told), its kind (NRT,
    HKTM, …) and the polarisation that it holds (H, V or empty)."""

    number: int
    virtual_channel: int | None
    kind: str
    polarisation: str


def read_memory(content: bytes, name: str) -> dict[int, PacketStore]:
    """The packet stores of an AUX_OBMEMC file by number; entries without number or kind are left out.

    Raises InvalidProduct where it is not XML, HostileInput where it is dangerous.
    """
    stores: dict[int, PacketStore] = {}
    for entry in xml.parse(content, subject=name).iter("{*}PacketStoreAssociation"):
        number, kind = _number(entry, "PacketStoreId"), _text(entry, "PacketStoreType")
        if number is not None and kind:
            channel, polarisation = _number(entry, "VirtualChannelId"), _text(entry, "Polarization")
            stores[number] = PacketStore(number, channel, kind, polarisation)
    return stores


def timeliness_of_stores(
    attributes: Mapping[str, Any], memory: Mapping[int, PacketStore] | None, table: Sequence[PacketStores]
) -> tuple[dict[str, Any], list[str]]:
    """The timeliness of a level 0 product by its packet stores: the best of theirs, and what was not sound about it.

    `memory` is the AUX_OBMEMC valid at sensing, None where there is none: then `table` says which stores are of which
    kind. A store or kind that is unknown counts as FAST24.
    """
    problems: list[str] = []
    if memory is None:
        problems.append("no AUX_OBMEMC covers its sensing: its timeliness comes from the packet stores of the tables")
    found: set[str] = set()
    for text in attributes["packetStoreID"]:
        kind = _kind(text, memory, table)
        timeliness = next((row.timeliness for row in table if row.kind.lower() == kind.lower()), "")
        if not timeliness:
            what = f"of the unknown kind {kind[:40]!a}" if kind else "unknown"
            problems.append(f"packet store {text[:40]!a} is {what}; its timeliness is taken for {_UNKNOWN}")
        found.add(timeliness or _UNKNOWN)
    return {"timeliness": next(name for name in _BEST if name in found)}, problems


def _kind(text: str, memory: Mapping[int, PacketStore] | None, table: Sequence[PacketStores]) -> str:
    if not re.fullmatch("[0-9]{1,4}", text):
        return ""
    number = int(text)
    if memory is not None:
        return memory[number].kind if number in memory else ""
    return next(
        (
            row.kind
            for row in table
            if row.first is not None and row.last is not None and row.first <= number <= row.last
        ),
        "",
    )


def _text(entry: etree._Element, name: str) -> str:
    child = next(entry.iterchildren(f"{{*}}{name}"), None)
    return (child.text or "").strip() if child is not None else ""


def _number(entry: etree._Element, name: str) -> int | None:
    match = _NUMBER.fullmatch(_text(entry, name))
    return int(match[1]) if match else None
