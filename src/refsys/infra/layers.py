"""Settings in layers: flag > environment > file > default, for any pydantic model.

Each layer is a tree of plain values. Before layers are merged, `<secret>_file = "path"` is replaced by the content of
that file, so that a later layer overrides an earlier one whichever way either says it. Relative paths in a file are
relative to that file; elsewhere to the working directory.
"""

from __future__ import annotations

import difflib
import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import orjson
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from refsys.core.errors import ConfigurationError

Model = TypeVar("Model", bound=BaseModel)
Path_ = tuple[str | int, ...]


def load_layers(
    model: type[Model], file: Path | None, overrides: Mapping[str, Any], environ: Mapping[str, str], prefix: str
) -> Model:
    """Merge and validate. Raises one ConfigurationError that lists everything wrong, with its source.

    `overrides`: dotted name → value. `environ`: `<prefix>` + upper-case names joined by `__`.
    """
    merged: dict[str, Any] = {}
    sources: dict[Path_, str] = {}
    problems: list[str] = []
    if file is not None:
        tree = _resolve_paths(model, _read_toml(file), file.absolute().parent)
        _merge(merged, _read_secrets(model, tree, str(file), problems), sources, str(file))
    for name, text in sorted(environ.items()):
        if name.startswith(prefix) and text != "":
            path = tuple(int(part) if part.isdigit() else part for part in name[len(prefix) :].lower().split("__"))
            _apply(model, merged, path, text, sources, name, problems)
    for name, value in overrides.items():
        path = tuple(int(part) if part.isdigit() else part for part in name.split("."))
        _apply(model, merged, path, value, sources, f"--set {name}" if isinstance(value, str) else name, problems)
    if not problems:
        try:
            return model.model_validate(merged)
        except ValidationError as error:
            problems = [_explain(model, problem, sources) for problem in error.errors(include_url=False)]
    raise ConfigurationError("\n  ".join(["the settings are wrong:", *problems]) if problems[1:] else problems[0])


def known_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of everything that can be set, `*_file` variants of secrets included; `inbox.N.url` for lists."""
    for name, field in model.model_fields.items():
        section = section_of(field)
        if section is not None:
            yield from known_names(section, f"{prefix}{name}." + ("N." if is_list(field) else ""))
        if section is None or is_list(field):
            yield prefix + name
        if is_secret(field):
            yield f"{prefix}{name}_file"


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a section, or of the members of a list of sections; None for a plain value."""
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) in (tuple, list)


def is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr


def _is_path(field: FieldInfo) -> bool:
    wanted = get_args(field.annotation) if get_origin(field.annotation) in (tuple, Union, UnionType) else ()
    return field.annotation is Path or Path in wanted


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", subject=str(file)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"is not TOML: {error}", subject=str(file)) from error


def _resolve_paths(model: type[BaseModel], tree: dict[str, Any], folder: Path) -> dict[str, Any]:
    resolved = dict(tree)
    for key, value in tree.items():
        field = model.model_fields.get(key)
        secret = model.model_fields.get(key.removesuffix("_file"))
        section = section_of(field) if field else None
        if section is not None and isinstance(value, dict):
            resolved[key] = _resolve_paths(section, value, folder)
        elif section is not None and isinstance(value, list):
            resolved[key] = [_resolve_paths(section, v, folder) if isinstance(v, dict) else v for v in value]
        elif (field and _is_path(field)) or (field is None and secret and is_secret(secret)):
            resolved[key] = [str(folder / v) for v in value] if isinstance(value, list) else str(folder / str(value))
        elif key == "url" and tree.get("type") == "folder" and isinstance(value, str):
            resolved[key] = str(folder / value)
    return resolved


def _read_secrets(model: type[BaseModel], tree: dict[str, Any], source: str, problems: list[str]) -> dict[str, Any]:
    """Replace `<secret>_file` by the secret; a final newline is not part of it."""
    read: dict[str, Any] = {}
    for key, value in tree.items():
        field = model.model_fields.get(key)
        base = key.removesuffix("_file")
        secret = model.model_fields.get(base)
        section = section_of(field) if field else None
        if section is not None and isinstance(value, dict):
            read[key] = _read_secrets(section, value, source, problems)
        elif section is not None and isinstance(value, list):
            read[key] = [_read_secrets(section, v, source, problems) if isinstance(v, dict) else v for v in value]
        elif field is None and secret is not None and is_secret(secret):
            if base in tree:
                problems.append(f"{source}: both {base} and {key} are set; keep one")
            try:
                read[base] = Path(str(value)).read_text("utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{source}: {key}: the secret cannot be read: {error}")
        else:
            read[key] = value
    return read


