"""Product types on a terminal, and as JSON has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from refsys.cli.terminal import duration_text
from refsys.missions import AttributeRule, ProductType, TypeRegistry
from refsys.missions.model import TimelinessClass
from refsys.missions.patterns import example

#: Columns from which a line has room for timeliness classes and names in the PRIP dialect.
WIDE: Final = 160


def types_table(kinds: Sequence[ProductType], *, width: int) -> Table:
    """One line each; on narrower terminals without the timeliness classes."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    headings = ("id", "of", "level", "type", "as", "visibility", *(("timeliness",) if width >= WIDE else ()), "about")
    for heading in headings:
        widest = 16 if heading == "type" and width < WIDE else None
        rest = 1 if heading == "about" else None
        table.add_column(heading, no_wrap=True, overflow="ellipsis", max_width=widest, ratio=rest)
    for kind in kinds:
        cells = {
            "id": kind.id,
            "of": kind.mission or "–",
            "level": kind.level,
            "type": kind.product_type,
            "as": kind.packaging,
            "visibility": kind.visibility,
            "timeliness": ", ".join(_classes(kind)) or "–",
            "about": kind.about,
        }
        table.add_row(*(escape(cells[heading]) for heading in headings))
    return table


def row_to_json(kind: ProductType) -> dict[str, Any]:
    """What a list tells of a type."""
    return {
        "id": kind.id,
        "about": kind.about,
        "product_type": kind.product_type,
        "prip_type": kind.prip_type,
        "mission": kind.mission,
        "instrument": kind.instrument,
        "level": kind.level,
        "packaging": kind.packaging,
        "visibility": kind.visibility,
        "priority": kind.priority,
        "timeliness": _classes(kind),
        "retention": kind.retention.name if kind.retention else None,
    }


def whole_row(kind: ProductType, types: TypeRegistry) -> dict[str, Any]:
    """Everything of a row, as JSON has it; sources and functions in the order in which they are tried."""
    footprint, orbit, retention = kind.footprint, kind.relative_orbit, kind.retention
    classes = [types.timeliness_classes[name] for name in _classes(kind)]
    return row_to_json(kind) | {
        "example": example(kind.name),
        "name": kind.name.pattern,
        "documents": {
            document.name: {
                "pattern": document.pattern,
                "required": document.required,
                "many": document.many,
                "beside": list(document.beside),
                "embedded": document.embedded,
            }
            for document in kind.documents
        },
        "manifest": kind.manifest,
        "sensing": list(kind.sensing),
        "open_ended": kind.open_ended,
        "undated": kind.undated,
        "attributes": {rule.attribute.name: _rule(rule) for rule in _sorted(kind.attributes)},
        "derive": [*kind.derive, *kind.derive_with],
        "footprint": None if footprint is None else {"rule": footprint.rule, "read": list(map(str, footprint.read))},
        "relative_orbit": None if orbit is None else {"cycle": orbit.cycle, "offsets": dict(orbit.offsets)},
        "timeliness_by": {"attribute": kind.timeliness.attribute, "translate": dict(kind.timeliness.translate)},
        "timeliness": {limits.name: _limits(limits) for limits in classes},
        "retention": None if retention is None else {"name": retention.name, "days": retention.days},
        "storage": list(kind.key_segments),
    }


def print_type(row: Mapping[str, Any], console: Console) -> None:
    """`row` is what `whole_row` makes."""
    console.print(f"[bold]{row['id']}[/]  {escape(row['about'])}", soft_wrap=True)
    for name, text in _facts(row):
        if text:
            console.print(f" [dim]{name:<12}[/]{escape(text)}", soft_wrap=True)
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    is_wide = console.width >= WIDE
    for heading in ("attribute", "type", *(("PRIP",) if is_wide else ()), "from"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "type")
    for name, rule in row["attributes"].items():
        prip = "" if rule["prip"] == name else rule["prip"] or "–"
        sources = [*rule["from"], *(["else it is a problem"] if rule["is_expected"] else [])]
        kind = rule["type"] + (" list" if rule["many"] else "")
        table.add_row(name, kind, *((prip,) if is_wide else ()), "\n".join(map(escape, sources)))
    if row["attributes"]:
        console.print()
        console.print(table)


