"""The page that describes the API to people: made of the OpenAPI description, without scripts, from no other place."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}"
    "h2{font-size:1.1rem;margin-top:2rem;border-top:1px solid #ccc;padding-top:1rem}code{font-size:.95em}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0}"
    "th{font-weight:600;border-bottom:1px solid #ccc}"
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: What a browser may do with the page: show it.
CSP: Final = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'"


def service_doc(openapi: Mapping[str, Any], root: str) -> str:
    """HTML; `root` is the API's address."""
    info = openapi["info"]
    operations = (
        (method.upper(), path, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    )
    sections = "".join(_section(openapi, *operation) for operation in operations)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}: STAC API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(info['title'])}: STAC API</h1><p>{escape(info['description'])}</p>"
        f'<p>The API begins at <a href="{escape(root)}"><code>{escape(root)}</code></a>. For programs: '
        f'<a href="{escape(root)}/api">OpenAPI description</a>. What filters may ask of items: '
        f'<a href="{escape(root)}/queryables">queryables</a>.</p>{sections}</body></html>'
    )


def _section(openapi: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(where)}</td><td>{escape(about)}</td></tr>"
        for name, where, about in _parameters(openapi, operation)
    )
    table = f"<table><tr><th>Parameter</th><th>In</th><th>Meaning</th></tr>{rows}</table>" if rows else ""
    return f"<h2><code>{method} {escape(path)}</code></h2><p>{escape(operation.get('summary', ''))}</p>{table}"


def _parameters(openapi: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for parameter in operation.get("parameters", ()):
        yield parameter["name"], parameter["in"], parameter.get("description", "")
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    schema = openapi["components"]["schemas"][body["$ref"].rpartition("/")[2]] if "$ref" in body else body
    for name, member in schema.get("properties", {}).items():
        yield name, "body", member.get("description", "")
