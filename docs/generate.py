"""Write docs/reference/settings.md from the settings model: `python docs/generate.py`.

A unit test compares the file with what this makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from refsys.infra.settings import Settings

TARGET: Final = Path(__file__).parent / "reference" / "settings.md"

_HEAD: Final = """# Settings

<!-- Made by docs/generate.py from src/refsys/infra/settings.py: change that, then run `python docs/generate.py`. -->

One TOML file, `--config FILE` or `REFSYS_CONFIG`. `refsys config example` prints one with every setting and its
default, `refsys config check` says what is wrong, `refsys config show` prints what is in force. Settings are read at
the start.

* **Precedence**: options of the command, `--set NAME=VALUE`, `--state`, environment, file, default.
* **Environment**: `REFSYS_` and the name in capitals, sections joined by two underscores: `http.port` is
  `REFSYS_HTTP__PORT`. `REFSYS_INBOX__0__URL` is the `url` of the first inbox that the file has; `REFSYS_INBOX` is all
  of them, as JSON. Empty variables count as not set. An unknown `REFSYS_…` is an error, as an unknown name in the file
  is.
* **Secrets** (marked *secret*) may be read from a file: `NAME_file` instead of `NAME`. They are never shown.
* **Paths** in the file are relative to the file, others to the working directory.
"""
_LIMITS: Final = (
    ("minimum", "from"),
    ("exclusiveMinimum", "above"),
    ("maximum", "to"),
    ("exclusiveMaximum", "below"),
    ("pattern", "like"),
)


def render() -> str:
    """The page."""
    schema = Settings.model_json_schema()
    return "\n".join([_HEAD, *_section("At the top of the file", schema, schema["$defs"])]).rstrip() + "\n"


def _section(heading: str, schema: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    """A heading, a table of the plain settings, then the sections in it."""
    inner: list[tuple[str, dict[str, Any]]] = []
    yield f"## {heading}"
    yield ""
    if heading.startswith("`"):
        yield f"{' '.join(schema['description'].split())}"
        yield ""
    yield "| Name | Default | Meaning |"
    yield "|---|---|---|"
    for name, field in schema["properties"].items():
        section = _section_of(field, known)
        if section is not None:
            inner.append((_heading(heading, name, is_list=field.get("type") == "array"), section))
        else:
            default = "needed" if name in schema.get("required", ()) else _code(_default(field))
            yield f"| `{name}` | {default} | {_meaning(field)} |"
    yield ""
    for title, section in inner:
        yield from _section(title, section, known)


def _heading(above: str, name: str, *, is_list: bool) -> str:
    outer = above.strip("`[]") + "." if above.startswith("`") else ""
    return f"`[[{outer}{name}]]`" if is_list else f"`[{outer}{name}]`"


def _section_of(field: dict[str, Any], known: dict[str, Any]) -> dict[str, Any] | None:
    """The model that a field refers to, alone or as the member of a list."""
    reference = field.get("$ref") or field.get("items", {}).get("$ref", "")
    return known[reference.rpartition("/")[2]] if reference else None


def _default(field: dict[str, Any]) -> str:
    value = field["default"]
    return orjson.dumps(int(value) if isinstance(value, float) and value.is_integer() else value).decode()


def _meaning(field: dict[str, Any]) -> str:
    words = []
    if field.get("enum"):
        words.append("one of " + ", ".join(_code(choice or '""') for choice in field["enum"]))
    words += [
        f"{told} {_code(f'{field[limit]:g}' if limit != 'pattern' else field[limit])}"
        for limit, told in _LIMITS
        if limit in field
    ]
    if field.get("writeOnly"):
        words.append("*secret*")
    return _cell(field["description"]) + (f" ({', '.join(words)})" if words else "")


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(render(), "utf-8")
