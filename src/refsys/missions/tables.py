"""Reading the tables: YAML files into rows, with errors that name file, row, column and the nearest known key."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from refsys.core.errors import ConfigurationError
from refsys.missions.rows import Table

Location = tuple[str | int, ...]

#: Problems that the message of an error tells, and known words that a problem tells.
_SHOWN: Final = 20


class TableError(ConfigurationError):
    """What is wrong in the tables; `problems` is all of it, each with file, row, line and column."""

    def __init__(self, problems: Sequence[str]) -> None:
        shown = "; ".join(problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        super().__init__(shown + more, advice="correct the table; nothing was started")
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class TableFile:
    """One file's rows; `name` is how people know it, `tree` its syntax tree (for line numbers)."""

    name: str
    table: Table
    tree: yaml.Node | None

    def where(self, location: Location) -> str:
        """`FILE, row 's1-grd' (line 40), column 'name'` of a place in the table."""
        return _where(self.name, self.tree, location)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice: the first one would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(None, None, "a key must be one word", key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {key.value!r} is written twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_table(name: str, text: str) -> TableFile:
    """Read one file's text. Raises TableError that lists everything wrong with it."""
    try:
        loader = _Loader(text)
        tree = loader.get_single_node()
        data = loader.construct_document(tree) if tree is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise TableError([f"{name}: is not YAML: {place}{error.problem}"]) from None
    except yaml.YAMLError as error:
        raise TableError([f"{name}: is not YAML: {error}"]) from None
    try:
        return TableFile(name, Table.model_validate(data), tree)
    except ValidationError as error:
        problems = [f"{_where(name, tree, found['loc'])}: {_explain(found)}" for found in error.errors()]
        raise TableError(problems) from None


def nearest(word: str, known: Sequence[str]) -> str:
    """`; nearest: 'x'`, or what is known where nothing is near and it is not much."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        return f"; nearest: {near[0]!r}"
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"; known: {', '.join(sorted(known)[:_SHOWN])}{more}"


def _explain(found: Any) -> str:
    if found["type"] == "extra_forbidden":
        key = str(found["loc"][-1])
        return f"unknown key {key!r}{nearest(key, _keys_at(found['loc'][:-1]))}"
    message: str = found["msg"]
    shown = ascii(found["input"])
    return f"{message[0].lower()}{message[1:]}" + (
        f", not {shown}" if found["type"] != "missing" and len(shown) < 60 else ""
    )


def _keys_at(location: Location) -> Sequence[str]:
    """The known keys of the model at a place in the table."""
    at: Any = Table
    for step in location:
        at = at.model_fields[str(step)].annotation if _is_model(at) else get_args(at)[-1]
        # Annotated[X, …] and X | None are X here
        while get_origin(at) in (Annotated, Union, UnionType):
            at = get_args(at)[0]
    return sorted(at.model_fields) if _is_model(at) else ()


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _where(name: str, tree: yaml.Node | None, location: Location) -> str:
    node, line, row = tree, 0, ""
    for depth, step in enumerate(location):
        if node is None:
            break
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
        elif isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        else:
            break
        line = max(line, node.start_mark.line + 1) if isinstance(step, int) else line
        if depth == 1:
            row = _row_name(node, step)
    columns = ".".join(str(step) for step in location[2:])
    text = f"{name}, row {row!r}" if row else name
    text = f"{text} (line {line})" if line else text
    if not row:
        columns = ".".join(str(step) for step in location)
    return f"{text}, column {columns!r}" if columns else text


def _row_name(node: yaml.Node, step: str | int) -> str:
    if isinstance(node, yaml.MappingNode) and isinstance(step, int):
        for key, value in node.value:
            if key.value == "id" and isinstance(value, yaml.ScalarNode):
                return str(value.value)
    return str(step)
