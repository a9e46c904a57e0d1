"""Settings as text: the annotated example, the settings in force (secrets masked), and JSON for our own processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import orjson
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from refsys.infra.layers import is_list, is_secret, section_of

MASK = "********"


def example_toml(model: type[BaseModel]) -> str:
    """A complete annotated file. What has a default is commented out (`#name = default`): uncomment to change."""
    head = [
        "# Settings of refsys. What is commented out shows the default; a name that is not here is an error.",
        "# Precedence: command line > environment (REFSYS_HTTP__PORT=8080) > this file > default.",
        "# A secret may be read from a file: NAME_file instead of NAME. Relative paths are relative to this file.",
        "",
    ]
    return "\n".join([*head, *_example(model, "")]).rstrip() + "\n"


def effective_toml(settings: BaseModel) -> str:
    """The settings in force, as TOML, secrets masked (an unset secret stays empty)."""
    return "\n".join(_effective(settings, "")).strip() + "\n"


def to_json(settings: BaseModel) -> bytes:
    """Everything, secrets in clear: for the pipe to a process of ours, never for a log."""
    return orjson.dumps(_plain(settings))


def _example(model: type[BaseModel], prefix: str, commented: bool = False) -> Iterator[str]:
    plain, sections = _split(model)
    for name, field in plain:
        yield f"# {field.description}{_limits(field)}"
        value = _sample(name, field) if field.is_required() else field.get_default(call_default_factory=True)
        yield f"#{name} = {toml_value(value)}"
        if is_secret(field):
            yield f"# or {name}_file: a file that holds it"
        yield ""
    for name, field in sections:
        section = section_of(field)
        assert section is not None
        told = (section.__doc__ or "").strip().replace("\n", "\n# ")
        yield f"# {field.description or told}"
        if field.description and told:
            yield f"# {told}"
        repeated = is_list(field)
        quiet = commented or repeated
        yield f"{'#' if quiet else ''}{'[[' if repeated else '['}{prefix}{name}{']]' if repeated else ']'}"
        yield from _example(section, f"{prefix}{name}.", quiet)


def _effective(settings: BaseModel, prefix: str) -> Iterator[str]:
    plain, sections = _split(type(settings))
    for name, _field in plain:
        yield f"{name} = {toml_value(getattr(settings, name))}"
    for name, field in sections:
        value = getattr(settings, name)
        for member in value if is_list(field) else (value,):
            brackets = ("[[", "]]") if is_list(field) else ("[", "]")
            yield f"\n{brackets[0]}{prefix}{name}{brackets[1]}"
            yield from _effective(member, f"{prefix}{name}.")


def _split(model: type[BaseModel]) -> tuple[list[tuple[str, FieldInfo]], list[tuple[str, FieldInfo]]]:
    """Plain values first: in TOML they have to precede the sections."""
    fields = list(model.model_fields.items())
    return [item for item in fields if section_of(item[1]) is None], [item for item in fields if section_of(item[1])]


def _limits(field: FieldInfo) -> str:
    """What the type allows, where that is more than its kind: ` (one of: none, basic)`, ` (from 1, to 64)`."""
    words = []
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    if choices:
        words.append("one of: " + ", ".join(repr(choice) if choice == "" else str(choice) for choice in choices))
    for rule in field.metadata:
        for attribute, told in (("ge", "from"), ("gt", "above"), ("le", "to"), ("lt", "below"), ("pattern", "like")):
            limit = getattr(rule, attribute, None)
            if limit is not None:
                words.append(f"{told} {limit}")
    return f" ({', '.join(words)})" if words else ""


def _sample(name: str, field: FieldInfo) -> Any:
    """An acceptable value for a name that has no default."""
    choices = get_args(field.annotation)
    return choices[0] if choices else {"id": "my-inbox", "url": "inbox"}.get(name, name)


def toml_value(value: Any) -> str:
    if isinstance(value, SecretStr):
        return f'"{MASK}"' if value.get_secret_value() else '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(toml_value(member) for member in value) + "]"
    # A JSON string is a TOML basic string, but for the escape \/ (which orjson never writes) and DEL.
    return orjson.dumps(str(value)).decode().replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple | list):
        return [_plain(member) for member in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
