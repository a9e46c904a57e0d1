"""The extension `query`, from before CQL2: `{"eo:cloud_cover": {"lt": 20}}`, read as CQL2 in JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from refsys.core.filters import Kind
from refsys.distribution.stac.api.errors import wrong

_COMPARED: Final = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_PATTERNS: Final = {"startsWith": "{}%", "endsWith": "%{}", "contains": "%{}%"}
_ESCAPED: Final = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})
_LISTS: Final = {"eq": "a_equals", "in": "a_overlaps", "contains": "a_contains"}
_NUMBER: Final = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?", re.ASCII)
_OPERATORS: Final = (*_COMPARED, *_PATTERNS, "in")
_LIMIT: Final = 100


def to_cql2(query: Mapping[str, Any], kind_of: Callable[[str], Kind | None]) -> dict[str, Any] | None:
    """The filter that says the same; None where nothing is asked. Raises StacError."""
    terms = [term for name, tests in query.items() for term in _terms(name, tests, kind_of(name))]
    if len(terms) > _LIMIT:
        raise wrong("query", f"has {len(terms)} tests, more than {_LIMIT}")
    if len(terms) < 2:
        return terms[0] if terms else None
    return {"op": "and", "args": terms}


def _terms(name: str, tests: Any, kind: Kind | None) -> Iterator[dict[str, Any]]:
    if not isinstance(tests, dict):
        raise wrong("query", f'of {name[:60]!a} an object is asked, such as {{"lt": 20}}')
    field = {"property": name}
    for operator, value in tests.items():
        if kind is Kind.LIST and operator in _LISTS:
            yield {"op": _LISTS[operator], "args": [field, value if isinstance(value, list) else [value]]}
        elif operator in _COMPARED:
            yield {"op": _COMPARED[operator], "args": [field, _value(value, kind)]}
        elif operator == "in" and isinstance(value, list):
            yield {"op": "in", "args": [field, [_value(member, kind) for member in value]]}
        elif operator in _PATTERNS and isinstance(value, str):
            yield {"op": "like", "args": [field, _PATTERNS[operator].format(value.translate(_ESCAPED))]}
        else:
            raise wrong("query", f"{operator[:40]!a} of {name[:60]!a} is no test; there are {', '.join(_OPERATORS)}")


def _value(value: Any, kind: Kind | None) -> Any:
    """Numbers come as texts too, from clients that do not know which of them are numbers."""
    return float(value) if kind is Kind.NUMBER and isinstance(value, str) and _NUMBER.fullmatch(value) else value
