"""Hardened XML: no entities, no DTD, no network, bounded size and depth.

None of the formats that this system reads declares a document type, so any DOCTYPE is refused: it is the way in of
external entities (XXE) and of exponential ones ("a million laughs"). libxml2's own limits stay in force (depth 256,
bounded names, attribute values and amplification), because `huge_tree` is never set.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from typing import Any, Final

from lxml import etree

from refsys.core.errors import HostileInput, InvalidProduct

#: Largest document parsed, in bytes, unless the caller says otherwise.
SIZE_LIMIT = 64 * 2**20

#: Most tags and attributes: an element takes 130 bytes of memory, however few it takes in the file. A day of precise
#: orbits has about 300,000.
NODE_LIMIT = 4_000_000

#: Most bytes between the ends of two elements of a stream.
ELEMENT_LIMIT = 4 * 2**20

#: What is embedded in a file of another format ends within its first bytes.
EMBEDDED_LIMIT = 2**20

_DOCTYPE = b"<!DOCTYPE"
_WIDE_DOCTYPE = tuple(_DOCTYPE.decode().encode(encoding) for encoding in ("utf-16-le", "utf-16-be", "utf-32-le"))
_EXTERNAL = re.compile(rb"<!ENTITY[^>]*?\b(?:SYSTEM|PUBLIC)\s+[\"']([^\"'>]{0,200})")
_local = threading.local()
# not collect_ids=False: it makes libxml2 load external subsets, whatever load_dtd says
_OPTIONS: Final[dict[str, Any]] = {
    "resolve_entities": False,
    "load_dtd": False,
    "dtd_validation": False,
    "no_network": True,
    "huge_tree": False,
    "recover": False,
    "remove_comments": True,
    "remove_pis": True,
    "remove_blank_text": True,
}


def parse(data: bytes, *, subject: str, size_limit: int = SIZE_LIMIT) -> etree._Element:
    """Parse a document and return its root; comments, processing instructions and blank text are dropped.

    `subject` names the file in errors. Raises HostileInput where the document declares entities or is larger (than
    `size_limit` bytes), deeper or richer than any real one, InvalidProduct (with line and column) where it is not well
    formed.
    """
    if len(data) > size_limit:
        raise HostileInput(
            f"has {len(data)} bytes, more than {size_limit}",
            subject=subject,
            advice="look at the file; metadata of real products stays far below",
        )
    # counted before parsing: what is text or closes a tag is counted too, which the limit leaves room for
    nodes = data.count(b"<") + data.count(b"=") if len(data) > NODE_LIMIT else 0
    if nodes > NODE_LIMIT:
        raise HostileInput(
            f"has {nodes} tags and attributes, more than {NODE_LIMIT}",
            subject=subject,
            advice="look at the file; metadata of real products stays far below",
        )
    # most documents have no such byte, which is found out much faster than that they have no such word
    if (b"!" in data and _DOCTYPE in data) or (b"\0" in data and any(needle in data for needle in _WIDE_DOCTYPE)):
        raise _declares_type(data, subject)
    try:
        root = etree.fromstring(data, _parser())
    except _Reached as reached:
        raise _reaches_out(ascii(str(reached)), subject) from None
    except etree.XMLSyntaxError as error:
        raise _malformed(error, subject) from None
    except ValueError as error:
        raise InvalidProduct(f"is not XML: {error}", subject=subject, advice=_ADVICE) from None
    # an encoding that hides the declaration from the search above does not hide it from libxml2
    if root.getroottree().docinfo.internalDTD is not None:
        raise _declares_type(data, subject)
    return root


def parse_embedded(data: bytes, name: str, *, subject: str) -> etree._Element:
    """Parse the element `name` that stands as text in a file of another format, and return it.

    Only the first EMBEDDED_LIMIT bytes are looked at, and the first such element in them. It is read as Latin-1, which
    the images of Sentinel-2 that hold an inventory say. Raises InvalidProduct where there is none, and as `parse` does.
    """
    head = data[:EMBEDDED_LIMIT]
    opening = re.search(rb"<%b(?=[\s>])" % name.encode(), head)
    closing = b"</%b>" % name.encode()
    end = head.find(closing, opening.end()) if opening else -1
    if opening is None or end < 0:
        raise InvalidProduct(
            f"has no whole element {name} in its first {EMBEDDED_LIMIT} bytes", subject=subject, advice=_ADVICE
        )
    text = head[opening.start() : end + len(closing)]
    return parse(b'<?xml version="1.0" encoding="ISO-8859-1"?>' + text, subject=subject)


class ElementStream:
    """The elements `name` ({namespace}local) of a document of any length, as its bytes come.

    `subject` names the document in errors. Raises what `parse` raises; HostileInput, too, where one element takes more
    than ELEMENT_LIMIT bytes. Nothing is kept of an element once the next one is asked for.
    """

    def __init__(self, name: str, *, subject: str) -> None:
        self._subject = subject
        self._parser = etree.XMLPullParser(events=("end",), tag=name, **_OPTIONS)
        self._parser.resolvers.add(_NoResource())
        self._tail = b""
        self._since = 0
        self._is_begun = False

    def feed(self, data: bytes) -> Iterator[etree._Element]:
        """The elements that end in these bytes, which go on where those before ended."""
        seen = self._tail + data
        if _DOCTYPE in seen or (b"\0" in seen and any(needle in seen for needle in _WIDE_DOCTYPE)):
            raise _declares_type(seen, self._subject)
        self._tail = seen[-4 * len(_DOCTYPE) :]
        with self._errors():
            self._parser.feed(data)
        self._since += len(data)
        for _, element in self._parser.read_events():
            assert isinstance(element, etree._Element)
            if not self._is_begun:
                self._check_type(element)
                self._is_begun = True
            self._since = 0
            yield element
            element.clear()
            parent = element.getparent()
            while parent is not None and (before := element.getprevious()) is not None:
                parent.remove(before)
        if self._since > ELEMENT_LIMIT:
            raise HostileInput(f"goes on for {self._since} bytes without an end", subject=self._subject, advice=_DANGER)

    def close(self) -> etree._Element:
        """The root. Raises InvalidProduct where the document has not ended."""
        with self._errors():
            root = self._parser.close()
        self._check_type(root)
        return root

    def _check_type(self, element: etree._Element) -> None:
        # an encoding that hides the declaration from the search in `feed` does not hide it from libxml2
        if element.getroottree().docinfo.internalDTD is not None:
            raise _declares_type(self._tail, self._subject)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except _Reached as reached:
            raise _reaches_out(ascii(str(reached)), self._subject) from None
        except etree.XMLSyntaxError as error:
            raise _malformed(error, self._subject) from None


_DANGER = "nothing was read from it; ask the station what it sent, and delete the step"
_ADVICE = "compare the file with the one at the station and fetch it again, or ask the station to publish it anew"


class _Reached(Exception):
    """The document asked for this address."""


class _NoResource(etree.Resolver):
    """Whatever the parser's options let through: nothing is opened on behalf of a document."""

    def resolve(self, system_url: str, public_id: str, *_: object) -> object:
        raise _Reached(system_url)


