"""The names that a filter in CQL2 may speak of, and what they are in the catalogue.

A queryable is often one property or attribute:

    Queryable.of(Attribute("cloudCover"), Kind.NUMBER)

Where its value is made of something, it has sources: of a product, those count whose condition `when` holds (they
exclude each other). A value that only a few conditions lead to is written down with them; one that the catalogue has in
another spelling has an `inverse`, from the queryable's value to all values that the catalogue may have for it:

    Queryable(Kind.TEXT, (Source(Literal("sentinel-1a"), when=all_of(is_sentinel1, is_a)), …))
    Queryable(Kind.TEXT, (Source(Attribute("tileId"), inverse=lambda code: [code.removeprefix("MGRS-")]),))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from refsys.core.filters import EVERYTHING, Attribute, Expression, Kind, Literal, Property, Value


@dataclass(frozen=True, slots=True)
class Source:
    """Where a queryable's value comes from in products of which `when` is true.

    With `inverse` it can be compared with values by equality only, and no values give an order; of a list, `inverse`
    is that of one item. With `suffixes` too, a text of the catalogue is the value with one of these behind it, the
    first that fits ("" comes last): LIKE is possible then.
    """

    operand: Property | Attribute | Literal
    when: Expression = EVERYTHING
    inverse: Callable[[Value], Sequence[Value]] | None = None
    suffixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Queryable:
    """`kind` is what its values are: literals that it is compared with are read as that.

    Kind.AREA is the footprint; the value of Kind.LIST is a list of texts.
    """

    kind: Kind
    sources: tuple[Source, ...]

    @classmethod
    def of(cls, operand: Property | Attribute, kind: Kind | None = None) -> Queryable:
        """What is one property, or one attribute of a kind."""
        if isinstance(operand, Property):
            return cls(operand.kind, (Source(operand),))
        return cls(kind or Kind.TEXT, (Source(operand),))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All names of queryables, as they stand in filters: `eo:cloud_cover`, `datetime`, `geometry`."""

    queryables: Mapping[str, Queryable]

    def find(self, name: str) -> Queryable | None:
        """The queryable; `properties.` before a name changes nothing."""
        return self.queryables.get(name) or self.queryables.get(name.removeprefix("properties."))
