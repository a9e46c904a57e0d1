"""Rules that cannot be a row: named functions that the tables refer to.

VALUES turn the texts read for one attribute into its text (or texts); a blank result counts as not given.
DERIVED compute attributes from the others of a product; they see what was read and return what they add.
DERIVED_WITH do so from the contents of an auxiliary too, which the catalogue selects by validity.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refsys.core.times import parse_instant
from refsys.missions.model import PacketStores
from refsys.missions.packet_stores import read_memory, timeliness_of_stores

Derive = Callable[[Mapping[str, Any], Mapping[str, str]], dict[str, Any]]

#: Length and overlap of Sentinel-1 slices in seconds, by mode (spec/catalogue 6.3); modes without slices are absent.
_SLICES_S = {"EW": (60.0, 8.2), "IW": (25.0, 7.4), "SM": (25.0, 7.7)}
_DATATAKE = re.compile(r"GS2[A-Z]_\d{8}T\d{6}_(\d{6})_N\d{2}\.\d{2}")


def nominal_if_passed(texts: Sequence[str]) -> list[str]:
    """S2 quality checks: NOMINAL where every one PASSED, else DEGRADED."""
    return ["NOMINAL" if all(text == "PASSED" for text in texts) else "DEGRADED"]


def nominal_if_complete(texts: Sequence[str]) -> list[str]:
    """S2 inventories: NOMINAL where Quality_Info is 100, else DEGRADED."""
    try:
        return ["NOMINAL" if float(texts[0]) == 100.0 else "DEGRADED"]
    except ValueError:
        return []


def datatake_orbit(texts: Sequence[str]) -> list[str]:
    """S2: an orbit, also of a datatake's identifier, `GS2A_20200322T173341_024805_N02.08`."""
    match = _DATATAKE.fullmatch(texts[0])
    return [match[1]] if match else list(texts[:1])


def last_letter(texts: Sequence[str]) -> list[str]:
    """The satellite's letter of `Sentinel-1A`, `SENTINEL 1A`, `2A` or `S2A`; nothing where there is none."""
    last = texts[0][-1].upper()
    return [last] if last.isalpha() else []


def letter(texts: Sequence[str]) -> list[str]:
    """The text where it is one letter: generic auxiliaries carry a digit or a blank instead of a satellite."""
    return [texts[0]] if len(texts[0]) == 1 and texts[0].isalpha() else []


def each_word(texts: Sequence[str]) -> list[str]:
    """Every word once, in order."""
    return list(dict.fromkeys(word for text in texts for word in text.split()))


def each_once(texts: Sequence[str]) -> list[str]:
    """Every text once, in order."""
    return list(dict.fromkeys(texts))


def any_true(texts: Sequence[str]) -> list[str]:
    """true where any of the texts is true, else false."""
    return ["true" if any(text.lower() == "true" for text in texts) else "false"]


def rfi_mitigation(texts: Sequence[str]) -> list[str]:
    """The mitigation of radio interference as the format writes it, whatever case was used; nothing for other words."""
    known = {name.lower(): name for name in ("NotSupported", "Never", "BasedOnNoiseMeas", "Always")}
    return [known[texts[0].lower()]] if texts[0].lower() in known else []


def rfi(attributes: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """Sentinel-1 level 1: in how many polarisations radio interference was seen and taken out (spec/catalogue 6.6).

    Adds nothing where the product has no annotation of it. Stripmap products have no sound detection: 0.
    """
    seen = [attributes[name] for name in ("rfiDetectedH", "rfiDetectedV") if name in attributes]
    if not seen:
        return {}
    detected = 0 if fields.get("mode", "").startswith("S") else sum(seen)
    performed = attributes.get("rfiMitigationPerformed", "NotSupported")
    return {
        "rfiNbPolarisationsDetected": detected,
        "rfiMitigationPerformed": performed,
        "rfiNbPolarisationsMitigated": detected if performed in ("Always", "BasedOnNoiseMeas") else 0,
    }


def datatake_in_name(attributes: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """The datatake that a Sentinel-1 name gives in hexadecimal digits."""
    return {"datatakeID": int(fields["datatake"], 16)}


def nominal_without_losses(attributes: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """Sentinel-2 without an inventory: NOMINAL where nothing was lost or degraded (spec/catalogue 5.8)."""
    losses = [attributes[name] for name in ("lostPackets", "degradedDataPercentage") if name in attributes]
    if "qualityStatus" in attributes or not losses:
        return {}
    return {"qualityStatus": "DEGRADED" if any(losses) else "NOMINAL"}


def slice_count(attributes: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """Sentinel-1 A, C and N products cover a whole datatake: how many slices that is (spec/catalogue 6.3).

    Adds totalSlices where the manifest gives none and the mode has slices.
    """
    mode = fields.get("mode", "")
    # all stripmap beams are cut alike; wave mode is not cut
    length_s, overlap_s = _SLICES_S.get("SM" if mode[:1] == "S" else mode, (0.0, 0.0))
    if mode == "WV" and "totalSlices" not in attributes:
        return {"totalSlices": 1}
    start, stop = attributes.get("beginningDateTime"), attributes.get("endingDateTime")
    if "totalSlices" in attributes or not length_s or start is None or stop is None:
        return {}
    duration_s = (parse_instant(stop) - parse_instant(start)).total_seconds()
    return {"totalSlices": count_slices(duration_s, length_s=length_s, overlap_s=overlap_s)}


def count_slices(duration_s: float, *, length_s: float, overlap_s: float) -> int:
    """Slices in `duration_s` seconds; a rest shorter than the overlap belongs to the slice before it."""
    slices = (duration_s - overlap_s) / length_s
    rest_s = (slices - math.floor(slices)) * length_s
    return max(1, math.floor(slices) if rest_s < overlap_s else math.ceil(slices))


VALUES: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "nominal_if_passed": nominal_if_passed,
    "nominal_if_complete": nominal_if_complete,
    "datatake_orbit": datatake_orbit,
    "last_letter": last_letter,
    "letter": letter,
    "each_word": each_word,
    "each_once": each_once,
    "any_true": any_true,
    "rfi_mitigation": rfi_mitigation,
}

DERIVED: dict[str, Derive] = {
    "slice_count": slice_count,
    "rfi": rfi,
    "datatake_in_name": datatake_in_name,
    "nominal_without_losses": nominal_without_losses,
}


@dataclass(frozen=True, slots=True)
class AuxiliaryFunction:
    """A function that needs an auxiliary: the one of `product_type` valid at sensing, of the product's satellite.

    `wanted` is the attribute without which a product has nothing to derive. `parse` turns the auxiliary's bytes (and
    its name) into what `derive` takes (None where there is no such auxiliary), beside the product's attributes and the
    tables' packet stores; it returns attributes and problems.
    """

    product_type: str
    wanted: str
    parse: Callable[[bytes, str], Any]
    derive: Callable[[Mapping[str, Any], Any, Sequence[PacketStores]], tuple[dict[str, Any], list[str]]]


DERIVED_WITH: dict[str, AuxiliaryFunction] = {
    "packet_store_timeliness": AuxiliaryFunction("AUX_OBMEMC", "packetStoreID", read_memory, timeliness_of_stores)
}