def _merge(target: dict[str, Any], tree: Mapping[str, Any], sources: dict[Path_, str], source: str) -> None:
    """Lay `tree` over `target`; lists replace lists."""
    sources[()] = source
    target.update(tree)


def _apply(
    model: type[BaseModel],
    merged: dict[str, Any],
    path: Path_,
    value: Any,
    sources: dict[Path_, str],
    source: str,
    problems: list[str],
) -> None:
    """Set one name (from the environment or a flag) in the merged tree; lists and sections are given as JSON."""
    field = _field_at(model, path)
    base = (*path[:-1], str(path[-1]).removesuffix("_file"))
    secret = _field_at(model, base) if field is None else None
    if secret is not None and is_secret(secret):
        try:
            path, value = base, Path(str(value)).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{source}: the secret cannot be read: {error}")
            return
    elif field is not None and isinstance(value, str) and (is_list(field) or section_of(field) is not None):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            problems.append(f"{source}: a list or section is written as JSON")
            return
    node: Any = merged
    for place, (part, following) in enumerate(itertools.pairwise(path), 1):
        found = _field_at(model, path[:place]) if not isinstance(part, int) else None
        if found is not None and is_list(found) and not isinstance(following, int):
            problems.append(f"{source}: {part} is a list: name an entry ({part}.0.…), or write all of it as JSON")
            return
        if isinstance(node, list):
            if not isinstance(part, int) or part >= len(node):
                problems.append(f"{source}: there is no entry {part}; the file has {len(node)}")
                return
            node = node[part]
        else:
            node = node.setdefault(part, [] if isinstance(following, int) else {})
        if not isinstance(node, dict | list):
            problems.append(_unknown(model, path, source))
            return
    if isinstance(node, list):
        problems.append(f"{source}: set the entry's own names, or the whole list as JSON")
        return
    node[path[-1]] = value
    sources[path] = source


def _field_at(model: type[BaseModel], path: Path_) -> FieldInfo | None:
    current: type[BaseModel] | None = model
    field: FieldInfo | None = None
    for part in path:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part) if current else None
        if field is None:
            return None
        current = section_of(field)
    return field


def _explain(model: type[BaseModel], problem: Any, sources: Mapping[Path_, str]) -> str:
    path: Path_ = tuple(problem["loc"])
    source = next((sources[path[:n]] for n in range(len(path), -1, -1) if path[:n] in sources), "")
    if problem["type"] == "extra_forbidden":
        return _unknown(model, path, source)
    field = _field_at(model, path)
    given = problem.get("input")
    hidden = field is None or is_secret(field) or section_of(field) is not None or problem["type"] == "missing"
    # a password in a URL is in the wrong place, and no less a password
    shown = "" if hidden else re.sub(r"//[^/@]*@", "//…@", f", not {given!r}")
    told = problem["msg"].removeprefix("Value error, ")
    return ": ".join(part for part in (*_where(source, path), told + shown) if part)


def _unknown(model: type[BaseModel], path: Path_, source: str) -> str:
    """An unknown name and the nearest known one: in its section first, then anywhere."""
    generic = ".".join("N" if isinstance(part, int) or part.isdigit() else part for part in path)
    names = list(known_names(model))
    siblings = [known for known in names if known.rpartition(".")[0] == generic.rpartition(".")[0]]
    near = difflib.get_close_matches(generic, siblings, 1, 0.6) or difflib.get_close_matches(generic, names, 1, 0.6)
    last = generic.rpartition(".")[2]
    near = near or [known for known in names if known.rpartition(".")[2] == last][:1]
    near = near or difflib.get_close_matches(generic, names, 1, 0.0)
    told = f"is not a setting; the nearest is {near[0]}" if near else "is not a setting"
    return ": ".join(part for part in (*_where(source, path), told) if part)


def _where(source: str, path: Path_) -> tuple[str, ...]:
    """Where it was said and what it is about; a flag says both."""
    where = dotted(path)
    return (source,) if source.removeprefix("--set ") == where else (source, where)


def dotted(path: Path_) -> str:
    """`inbox[0].url`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
