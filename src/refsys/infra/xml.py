"""Hardened XML: no entities, no DTD, no network, bounded size and depth.

None of the formats that this system reads declares a document type, so any DOCTYPE is refused: it is the way in of
external entities (XXE) and of exponential ones ("a million laughs"). libxml2's own limits stay in force (depth 256,
bounded names, attribute values and amplification), because `huge_tree` is never set.
"""

from __future__ import annotations

import re
import threading

from lxml import etree

from refsys.core.errors import HostileInput, InvalidProduct

#: Largest document parsed, in bytes, unless the caller says otherwise.
SIZE_LIMIT = 64 * 2**20

_DOCTYPE = tuple("<!DOCTYPE".encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le"))
_EXTERNAL = re.compile(rb"<!ENTITY[^>]*?\b(?:SYSTEM|PUBLIC)\s+[\"']([^\"'>]{0,200})")
_local = threading.local()


def parse(data: bytes, *, subject: str, size_limit: int = SIZE_LIMIT) -> etree._Element:
    """Parse a document and return its root; comments, processing instructions and blank text are dropped.

    `subject` names the file in errors. Raises HostileInput where the document declares entities or is larger than
    `size_limit` bytes, InvalidProduct (with line and column) where it is not well formed.
    """
    if len(data) > size_limit:
        raise HostileInput(
            f"has {len(data)} bytes, more than {size_limit}",
            subject=subject,
            advice="look at the file; metadata of real products stays far below",
        )
    if any(needle in data for needle in _DOCTYPE):
        raise _declares_type(data, subject)
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        raise _malformed(error, subject) from None
    except ValueError as error:
        raise InvalidProduct(f"is not XML: {error}", subject=subject, advice=_ADVICE) from None
    # an encoding that hides the declaration from the search above does not hide it from libxml2
    if root.getroottree().docinfo.internalDTD is not None:
        raise _declares_type(data, subject)
    return root


_ADVICE = "compare the file with the one at the station and fetch it again, or ask the station to publish it anew"


def _parser() -> etree.XMLParser:
    # one for each thread: a shared parser would let only one thread parse at a time
    parser: etree.XMLParser | None = getattr(_local, "parser", None)
    if parser is None:
        parser = etree.XMLParser(
            resolve_entities=False,
            load_dtd=False,
            dtd_validation=False,
            no_network=True,
            huge_tree=False,
            recover=False,
            remove_comments=True,
            remove_pis=True,
            remove_blank_text=True,
            collect_ids=False,
        )
        _local.parser = parser
    return parser


def _declares_type(data: bytes, subject: str) -> HostileInput:
    plain = data.replace(b"\0", b"")
    external = _EXTERNAL.search(plain)
    if external is not None:
        target = ascii(external[1].decode("utf-8", "replace"))
        message = f"declares an external entity that reads {target}"
    elif b"<!ENTITY" in plain:
        message = f"declares {plain.count(b'<!ENTITY')} entities, which can grow without bound"
    else:
        message = "declares a document type (DOCTYPE), which none of the known formats does"
    return HostileInput(
        message, subject=subject, advice="nothing was read from it; ask the station what it sent, and delete the step"
    )


def _malformed(error: etree.XMLSyntaxError, subject: str) -> HostileInput | InvalidProduct:
    line, column = error.position
    text = (error.msg or "not well formed").partition(", line ")[0]
    if "entity" in text.lower() and "amplification" in text.lower():
        return HostileInput(f"has entities that grow without bound: {text}", subject=subject)
    if "depth" in text.lower():
        return HostileInput(f"nests elements too deep, at line {line}: {text}", subject=subject)
    return InvalidProduct(
        f"is not well-formed XML: line {line}, column {column}: {text}", subject=subject, advice=_ADVICE
    )
