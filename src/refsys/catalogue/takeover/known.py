"""What another catalogue says of a product, made into an entry of ours: typed, checked against the name, repaired."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from refsys.catalogue.bulk import Entry
from refsys.catalogue.documents import Documents
from refsys.catalogue.values import NAME_TOLERANCE, Values, convert
from refsys.core.errors import InvalidProduct
from refsys.core.footprints import Footprint
from refsys.core.geojson import repair
from refsys.core.products import Description, canonical_name
from refsys.core.times import FOREVER, format_instant, parse_instant
from refsys.missions import COLLECTIONS, AttributeRule, Recognised, TypeRegistry
from refsys.missions.functions import DERIVED

_LARGEST: Final = 2**63 - 1
_MISSIONS: Final = {collection: mission for mission, collection in COLLECTIONS.items()}
#: Bytes of a digest, where the tables want it so.
_DIGESTS: Final = {"MD5": 16, "BLAKE3": 32}
_ALGORITHM: Final = re.compile(r"[A-Za-z0-9-]{1,20}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2}){1,64}")
# the reference glues the texts of elements that repeat: IW1IW2IW3
_GLUED: Final = re.compile(r"(?:(?:IW|EW|WV)[0-9]){2,}")
_SEPARATORS: Final = re.compile(r"[,&; ]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A product as another system knows it; nothing of it is trusted.

    `attributes` are values by our names. `geometry` is GeoJSON. Instants are texts, `checksums` pairs of algorithm and
    hex digits. `origin` is what is kept of the other system in the lineage: its id there, above all.
    """

    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    geometry: Any = None
    start: Any = None
    stop: Any = None
    available_at: Any = None
    t0_raw: Any = None
    size_bytes: Any = None
    checksums: Sequence[tuple[Any, Any]] = ()
    origin: Mapping[str, str] = field(default_factory=dict)


def entry_of(known: Known, types: TypeRegistry, source: str) -> Entry:
    """The product as an entry without bytes.

    What is not sound is left out and told among its problems. Raises HostileInput where its name is none,
    UnknownProduct where no type has such a name, InvalidProduct where nobody says when it was sensed (and its type
    needs that), or of which mission it is.
    """
    recognised = types.recognise(canonical_name(known.name))
    problems: list[str] = []
    attributes, instants = _attributes(known, recognised, types, problems)
    start, stop = _sensing(recognised, attributes, instants, problems)
    footprint = _footprint(known.geometry, problems)
    available_at = instant_of("the publication date", known.available_at, problems)
    t0_raw = instant_of("the origin date", known.t0_raw, problems)
    size_bytes = size_of(known.size_bytes, problems)
    mission = _MISSIONS.get(str(attributes.get("platformShortName", "")).upper(), "")
    if not (recognised.mission or mission):
        raise InvalidProduct("nobody says which mission it is of", subject=recognised.name)
    return Entry(
        recognised,
        Description(
            sensing_start=start,
            sensing_stop=stop,
            footprint=footprint.geometry,
            attributes=attributes,
            problems=tuple(problems),
            footprint_quality=footprint.quality,
        ),
        source,
        mission=mission,
        available_at=available_at,
        t0_raw=t0_raw,
        origin_size_bytes=size_bytes,
        origin_checksums=checksums_of(known.checksums),
        origin=known.origin,
    )


def _attributes(
    known: Known, recognised: Recognised, types: TypeRegistry, problems: list[str]
) -> tuple[dict[str, Any], dict[str, datetime]]:
    """What was given, and what the name and the table say besides. Where the name says otherwise, the name counts."""
    named = _named(recognised)
    plain, instants = dict(named.plain), dict(named.instants)
    rules = {rule.attribute.name: rule for rule in recognised.type.attributes}
    given = dict(zip(recognised.type.sensing, (known.start, known.stop), strict=True))
    given |= {name: raw for name, raw in known.attributes.items() if raw not in (None, "", [])}
    for name, raw in given.items():
        value = typed(rules.get(name) or AttributeRule(types.attributes[name]), raw, problems)
        if value is None:
            continue
        is_named = name in plain and name in rules and rules[name].group
        if is_named and not _agree(value, instants.get(name, plain[name])):
            problems.append(f"{name} was given as {ascii(raw)[:60]}, but the name says {ascii(plain[name])[:60]}")
            continue
        if isinstance(value, datetime):
            instants[name] = value
        plain[name] = format_instant(value) if isinstance(value, datetime) else value
    for function in recognised.type.derive:
        for name, value in DERIVED[function](plain, recognised.fields).items():
            plain.setdefault(name, value)
    return plain, instants


