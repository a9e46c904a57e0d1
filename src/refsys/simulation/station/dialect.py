"""How a station's OData differs from the standard, for good: what scripted faults are not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """`page_limit` bounds a page whatever `$top` says; `next_links` off is a station whose pages one has to count.

    `refuses`: operators, functions and options that get 400 (`le`, `in`, `contains`, `$count`, `$expand`, …).
    `short_pages`: pages hold half of what they could although more follows. `skip_ignored`: `$skip` changes nothing.
    `empty_list`: a listing without entries is `[]`. `text_numbers`: sizes are written as texts.
    """

    page_limit: int = 1000
    next_links: bool = True
    refuses: frozenset[str] = frozenset()
    short_pages: bool = False
    skip_ignored: bool = False
    empty_list: bool = False
    text_numbers: bool = False