def _parser() -> etree.XMLParser:
    # one for each thread: a shared parser would let only one thread parse at a time
    parser: etree.XMLParser | None = getattr(_local, "parser", None)
    if parser is None:
        parser = etree.XMLParser(**_OPTIONS)
        parser.resolvers.add(_NoResource())
        _local.parser = parser
    return parser


def _declares_type(data: bytes, subject: str) -> HostileInput:
    plain = data.replace(b"\0", b"")
    external = _EXTERNAL.search(plain)
    if external is not None:
        return _reaches_out(ascii(external[1].decode("utf-8", "replace")), subject)
    if b"<!ENTITY" in plain:
        message = f"declares {plain.count(b'<!ENTITY')} entities, which can grow without bound"
    else:
        message = "declares a document type (DOCTYPE), which none of the known formats does"
    return HostileInput(message, subject=subject, advice=_DANGER)


def _reaches_out(target: str, subject: str) -> HostileInput:
    return HostileInput(f"declares an external entity that reads {target}", subject=subject, advice=_DANGER)


def _malformed(error: etree.XMLSyntaxError, subject: str) -> HostileInput | InvalidProduct:
    line, column = error.position
    text = (error.msg or "not well formed").partition(", line ")[0].strip()
    told = text.lower()
    if "amplification" in told:
        return HostileInput(f"has entities that grow without bound: {text}", subject=subject, advice=_DANGER)
    if "depth" in told:
        return HostileInput(f"nests elements too deep, at line {line}: {text}", subject=subject, advice=_DANGER)
    if "limit exceeded" in told:
        return HostileInput(f"has a text or value without end, at line {line}: {text}", subject=subject, advice=_DANGER)
    return InvalidProduct(
        f"is not well-formed XML: line {line}, column {column}: {text}", subject=subject, advice=_ADVICE
    )
