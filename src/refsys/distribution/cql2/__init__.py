"""CQL2 (OGC 21-065r2): filters as text and as JSON → filter expressions, and back.

Both spellings become one syntax tree (`tree`), which is built into an expression in one place (`building`).
"""

from __future__ import annotations

from typing import Any, Final

from refsys.core.filters import Expression
from refsys.distribution.cql2.building import build
from refsys.distribution.cql2.document import read_document
from refsys.distribution.cql2.errors import InvalidCql2
from refsys.distribution.cql2.printing import print_json, print_text
from refsys.distribution.cql2.text import read_text
from refsys.distribution.cql2.vocabulary import Queryable, Source, Vocabulary

__all__ = [
    "CONFORMANCE",
    "InvalidCql2",
    "Queryable",
    "Source",
    "Vocabulary",
    "parse_json",
    "parse_text",
    "print_json",
    "print_text",
]

#: The classes of the standard that all of this conforms to. Not `spatial-functions`: some relations are refused.
CONFORMANCE: Final = tuple(
    f"http://www.opengis.net/spec/cql2/1.0/conf/{name}"
    for name in (
        "cql2-text",
        "cql2-json",
        "basic-cql2",
        "advanced-comparison-operators",
        "case-insensitive-comparison",
        "accent-insensitive-comparison",
        "basic-spatial-functions",
        "basic-spatial-functions-plus",
        "temporal-functions",
        "array-functions",
        "property-property",
        "arithmetic",
    )
)


def parse_text(text: str, vocabulary: Vocabulary) -> Expression:
    """The expression that a filter in CQL2 text means. Raises InvalidCql2 with the position and what was expected."""
    return build(read_text(text), vocabulary)


def parse_json(value: Any, vocabulary: Vocabulary) -> Expression:
    """The expression that a filter in CQL2 JSON, decoded, means. Raises InvalidCql2 with the place and what was
    expected."""
    return build(read_document(value), vocabulary)
