"""The order of a search, and where its next page begins: behind the keys of the last row, whatever was published since.

What a product does not have is greater than anything, as for PostgreSQL: it comes last, or first where the order is
descending. Products with equal keys stand in the order of their ids, in the direction of the first key. Attributes
compare as jsonb: numbers by value and before texts, texts as the database orders them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from refsys.catalogue.compiler import Scope
from refsys.core.filters import Attribute, Kind, Property

#: What every product has, and what it has within a scope.
_ALWAYS: Final = {
    "id", "name", "state", "collection", "mission", "platform", "instrument", "product_type", "level", "timeliness",
    "described_at", "online",
}  # fmt: skip
_WITHIN: Final = {Scope.OPERATOR: set[str](), Scope.DELETED: {"published_at", "modified_at", "deleted_at"}}
_PUBLISHED: Final = {"published_at", "modified_at"}

#: Makes a placeholder of a value.
Bind = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Order:
    by: Property | Attribute
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """A sorted column: its SQL over `p`, and in which form its values go out and come back."""

    sql: str
    descending: bool
    is_nullable: bool = False
    collation: str = ""
    written: str = ""
    read: str = ""

    def sorted(self, column: str = "") -> str:
        """What stands in ORDER BY."""
        return f"{column or self.sql}{self.collation}{' DESC' if self.descending else ''}"


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the rows that come behind a row: `{}` in the condition stands for each of the values."""

    condition: str
    values: tuple[Any, ...] = ()

    def where(self, bind: Bind) -> str:
        return self.condition.format(*map(bind, self.values))


def keys_of(orders: Sequence[Order], scope: Scope, bind: Bind) -> list[Key]:
    """The keys of these orders, and the id behind them."""
    return [*(_key(order, scope, bind) for order in orders), Key("p.id", orders[0].descending)]


def behind(keys: Sequence[Key], after: Sequence[Any]) -> list[Part]:
    """Everything that comes behind the row with the keys `after`, as parts of which each lies behind the one before.

    Where all keys have one direction the first part is one comparison of rows, which walks an index.
    """
    key, value = keys[0], after[0]
    rest = behind(keys[1:], after[1:]) if len(keys) > 1 else []
    column, placeholder = f"{key.sql}{key.collation}", f"{{}}{key.read}"
    if value is None:
        same = [Part(f"{key.sql} IS NULL AND {part.condition}", part.values) for part in rest]
        return [*same, Part(f"{key.sql} IS NOT NULL")] if key.descending else same
    missing = [Part(f"{key.sql} IS NULL")] if key.is_nullable and not key.descending else []
    one = _one_comparison(keys, after)
    if one is not None:
        return [one, *missing]
    same = [Part(f"{key.sql} = {placeholder} AND {part.condition}", (value, *part.values)) for part in rest]
    return [*same, Part(f"{column} {_sign(key)} {placeholder}", (value,)), *missing]


def _one_comparison(keys: Sequence[Key], after: Sequence[Any]) -> Part | None:
    """(k1, k2, id) > (…), where it says the same: all go one way, and what it makes unknown lies before."""
    if any(key.descending != keys[0].descending for key in keys) or any(value is None for value in after):
        return None
    if not keys[0].descending and any(key.is_nullable for key in keys[1:]):
        return None
    columns = ", ".join(f"{key.sql}{key.collation}" for key in keys)
    values = ", ".join(f"{{}}{key.read}" for key in keys)
    return Part(f"({columns}) {_sign(keys[0])} ({values})", tuple(after))


def _sign(key: Key) -> str:
    return "<" if key.descending else ">"


def _key(order: Order, scope: Scope, bind: Bind) -> Key:
    by = order.by
    if isinstance(by, Attribute):
        sql = f"nullif(p.attributes -> {bind(by.name)}::text, 'null')"
        return Key(sql, order.descending, is_nullable=True, written="::text", read="::text::jsonb")
    is_nullable = by.name not in _ALWAYS | _WITHIN.get(scope, _PUBLISHED)
    if by.kind is Kind.INSTANT:
        # as a text: for the driver the end of the year 9999 and `infinity` are the same
        return Key(f"p.{by.name}", order.descending, is_nullable, written="::text", read="::text::timestamptz")
    return Key(f"p.{by.name}", order.descending, is_nullable, collation=' COLLATE "C"' if by.kind is Kind.TEXT else "")