def _named(recognised: Recognised) -> Values:
    """The attributes that need no document."""
    bare = replace(recognised, type=replace(recognised.type, documents=()))
    values = Values(Documents(bare, _nothing, ()), recognised.fields, {})
    for rule in recognised.type.attributes:
        if rule.group or rule.value is not None:
            values.apply(replace(rule, read=(), expected=False))
    return values


def _nothing(path: str, most_bytes: int | None = None, /) -> bytes:
    raise AssertionError(path)


def _agree(one: Any, other: Any) -> bool:
    if isinstance(one, datetime) and isinstance(other, datetime):
        return abs(one - other) <= NAME_TOLERANCE
    return bool(one == other)


def typed(rule: AttributeRule, raw: Any, problems: list[str]) -> Any:
    """A value as the attribute's type; None where there is none, and a problem where it is not of it."""
    definition = rule.attribute
    items = [item for item in (raw if isinstance(raw, list) else [raw]) if item is not None]
    if not all(isinstance(item, str | int | float) for item in items):
        problems.append(f"{definition.name} is {ascii(raw)[:60]}, which is no {definition.type}; left out")
        return None
    texts = [text for item in items if (text := _text(item, definition.type)).strip()]
    if definition.many and not isinstance(raw, list):
        texts = [piece for text in texts for piece in _pieces(text)]
    if not texts:
        return None
    texts = [rule.translate.get(text, text) for text in texts]
    texts = [text.upper() for text in texts] if rule.upper else texts
    if sum(map(len, texts)) > definition.longest:
        problems.append(f"{definition.name} has more than {definition.longest} characters; left out")
        return None
    try:
        if any(_CONTROL.search(text) for text in texts):
            raise ValueError(texts[0])
        if definition.many:
            return [convert(definition.type, text) for text in texts]
        return convert(definition.type, texts[0] if len(texts) == 1 else ",".join(texts))
    except (ValueError, OverflowError):
        problems.append(f"{definition.name} is {ascii(texts[0])[:60]}, which is no {definition.type}; left out")
        return None


def _text(value: Any, kind: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and kind == "Integer" and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def _pieces(text: str) -> list[str]:
    """The items of a list that was written as one text."""
    if _GLUED.fullmatch(text):
        return re.findall("..[0-9]", text)
    return [piece for piece in _SEPARATORS.split(text) if piece]


def _sensing(
    recognised: Recognised,
    attributes: dict[str, Any],
    instants: dict[str, datetime],
    problems: list[str],
) -> tuple[datetime | None, datetime | None]:
    kind = recognised.type
    start, stop = (instants.get(name) for name in kind.sensing)
    if stop is None and kind.open_ended:
        stop = FOREVER
        attributes[kind.sensing[1]] = format_instant(stop)
    if start is None and not kind.undated:
        raise InvalidProduct("nobody says when it was sensed", subject=recognised.name)
    if start is not None and stop is not None and stop < start:
        problems.append(f"it stops ({format_instant(stop)}) before it starts ({format_instant(start)})")
    return start, stop


def _footprint(geometry: Any, problems: list[str]) -> Footprint:
    if geometry is None:
        return Footprint(None)
    try:
        return repair(geometry)
    except ValueError as error:
        problems.append(f"the footprint {error}; left out")
        return Footprint(None)


def instant_of(what: str, raw: Any, problems: list[str]) -> datetime | None:
    if raw in (None, ""):
        return None
    try:
        instant = parse_instant(str(raw)[:100])
    except ValueError:
        problems.append(f"{what} is {ascii(raw)[:60]}, which is no date; left out")
        return None
    return FOREVER if instant.year == FOREVER.year else instant


def size_of(raw: Any, problems: list[str]) -> int | None:
    """Nobody's package has no bytes: 0 is how the reference says that it does not know."""
    if raw in (None, "", 0):
        return None
    try:
        size = int(str(raw)[:40])
    except ValueError:
        size = -1
    if not 0 <= size <= _LARGEST:
        problems.append(f"the size is {ascii(raw)[:60]}, which is none; left out")
        return None
    return size


def checksums_of(given: Sequence[tuple[Any, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for algorithm, value in given:
        if not (isinstance(algorithm, str) and isinstance(value, str) and _ALGORITHM.fullmatch(algorithm)):
            continue
        name, digits = algorithm.upper(), value.strip()
        if _HEX.fullmatch(digits) and len(digits) == 2 * _DIGESTS.get(name, len(digits) // 2):
            found[name] = digits.lower()
    return found
