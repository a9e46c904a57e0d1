"""What a filter in CQL2 that cannot be understood gets."""

from __future__ import annotations

from refsys.core.errors import RefsysError


class InvalidCql2(RefsysError):
    """The message says where: a position in the text, counted from 1, or a place in the JSON, `args[0].args[1]`."""
