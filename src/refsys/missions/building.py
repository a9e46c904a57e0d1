"""From rows to product types: everything that one row says about another, about attributes and functions is checked."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from refsys.infra.xmlpath import compile_path
from refsys.missions.footprint_rules import RULES
from refsys.missions.functions import DERIVED, DERIVED_WITH, VALUES
from refsys.missions.model import (
    AttributeDefinition,
    AttributeRule,
    Document,
    FootprintRule,
    PacketStores,
    ProductType,
    QuicklookRule,
    RelativeOrbit,
    RetentionClass,
    Source,
    TimelinessClass,
    TimelinessRule,
)
from refsys.missions.rows import AttributeRow, RuleRow, Rules, TypeRow
from refsys.missions.stac import COLLECTION_NAMES, RESERVED, TRANSFORMS, FieldType, StacField
from refsys.missions.tables import Location, TableError, TableFile, nearest

_PIECE = re.compile(r"%\{([a-z0-9-]+)\}")
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "DateTimeOffset": (str,),
    "Integer": (int,),
    "Double": (int, float),
    "Boolean": (bool,),
}


@dataclass(slots=True)
class Tables:
    """What all tables say together, by name; what is only used to build the types stands below them."""

    types: list[ProductType] = field(default_factory=list)
    attributes: dict[str, AttributeDefinition] = field(default_factory=dict)
    timeliness_classes: dict[str, TimelinessClass] = field(default_factory=dict)
    retention_classes: dict[str, RetentionClass] = field(default_factory=dict)
    packet_stores: dict[str, PacketStores] = field(default_factory=dict)
    patterns: dict[str, str] = field(default_factory=dict)
    sets: dict[str, tuple[TableFile, Rules]] = field(default_factory=dict)

    def define(self, file: TableFile, problems: list[str]) -> None:
        """Take over everything but the types; what was defined before under the same name is replaced.

        What is wrong goes into `problems`.
        """
        table = file.table
        for name, row in table.attributes.items():
            separator = row.separator if row.many else ""
            prip = name if row.prip is None else row.prip
            stac = _stac_fields(file, name, row, problems)
            self.attributes[name] = AttributeDefinition(
                name, row.type, row.about, row.many, separator, row.longest, prip, tuple(row.reference), stac
            )
        for name, limits in table.timeliness_classes.items():
            self.timeliness_classes[name] = TimelinessClass(
                name, limits.about, limits.from_sensing_s, limits.from_t0_s, limits.urgent
            )
        for name, kept in table.retention_classes.items():
            self.retention_classes[name] = RetentionClass(name, kept.about, kept.days)
        for kind, stores in table.packet_stores.items():
            self.packet_stores[kind] = PacketStores(kind, stores.first, stores.last, stores.timeliness)
        self.patterns |= table.patterns
        self.sets |= {name: (file, rules) for name, rules in table.rules.items()}


def build_types(user: Sequence[TableFile], packaged: Sequence[TableFile]) -> Tables:
    """All tables as one; a user's row takes the place of the packaged row of its name.

    Raises TableError that names file, row and column of everything wrong.
    """
    problems: list[str] = []
    tables = Tables()
    types: dict[str, ProductType] = {}
    for file in (*packaged, *user):
        tables.define(file, problems)
    problems += _stac_clashes(tables.attributes)
    for group in (user, packaged):
        replaced = set(types)
        for file in group:
            for index, kind in enumerate(file.table.types):
                if kind.id in replaced:
                    continue
                if kind.id in types:
                    problems.append(f"{file.where(('types', index, 'id'))}: another row has the id {kind.id!r}")
                    continue
                built = _RowBuilder(file, index, kind, tables, problems).build()
                if built is not None:
                    types[kind.id] = built
    if problems:
        raise TableError(list(dict.fromkeys(problems)))
    tables.types = list(types.values())
    return tables


def _stac_fields(file: TableFile, name: str, row: AttributeRow, problems: list[str]) -> tuple[StacField, ...]:
    fields: list[StacField] = []
    plain: FieldType = "Strings" if row.many else row.type
    for index, told in enumerate(row.stac):
        where = file.where(("attributes", name, "stac", index))
        if told.field in RESERVED:
            problems.append(f"{where}: every item has {told.field!r} anyway")
        if told.transform and told.transform not in TRANSFORMS:
            problems.append(f"{where}: unknown transform {told.transform!r}{nearest(told.transform, list(TRANSFORMS))}")
            continue
        kind = TRANSFORMS[told.transform].type if told.transform else plain
        fields.append(StacField(told.field, kind, told.transform))
    return tuple(fields)


def _stac_clashes(attributes: Mapping[str, AttributeDefinition]) -> list[str]:
    """Fields that several attributes make, and not of one kind; names that are a field and a group of fields."""
    fields = [(stac, definition.name) for definition in attributes.values() for stac in definition.stac]
    kinds: dict[str, tuple[FieldType, str]] = {}
    problems: list[str] = []
    for stac, name in fields:
        kind, first = kinds.setdefault(stac.name, (stac.type, name))
        if kind != stac.type:
            problems.append(
                f"attributes {first!r} and {name!r}: the field {stac.name!r} cannot be {kind} and {stac.type}"
            )
    groups = {group for group, dot, _ in (name.partition(".") for name in kinds) if dot}
    return problems + [
        f"attribute {kinds[name][1]!r}: {name!r} cannot be a field and hold fields"
        for name in sorted(groups & set(kinds))
    ]


class _RowBuilder:
    """Builds one row; what is wrong goes into `problems`."""

    def __init__(self, file: TableFile, index: int, row: TypeRow, tables: Tables, problems: list[str]) -> None:
        self._file, self._row = file, row
        self._place: Location = ("types", index)
        self._tables, self._problems = tables, problems
        self._anchors: dict[str, list[str]] = {name: [] for name in row.documents}
        self._groups: tuple[str, ...] = ()

    def build(self) -> ProductType | None:
        row, before = self._row, len(self._problems)
        try:
            pattern = re.compile(_PIECE.sub(self._piece, row.name))
        except re.error as error:
            self._wrong(("name",), f"not a regular expression: {error}")
            return None
        self._groups = tuple(pattern.groupindex)
        rules = self._rules()
        footprint = self._footprint()
        self._check_templates()
        self._check_documents()
        timeliness, retention = self._timeliness(), self._retention()
        for index, name in enumerate(row.derive):
            self._known(("derive", index), name, {*DERIVED, *DERIVED_WITH}, "function")
        ruled = {rule.attribute.name: rule.attribute for rule in rules}
        for index, name in enumerate(row.sensing):
            if row.undated and name not in ruled:
                continue
            known = self._known(("sensing", index), name, ruled, "attribute of this row")
            if known and ruled[name].type != "DateTimeOffset":
                self._wrong(("sensing", index), f"{name!r} is a {ruled[name].type}, not a DateTimeOffset")
        if len(self._problems) > before:
            return None
        orbit = row.relative_orbit
        return ProductType(
            id=row.id,
            about=row.about,
            name=pattern,
            product_type=row.product_type,
            prip_type=row.prip_type or row.product_type,
            stac_collection=row.stac_collection,
            mission=row.mission,
            instrument=row.instrument,
            level=row.level,
            documents=tuple(
                Document(
                    name,
                    document.pattern,
                    document.required,
                    document.many,
                    tuple(document.beside),
                    document.embedded,
                    tuple(dict.fromkeys(self._anchors[name])),
                )
                for name, document in row.documents.items()
            ),
            manifest=row.documents[row.manifest].pattern if row.manifest else None,
            attributes=tuple(rules),
            derive=tuple(name for name in row.derive if name in DERIVED),
            derive_with=tuple(name for name in row.derive if name in DERIVED_WITH),
            sensing=(row.sensing[0], row.sensing[1]),
            open_ended=row.open_ended,
            undated=row.undated,
            footprint=footprint,
            relative_orbit=RelativeOrbit(orbit.cycle, orbit.offsets) if orbit else None,
            packaging=row.packaging,
            quicklook=self._quicklook(),
            visibility=row.visibility,
            priority=row.priority,
            timeliness=timeliness,
            retention=retention,
            key_segments=tuple(row.storage),
        )

    def _piece(self, match: re.Match[str]) -> str:
        if not self._known(("name",), match[1], self._tables.patterns, "pattern"):
            return ""
        return self._tables.patterns[match[1]]

    def _rules(self) -> list[AttributeRule]:
        """The rules of the sets in `use`, each overridden by a later set, all by the row's own."""
        merged: dict[str, tuple[TableFile, Location, RuleRow]] = {}
        for index, name in enumerate(self._row.use):
            if self._known(("use", index), name, self._tables.sets, "set of rules"):
                file, rules = self._tables.sets[name]
                merged |= {key: (file, ("rules", name, key), rule) for key, rule in rules.items()}
        own = (*self._place, "attributes")
        merged |= {key: (self._file, (*own, key), rule) for key, rule in self._row.attributes.items()}
        return [rule for key, (file, place, row) in merged.items() if (rule := self._rule(key, file, place, row))]

    def _rule(self, key: str, file: TableFile, place: Location, row: RuleRow) -> AttributeRule | None:
        definition = self._tables.attributes.get(key)
        if definition is None:
            self._problems.append(
                f"{file.where(place)}: unknown attribute {key!r}{nearest(key, list(self._tables.attributes))}"
            )
            return None
        if row.function:
            self._known(("function",), row.function, VALUES, "function", file=file, place=place)
        if row.group:
            self._known(("group",), row.group, self._groups, "group of the name", file=file, place=place)
        if isinstance(row.value, str):
            self._check_template(row.value, file, (*place, "value"))
        elif row.value is not None and not isinstance(row.value, _JSON_TYPES[definition.type]):
            self._problems.append(f"{file.where((*place, 'value'))}: {row.value!r} is not a value of {definition.type}")
        if not (row.read or row.group or row.value is not None):
            self._problems.append(f"{file.where(place)}: says nothing: needs `read`, `group` or `value`")
        return AttributeRule(
            attribute=definition,
            read=self._sources(row.read, file, (*place, "read")),
            function=row.function,
            translate=row.translate,
            group=row.group,
            value=row.value,
            upper=row.upper,
            expected=row.expected,
        )

    def _sources(self, texts: Sequence[str], file: TableFile, place: Location) -> tuple[Source, ...]:
        sources: list[Source] = []
        for text in texts:
            document, slashes, path = text.partition("//")
            if document not in self._anchors:
                hint = nearest(document, list(self._anchors)) if self._anchors else "; it has none"
                self._problems.append(
                    f"{file.where(place)}: {document!r} is not a document of row {self._row.id!r}{hint}"
                )
                continue
            try:
                compiled = compile_path(slashes + path)
            except ValueError as error:
                self._problems.append(f"{file.where(place)}: {error}")
                continue
            self._anchors[document].append(compiled.anchor.name)
            sources.append(Source(document, compiled))
        return tuple(sources)

    def _footprint(self) -> FootprintRule | None:
        row = self._row.footprint
        if row is None:
            return None
        self._known(("footprint", "rule"), row.rule, RULES, "footprint rule")
        place = (*self._place, "footprint", "read")
        return FootprintRule(row.rule, self._sources(row.read, self._file, place), row.expected)

    def _timeliness(self) -> TimelinessRule:
        row, column = self._row.timeliness_class, "timeliness_class"
        if row.attribute:
            self._known((column, "attribute"), row.attribute, self._tables.attributes, "attribute")
        named = {("translate", value): name for value, name in row.translate.items()} | {("default",): row.default}
        for place, name in named.items():
            if name:
                self._known((column, *place), name, self._tables.timeliness_classes, "timeliness class")
        return TimelinessRule(row.attribute, row.translate, row.default)

    def _retention(self) -> RetentionClass | None:
        name, known = self._row.retention, self._tables.retention_classes
        return known[name] if name and self._known(("retention",), name, known, "retention class") else None

    def _check_templates(self) -> None:
        for column, text in (("product_type", self._row.product_type), ("prip_type", self._row.prip_type)):
            self._check_template(text, self._file, (*self._place, column))
        self._check_template(
            self._row.stac_collection, self._file, (*self._place, "stac_collection"), also=COLLECTION_NAMES
        )
        for index, segment in enumerate(self._row.storage):
            place = (*self._place, "storage", index)
            self._check_template(segment, self._file, place, also=("product_type",))

    def _check_template(self, text: str, file: TableFile, place: Location, *, also: Sequence[str] = ()) -> None:
        known = [*self._groups, *also]
        try:
            fields = [field for field in string.Formatter().parse(text) if field[1] is not None]
        except ValueError as error:
            self._problems.append(f"{file.where(place)}: {text!r} is not a template: {error}")
            return
        for _, name, format_spec, conversion in fields:
            if name not in known:
                self._problems.append(f"{file.where(place)}: unknown group {name!r}{nearest(str(name), known)}")
            elif format_spec or conversion:
                self._problems.append(
                    f"{file.where(place)}: {text!r} is not a template: a group stands alone in braces"
                )

    def _quicklook(self) -> QuicklookRule | None:
        row = self._row.quicklook
        if row is None:
            return None
        if (row.rule is None) != (not row.read):
            self._wrong(("quicklook",), "`rule` and `read` belong together")
        return QuicklookRule(tuple(row.own), row.rule, tuple(row.read))

    def _check_documents(self) -> None:
        row = self._row
        patterns = [document.pattern for document in row.documents.values()]
        if row.packaging == "bare" and any(patterns):
            self._wrong(
                ("documents",), "a product that is one file (packaging: bare) is its only document: its pattern is ''"
            )
        for name, document in row.documents.items():
            for index, other in enumerate(document.beside):
                self._known(("documents", name, "beside", index), other, row.documents, "document")
        if row.manifest is not None and row.manifest not in row.documents:
            self._wrong(
                ("manifest",), f"{row.manifest!r} is not a document{nearest(row.manifest, list(row.documents))}"
            )

    def _known(
        self,
        columns: Location,
        name: str,
        known: Mapping[str, object] | Sequence[str] | set[str],
        what: str,
        *,
        file: TableFile | None = None,
        place: Location | None = None,
    ) -> bool:
        if name in known:
            return True
        where = (file or self._file).where((*(place or self._place), *columns))
        self._problems.append(f"{where}: unknown {what} {name!r}{nearest(name, list(known))}")
        return False

    def _wrong(self, columns: Location, message: str) -> None:
        self._problems.append(f"{self._file.where((*self._place, *columns))}: {message}")
