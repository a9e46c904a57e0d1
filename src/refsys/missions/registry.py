"""The product types in force: tables read, checked whole, and asked what a name is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType

from refsys.core import steps
from refsys.core.errors import ConfigurationError, UnknownProduct
from refsys.core.products import check_name
from refsys.missions.building import Tables, build_types
from refsys.missions.model import AttributeDefinition, PacketStores, ProductType, Recognised, TimelinessClass
from refsys.missions.tables import TableError, TableFile, read_table


class TypeRegistry:
    """The types in force. `types` by id, `attributes` and `timeliness_classes` by name."""

    def __init__(self, tables: Tables) -> None:
        self.types: Mapping[str, ProductType] = MappingProxyType({kind.id: kind for kind in tables.types})
        self.attributes: Mapping[str, AttributeDefinition] = MappingProxyType(tables.attributes)
        self.timeliness_classes: Mapping[str, TimelinessClass] = MappingProxyType(tables.timeliness_classes)
        self.packet_stores: Sequence[PacketStores] = tuple(tables.packet_stores.values())

    def recognise(self, name: str) -> Recognised:
        """The type that a product's canonical name has.

        Raises HostileInput where it cannot be a name at all, UnknownProduct where no type's pattern matches.
        """
        check_name(name)
        for found in self.matching(name):
            return found
        raise UnknownProduct(
            "no product type has such a name",
            subject=name,
            advice="add a row for it to a table of `type_tables`, or ignore it by the inbox's `ignore` pattern",
        )

    def matching(self, name: str) -> Iterator[Recognised]:
        """Every type whose pattern matches; sound tables give one at most."""
        for kind in self.types.values():
            match = kind.name.fullmatch(name)
            if match is not None:
                fields = match.groupdict(default="")
                platform = fields.get("satellite", "").strip("_").upper()
                product_type, prip_type = (text.format_map(fields) for text in (kind.product_type, kind.prip_type))
                mission = kind.mission or fields.get("mission", "").upper()
                yield Recognised(kind, name, fields, product_type, prip_type, platform, mission)

    def priority(self, recognised: Recognised, timeliness_class: str, *, backlog: bool = False) -> int:
        """The priority of a product's steps (core.steps); `timeliness_class` is empty where it has none."""
        found = self.timeliness_classes.get(timeliness_class)
        return steps.priority(rank=recognised.type.priority, urgent=found is not None and found.urgent, backlog=backlog)


def load_types(extra: Sequence[Path] = ()) -> TypeRegistry:
    """Read and check the tables of the package and those of the user (files, or folders of `*.yaml`).

    A user's row replaces the packaged row of the same id, and is asked before the others. Raises TableError that names
    file, row and column of everything wrong.
    """
    return TypeRegistry(build_types(_user_files(extra), _packaged_files()))


def storage_base(recognised: Recognised, sensing_start: datetime | None) -> str:
    """The published key's prefix: mission/instrument/product type/YYYY/MM/DD, as the hub's S3Path has it."""
    values = {**recognised.fields, "product_type": recognised.product_type}
    segments = [segment.format_map(values) for segment in recognised.type.key_segments]
    if sensing_start is not None:
        segments.append(sensing_start.strftime("%Y/%m/%d"))
    return "/".join(segments)


@cache
def _packaged_files() -> tuple[TableFile, ...]:
    root = resources.files("refsys.missions")
    tables = [(file.name, file) for file in root.iterdir() if file.name.endswith(".yaml")]
    for folder in root.iterdir():
        if folder.is_dir():
            tables += [(f"{folder.name}/{f.name}", f) for f in folder.iterdir() if f.name.endswith(".yaml")]
    return tuple(
        read_table(f"missions/{name}", file.read_text("utf-8")) for name, file in sorted(tables, key=itemgetter(0))
    )


def _user_files(extra: Sequence[Path]) -> list[TableFile]:
    texts: dict[Path, str] = {}
    for path in extra:
        try:
            found = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
            texts |= {file: file.read_text("utf-8") for file in found}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"cannot be read: {error}", subject=str(path), advice="see `type_tables`"
            ) from error
        if not found:
            raise ConfigurationError("holds no *.yaml file", subject=str(path), advice="see `type_tables`")
    files: list[TableFile] = []
    problems: list[str] = []
    for file, text in texts.items():
        try:
            files.append(read_table(str(file), text))
        except TableError as error:
            problems += error.problems
    if problems:
        raise TableError(problems)
    return files
