"""Families of Sentinel-1 products, as the hub's users ask for them.

The hub finds `IW_GRDH_1S` and its sisters by `productType eq 'GRD'`, though no product has that value: EODAG and many
scripts rely on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from refsys.core.filters import (
    Atom,
    Attribute,
    Comparison,
    Expression,
    In,
    IsNull,
    Literal,
    Op,
    all_of,
    negate,
    rewrite,
)

_ATTRIBUTE: Final = "productType"
_MODES: Final = ("IW", "EW", "WV", "S1", "S2", "S3", "S4", "S5", "S6", "EN")
_FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "RAW": tuple(f"{mode}_RAW__0S" for mode in _MODES),
    "SLC": tuple(f"{mode}_SLC__1S" for mode in _MODES),
    "GRD": tuple(f"{mode}_GRD{resolution}_1S" for mode in _MODES for resolution in "FHM"),
    "OCN": tuple(f"{mode}_OCN__2S" for mode in _MODES),
}


def with_families(expression: Expression) -> Expression:
    """The expression with the members of a family wherever one is compared with the product type."""
    return rewrite(expression, _meant)


def _meant(atom: Atom) -> Expression:
    match atom:
        case Comparison(Attribute(name=name) as operand, Op.EQ | Op.NE as op, Literal(value)) if name == _ATTRIBUTE:
            if value not in _FAMILIES:
                return atom
            found = In(operand, _members(Literal(value)))
            # what has no value is not unequal to one
            return found if op is Op.EQ else all_of(negate(IsNull(operand)), negate(found))
        case In(Attribute(name=name) as operand, values) if name == _ATTRIBUTE:
            return In(operand, tuple(member for value in values for member in _members(value)))
        case _:
            return atom


def _members(value: Literal) -> tuple[Literal, ...]:
    """What is asked for stays: sessions have the type RAW."""
    return (value, *map(Literal, _FAMILIES.get(str(value.value), ())))
