"""The documentation agrees with itself and with the program: links, command lines, options, settings, metrics."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.main import get_command

from refsys.cli.context import GLOBAL
from refsys.cli.main import app

PROJECT = Path(__file__).parent.parent.parent
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
HELP = {"-h", "--help"}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_INLINE = re.compile(r"`(refsys [^`]+)`")
_COMMAND = re.compile(r"(?:^|[;&(|]|\$)\s*(refsys\s[^;&|>#]*)")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """What its headings can be linked by, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


def links(page: Path) -> list[str]:
    return [link for link in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]


def command_lines() -> Iterator[tuple[Path, str]]:
    """Every `refsys …` in blocks of code that are no output, and in sentences."""
    for page in PAGES:
        for language, block in _FENCE.findall(page.read_text("utf-8")):
            if language in ("", "sh"):
                for line in block.replace("\\\n", " ").splitlines():
                    yield from ((page, found.strip()) for found in _COMMAND.findall(line))
        yield from ((page, found) for found in _INLINE.findall(prose(page).replace("\n", " ")))


def commands(command: Any, name: str = "refsys") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its whole name."""
    children = getattr(command, "commands", {})
    for child, member in children.items():
        yield from commands(member, f"{name} {child}")
    if not children:
        yield name, command


def options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("-")}


def problem(line: str) -> str:
    """What is wrong with a command line; empty where it can be meant."""
    command: Any = get_command(app)
    known = options(command) | HELP
    values = {option: parameter for parameter in command.params for option in parameter.opts}
    words = shlex.split(line)[1:]
    while words:
        word, _, _ = words.pop(0).partition("=")
        children = getattr(command, "commands", {})
        if word == "--":
            break
        if word.startswith("-"):
            if word not in known:
                return f"{word} is no option of it"
            takes_one = word in values and not getattr(values[word], "is_flag", False)
            if takes_one and "=" not in line.split(word, 1)[1].split(" ", 1)[0] and words:
                words.pop(0)
        elif children:
            # `a|b` in a sentence means any of them
            if missing := [name for name in word.split("|") if name not in children and name != "COMMAND"]:
                return f"there is no command {missing[0]}"
            if word == "COMMAND":
                break
            command = children[word.split("|")[0]]
            known |= options(command)
            values |= {option: parameter for parameter in command.params for option in parameter.opts}
    return ""


def test_there_are_pages_links_and_command_lines():
    """What is checked below is found at all."""
    assert len(PAGES) > 30
    assert sum(len(links(page)) for page in PAGES) > 80
    assert len(list(command_lines())) > 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_leads_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: there is no such file"
        assert target.is_relative_to(PROJECT), f"{link}: leads out of the project"
        if anchor:
            assert anchor in anchors(target), f"{link}: no heading is called so"


def test_every_page_can_be_reached_from_the_first_one():
    found, new = set(), {PROJECT / "docs" / "index.md"}
    while new:
        page = new.pop()
        found.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        new |= {target for target in targets if target.suffix == ".md"} - found
    assert {page for page in PAGES if page.is_relative_to(PROJECT / "docs")} <= found


def test_every_command_line_can_be_meant():
    wrong = [
        f"{page.relative_to(PROJECT)}: {line}: {told}" for page, line in command_lines() if (told := problem(line))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("refsys up --config refsys.toml", ""),
        ("refsys -c a.toml --set http.port=1 config check", ""),
        ("refsys parked list|show", ""),
        ("refsys parked look", "there is no command look"),
        ("refsys parked list|look", "there is no command look"),
        ("refsys product find --nam x", "--nam is no option of it"),
        ("refsys up --host 0.0.0.0 --json", "--json is no option of it"),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_found(line, told):
    assert problem(line) == told


def test_the_reference_of_commands_has_every_command_with_every_option_and_no_other():
    page = (PROJECT / "docs" / "reference" / "commands.md").read_text("utf-8")
    sections = dict(re.findall(r"^## (refsys [a-z -]+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    existing = dict(commands(get_command(app)))
    assert sections.keys() == existing.keys()
    for name, command in existing.items():
        told = set(re.findall(r"`(--?[a-z-]+)[^`]*`", "".join(re.findall(r"^\| `.*$", sections[name], re.MULTILINE))))
        assert told == options(command) - HELP, name
    told = set(re.findall(r"`(--?[a-z-]+)[^`]*`", page.partition("## Exit codes")[0]))
    assert options(get_command(app)) | set(GLOBAL) | HELP <= told


def test_the_reference_of_settings_is_what_the_model_says():
    generate = _generate()
    told = generate.TARGET.read_text("utf-8")
    assert told == generate.render(), "run `python docs/generate.py`"
    assert "| `poll_s` | `10` | seconds between two looks (above `0`) |" in told


def test_the_reference_of_http_has_every_metric():
    source = (PROJECT / "src" / "refsys" / "infra" / "telemetry.py").read_text("utf-8")
    found = re.findall(r'(Counter|Gauge)MetricFamily\(\s*"(refsys_\w+)"', source)
    made = {name + ("_total" if kind == "Counter" else "") for kind, name in found}
    page = (PROJECT / "docs" / "reference" / "http.md").read_text("utf-8")
    assert made == set(re.findall(r"`(refsys_\w+)`", page))


def _generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", PROJECT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
