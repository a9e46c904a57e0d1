"""Paths into XML documents: the small part of XPath that the mission tables use, without namespaces.

    path       := "//" step ("/" step)* ["/@" attribute]          the first step is found anywhere in the document
    step       := (name | "*") predicate*                         "*": any child, not as the first step
    predicate  := "[@" attribute "='" text "']"  |  "[" position "]"

Names are local names: `//acquisitionPeriod/startTime` finds `safe:acquisitionPeriod/safe:startTime` as well as
`acquisitionPeriod/startTime`. A position counts the matching children of one parent (for the first step: the matches
in the document), from 1. A path has one value for each match that is not blank: the attribute's, or the element's own
text.

All first steps of a document are found in one walk (`Anchors`), the rest are steps among children: describing a
product costs little more than parsing its metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lxml import etree

_BRACKETS = r"\[(?:'[^']*'|[^\]'])+\]"
_STEP = re.compile(rf"(?P<name>[A-Za-z_][\w.-]*|\*)(?P<predicates>(?:{_BRACKETS})*)")
_PREDICATE = re.compile(r"\[(?:@(?P<attribute>[A-Za-z_][\w.-]*)='(?P<text>[^']*)'|(?P<position>[1-9]\d*))\]")
_ATTRIBUTE = re.compile(r"@[A-Za-z_][\w.-]*")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: children of this local name, with these attribute values, at this position (0 = all)."""

    name: str
    tag: str
    equal: tuple[tuple[str, str], ...]
    position: int

    def below(self, parents: Iterable[etree._Element]) -> Iterator[etree._Element]:
        """The children that the step finds, parent by parent."""
        for parent in parents:
            children = parent.iterchildren(self.tag)
            yield from self.keep(children) if self.equal or self.position else children

    def keep(self, elements: Iterable[etree._Element]) -> Iterator[etree._Element]:
        count = 0
        for element in elements:
            if all(element.get(attribute) == text for attribute, text in self.equal):
                count += 1
                if not self.position or count == self.position:
                    yield element
                    if self.position:
                        return


@dataclass(frozen=True, slots=True)
class XmlPath:
    """A compiled path; `text` is what was written."""

    text: str
    anchor: Step
    steps: tuple[Step, ...]
    attribute: str

    def values(self, anchors: Anchors) -> Iterator[str]:
        """The values that are not blank, stripped, in document order."""
        found: Iterable[etree._Element] = anchors.get(self.anchor.name)
        if not found:
            return
        if self.anchor.equal or self.anchor.position:
            found = self.anchor.keep(found)
        for step in self.steps:
            found = step.below(found)
        for element in found:
            value = element.get(self.attribute) if self.attribute else element.text
            if value is not None and (value := value.strip()):
                yield value


class Anchors:
    """The elements of a document by local name, for the names wanted, found in one walk."""

    __slots__ = ("_found",)

    def __init__(self, root: etree._Element, names: Iterable[str]) -> None:
        self._found: dict[str, list[etree._Element]] = {name: [] for name in names}
        if not self._found:
            return
        for element in root.iter(*(f"{{*}}{name}" for name in self._found)):
            self._found[element.tag.rpartition("}")[2]].append(element)

    def get(self, name: str) -> list[etree._Element]:
        """The elements of this name in document order; the name must be among those wanted."""
        return self._found[name]


def compile_path(text: str) -> XmlPath:
    """Compile a path; raises ValueError saying what is wrong and where."""
    if not text.startswith("//"):
        raise ValueError(f"path {text!r} must begin with '//'")
    *parts, last = _split(text[2:])
    attribute = ""
    if last.startswith("@"):
        if not _ATTRIBUTE.fullmatch(last):
            raise ValueError(f"path {text!r}: {last!r} is not an attribute")
        attribute = last[1:]
    else:
        parts.append(last)
    if not parts:
        raise ValueError(f"path {text!r} names no element")
    anchor, *steps = (_step(part, text) for part in parts)
    if anchor.name == "*":
        raise ValueError(f"path {text!r} begins with any element; it must begin with a name")
    return XmlPath(text, anchor, tuple(steps), attribute)


def _split(text: str) -> list[str]:
    # a slash inside a quoted predicate does not separate steps
    return re.split(r"/(?=(?:[^']*'[^']*')*[^']*$)", text)


def _step(part: str, text: str) -> Step:
    match = _STEP.fullmatch(part)
    if match is None:
        raise ValueError(f"path {text!r}: {part!r} is not a step (a name, then [@attribute='text'] or [number])")
    equal: list[tuple[str, str]] = []
    position = 0
    for predicate in re.findall(_BRACKETS, match["predicates"]):
        found = _PREDICATE.fullmatch(predicate)
        if found is None:
            raise ValueError(f"path {text!r}: {predicate!r} is neither [@attribute='text'] nor [number]")
        if found["position"]:
            position = int(found["position"])
        else:
            equal.append((found["attribute"], found["text"]))
    name = match["name"]
    return Step(name, name if name == "*" else f"{{*}}{name}", tuple(equal), position)
