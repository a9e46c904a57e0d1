"""What `refsys product` asks the catalogue, and its answers as plain values."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from refsys.catalogue import search
from refsys.catalogue.compiler import Scope
from refsys.catalogue.dossier import Dossier
from refsys.catalogue.search import DEFAULT_ORDER, Order, Search
from refsys.catalogue.store import as_written
from refsys.core.errors import ConfigurationError, RefsysError
from refsys.core.filters import Comparison, Expression, How, Literal, Op, Property, TextMatch, all_of
from refsys.core.products import canonical_name
from refsys.core.times import format_instant, parse_moment
from refsys.distribution.odata.parser import parse_filter
from refsys.distribution.odata.vocabulary import DELETED_PRODUCTS, PRODUCTS, Vocabulary
from refsys.ingestion.model import FETCH
from refsys.missions import TypeRegistry

#: What operators may ask for besides the users' names.
OPERATORS: Final = {
    **PRODUCTS,
    **DELETED_PRODUCTS,
    "State": "state",
    "Type": "product_type",
    "Platform": "platform",
    "Timeliness": "timeliness",
}
_COLUMNS: Final = {
    "name": "p.name",
    "id": "p.id",
    "revision": "p.revision",
    "state": "p.state",
    "visibility": "p.visibility",
    "product_type": "p.product_type",
    "sensing_start": "p.sensing_start",
    "sensing_stop": "p.sensing_stop",
    "described_at": "p.described_at",
    "published_at": "p.published_at",
    "package_size": "p.package_size",
    "problems": "cardinality(p.problems)",
}
_PAGE: Final = 500
_OFFER: Final = """
SELECT r.id, r.inbox, r.state, r.why, r.problem, r.not_before, s.id AS step, s.state AS step_state,
       s.error ->> 'message' AS error
  FROM ingestion.remote r
  LEFT JOIN LATERAL (
       SELECT * FROM work.step s
        WHERE s.stage = $2 || r.inbox
          AND (s.payload = jsonb_build_object('remote_id', r.id) OR s.payload -> 'remote_ids' @> to_jsonb(r.id))
        ORDER BY s.id DESC LIMIT 1) s ON true
 WHERE r.product = $1
 ORDER BY r.id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `find` was asked. `pattern` (with * and ?) is what names have to match beyond `terms`."""

    terms: tuple[Expression, ...]
    pattern: str
    odata: str

    @property
    def is_narrowed(self) -> bool:
        """Whether anything was asked for at all."""
        return bool(self.terms or self.odata)

    @classmethod
    def parse(cls, *, name: str, product_type: str, since: str, odata: str, now: datetime) -> Wanted:
        """Raises ConfigurationError where an option cannot be meant."""
        terms: list[Expression] = []
        pattern = name if set(name) & set("*?") else ""
        for piece in re.split(r"[*?]+", name):
            if piece:
                terms.append(TextMatch(How.CONTAINS, Property("name"), piece))
        if product_type:
            terms.append(Comparison(Property("product_type"), Op.EQ, Literal(product_type)))
        if since:
            terms.append(Comparison(Property("described_at"), Op.GE, Literal(_instant(since, now))))
        return cls(tuple(terms), pattern, odata)

    def expression(self, types: TypeRegistry) -> Expression:
        """What to search for; names have to match `pattern` besides. Raises ConfigurationError for a wrong filter."""
        filters = [parse_operators_filter(self.odata, types)] if self.odata else []
        return all_of(*self.terms, *filters)


async def find_products(
    connection: asyncpg.Connection, wanted: Wanted, types: TypeRegistry, *, limit: int
) -> list[dict[str, Any]]:
    """The newest products of any state, at most `limit`. Raises ConfigurationError where the filter is wrong."""
    found: list[dict[str, Any]] = []
    async for row in _rows(connection, wanted.expression(types)):
        if not wanted.pattern or fnmatch.fnmatchcase(row["name"], wanted.pattern):
            found.append({name: to_plain(row[name]) for name in _COLUMNS})
        if len(found) == limit:
            break
    return found


def parse_operators_filter(odata: str, types: TypeRegistry) -> Expression:
    """An OData filter with the names that operators have too. Raises ConfigurationError where it is wrong."""
    try:
        return parse_filter(odata, Vocabulary(OPERATORS, types.attributes))
    except RefsysError as error:
        raise ConfigurationError(str(error).replace("$filter", "--filter", 1)) from error


@dataclass(frozen=True, slots=True)
class Offered:
    """What became of an offer that has not arrived, and what to do."""

    told: str
    advice: str


async def find_offer(connection: asyncpg.Connection, name: str) -> Offered | None:
    """The newest offer of a name, by any inbox; None where none was ever made."""
    row = await connection.fetchrow(_OFFER, canonical_name(name), FETCH)
    if row is None:
        return None
    offered = f"was offered to inbox {row['inbox']}"
    show = f"`refsys inbox show {row['inbox']}` tells more"
    if row["step_state"] == "parked":
        told = f"{offered}; step {row['step']}, which fetches it, is parked: {row['error']}"
        return Offered(told, f"`refsys parked show {row['step']}` says what to do")
    match row["state"]:
        case "queued" | "fetching":
            step = f": step {row['step']} is {row['step_state']}" if row["step"] else ""
            return Offered(f"is about to be fetched from inbox {row['inbox']}{step}", "look again in a moment")
        case "waiting":
            problem = f"; the last try: {row['problem']}" if row["problem"] else ""
            return Offered(f"{offered} and waits until there is room to fetch it{problem}", show)
        case "seen":
            return Offered(f"{offered} and is not to be taken yet: {row['why']}", show)
        case "failed":
            return Offered(f"{offered} and cannot be fetched: {row['problem']}", show)
        case "expired":
            return Offered(f"{offered}, and the station gave it up before it was fetched: {row['why']}", show)
        case _:
            return Offered(f"{offered}, which left it alone: {row['why']}", "see the inbox's settings")


async def _rows(connection: asyncpg.Connection, expression: Expression) -> AsyncIterator[asyncpg.Record]:
    order = (Order(DEFAULT_ORDER[Scope.OPERATOR], descending=True),)
    columns = [f"{sql} AS {name}" for name, sql in _COLUMNS.items()]
    wanted = Search(filter=expression, order=order, limit=_PAGE, scope=Scope.OPERATOR)
    while True:
        page = await search.find_page(connection, wanted, columns=columns)
        for row in page.rows:
            yield row
        if page.after is None:
            return
        wanted = replace(wanted, after=page.after)


def dossier_to_json(dossier: Dossier) -> dict[str, Any]:
    """Everything, as JSON has it: instants and ids as texts, digests in hexadecimal digits."""
    found = {
        "name": dossier.name,
        "times": dossier.instants(),
        "product": asdict(dossier.product) if dossier.product else None,
        "content": asdict(dossier.content),
        "files": [asdict(entry) for entry in dossier.files],
        "steps": [asdict(step) for step in dossier.steps],
        "inputs": [asdict(relative) for relative in dossier.inputs],
        "made_with_it": [asdict(relative) for relative in dossier.made_with_it],
        "rules": [asdict(rule) for rule in dossier.rules],
        "actions": [asdict(entry) for entry in dossier.actions],
        "revisions": [
            {"id": product.id, "revision": product.revision, "state": product.state, "cause": product.deletion_cause}
            for product in dossier.revisions
        ],
    }
    plain: dict[str, Any] = to_plain(found)
    return plain


def to_plain(value: Any) -> Any:
    match value:
        case datetime():
            return format_instant(as_written(value))
        case UUID():
            return str(value)
        case bytes():
            return value.hex()
        case dict():
            return {name: to_plain(member) for name, member in value.items()}
        case list() | tuple():
            return [to_plain(member) for member in value]
        case _:
            return value


def _instant(text: str, now: datetime) -> datetime:
    try:
        return parse_moment(text, now=now)
    except ValueError as error:
        raise ConfigurationError(f"--since {text}: is no date", advice="for example 2024-09-01, 6h or 2d") from error