def _facts(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is told of a row apart from its attributes; an empty text is left out."""
    yield "for example", row["example"]
    yield "name", row["name"]
    yield (
        "type",
        row["product_type"] + (f" (PRIP: {row['prip_type']})" if row["prip_type"] != row["product_type"] else ""),
    )
    yield "mission", ", ".join(text for text in (row["mission"], row["instrument"], row["level"]) if text)
    for name, document in row["documents"].items():
        words = ["" if document["required"] else "may be absent", "all that match" if document["many"] else ""]
        words.append(f"only beside {', '.join(document['beside'])}" if document["beside"] else "")
        words.append(f"the {document['embedded']} in it" if document["embedded"] else "")
        remarks = ", ".join(word for word in words if word)
        pattern = document["pattern"] or "the product itself"
        yield "document", f"{name}: {pattern}" + (f" ({remarks})" if remarks else "")
    yield "manifest", row["manifest"] or ""
    ends = "an end that is not given is for ever" if row["open_ended"] else "may be absent" if row["undated"] else ""
    yield "sensing", " to ".join(row["sensing"]) + (f" ({ends})" if ends else "")
    yield "derived", ", ".join(row["derive"])
    if (footprint := row["footprint"]) is not None:
        yield "footprint", f"{footprint['rule']} of {', else '.join(footprint['read'])}"
    if (orbit := row["relative_orbit"]) is not None:
        offsets = ", ".join(f"{satellite}: {offset}" for satellite, offset in orbit["offsets"].items())
        yield "orbits", f"cycle of {orbit['cycle']}, offsets {offsets}"
    if (attribute := row["timeliness_by"]["attribute"]) != "":
        pairs = ", ".join(f"{value} is {name}" for value, name in row["timeliness_by"]["translate"].items())
        yield "class by", f"{attribute}: {pairs}"
    for name, limits in row["timeliness"].items():
        told = [f"{duration_text(limits[clock])} from {what}" for clock, what in _CLOCKS.items() if limits[clock]]
        yield "timeliness", f"{name}: {', '.join(told) or 'no limit'}" + (", urgent" if limits["urgent"] else "")
    if (retention := row["retention"]) is not None:
        yield "retention", f"{retention['name']}: " + (f"{retention['days']} days" if retention["days"] else "for ever")
    yield "storage", "/".join([*row["storage"], "YYYY/MM/DD"])
    yield "packaging", row["packaging"]
    yield "visibility", row["visibility"]
    yield "priority", row["priority"]


_CLOCKS: Final = {"from_sensing_s": "sensing", "from_t0_s": "T0"}


def _limits(limits: TimelinessClass) -> dict[str, Any]:
    return {"from_sensing_s": limits.from_sensing_s, "from_t0_s": limits.from_t0_s, "urgent": limits.urgent}


def _classes(kind: ProductType) -> list[str]:
    """The timeliness classes that its products can have."""
    named = [*kind.timeliness.translate.values(), kind.timeliness.default]
    return list(dict.fromkeys(name for name in named if name))


def _sorted(rules: Sequence[AttributeRule]) -> list[AttributeRule]:
    return sorted(rules, key=lambda rule: rule.attribute.name)


def _rule(rule: AttributeRule) -> dict[str, Any]:
    words = [f"by {rule.function}" if rule.function else "", "in upper case" if rule.upper else ""]
    if rule.translate:
        words.append(", ".join(f"{old} is {new}" for old, new in rule.translate.items()))
    told = "; ".join(word for word in words if word)
    sources = [f"{source}" + (f" ({told})" if told else "") for source in rule.read]
    if rule.group:
        sources.append(f"group {rule.group} of the name")
    if rule.value is not None:
        sources.append(f"constant {rule.value}")
    return {
        "type": rule.attribute.type,
        "many": rule.attribute.many,
        "from": sources,
        "is_expected": rule.expected,
        "prip": rule.attribute.prip,
        "reference": list(rule.attribute.reference),
    }
