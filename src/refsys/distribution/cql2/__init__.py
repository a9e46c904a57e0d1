"""CQL2 (OGC 21-065r2): filters as text and as JSON → filter expressions, and back.

Both spellings become one syntax tree (`tree`), which is built into an expression in one place (`building`).
"""

from __future__ import annotations

from typing import Any

from refsys.core.filters import Expression
from refsys.distribution.cql2.errors import InvalidCql2
from refsys.distribution.cql2.vocabulary import Queryable, Source, Vocabulary

__all__ = ["InvalidCql2", "Queryable", "Source", "Vocabulary", "parse_json", "parse_text"]


def parse_text(text: str, vocabulary: Vocabulary) -> Expression:
    """The expression that a filter in CQL2 text means. Raises InvalidCql2 with the position and what was expected."""
    raise InvalidCql2("filters in CQL2 text are not understood yet")


def parse_json(value: Any, vocabulary: Vocabulary) -> Expression:
    """The expression that a filter in CQL2 JSON, decoded, means. Raises InvalidCql2 with the place and what was
    expected."""
    raise InvalidCql2("filters in CQL2 JSON are not understood yet")
