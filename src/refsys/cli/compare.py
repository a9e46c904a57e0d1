"""`refsys compare`: this catalogue against another hub's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from refsys.catalogue.comparison.comparing import Outcome, Wanted
    from refsys.catalogue.comparison.there import Dialect
    from refsys.core.filters import Expression
    from refsys.missions import TypeRegistry

_WHAT = "size,checksum,sensing,online"


def register(app: typer.Typer) -> None:
    app.command("compare")(compare)


def compare(
    context: typer.Context,
    url: Annotated[str, typer.Option("--with", metavar="URL", help="the other hub's OData root")],
    since: Annotated[str, typer.Option(help="sensing starts since: a date, or 6h, 2d ago")] = "1d",
    until: Annotated[str, typer.Option(help="sensing starts before; default: now", show_default=False)] = "",
    types: Annotated[
        list[str] | None, typer.Option("--type", "-t", help="product type; several by repeating", show_default=False)
    ] = None,
    odata: Annotated[
        str, typer.Option("--filter", "-f", help="OData filter, asked of both sides", show_default=False)
    ] = "",
    what: Annotated[str, typer.Option(metavar="LIST", help="of these and footprint, with commas")] = _WHAT,
    attributes: Annotated[
        str, typer.Option(metavar="LIST", help="attributes to compare, with commas", show_default=False)
    ] = "",
    inbox: Annotated[str, typer.Option(metavar="ID", help="sign in as this inbox does", show_default=False)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per line, the summary last")] = False,
) -> None:
    """What another hub has that is not here, or is here otherwise.

    Exit code 0: nothing differs; 1: something does; 2: the two could not be compared.
    """
    import asyncio

    from refsys.catalogue.comparison.comparing import Comparer, Outcome
    from refsys.catalogue.comparison.there import There, dialect_of
    from refsys.cli.compare_text import NotCompared, Report
    from refsys.cli.context import load
    from refsys.cli.hubs import asking
    from refsys.core.errors import ConfigurationError, RefsysError
    from refsys.core.times import format_instant
    from refsys.infra.postgres import DATABASE_ERRORS, connected
    from refsys.missions import load_types
    from refsys.runtime.services import connect

    settings = load(context)
    reached: list[str] = []

    async def run() -> Counter[Outcome]:
        known = load_types(settings.type_tables)
        async with (
            asking(settings, url, inbox) as (shown, client),
            connected(connect(settings), application="refsys compare") as connection,
        ):
            dialect = await dialect_of(shown, client)
            wanted = _wanted(known, dialect, since, until, types or [], odata, what, attributes)
            there = There(
                url=shown,
                client=client,
                dialect=dialect,
                filter=odata,
                types=wanted.types,
                with_attributes=bool(wanted.attributes),
            )
            report = Report(shown, dialect, wanted, as_json=as_json)
            async for window in Comparer(connection, there, wanted, known).windows():
                report.take(window)
                reached[:] = [format_instant(window.stop)]
            return report.end()

    try:
        counts = asyncio.run(run())
    except ConfigurationError:
        raise
    except (RefsysError, *DATABASE_ERRORS) as error:
        raise NotCompared(
            str(error) or type(error).__name__,
            advice=f"compared until {reached[0]}: --since {reached[0]} goes on there" if reached else "",
        ) from error
    raise typer.Exit(0 if counts.total() == counts[Outcome.EQUAL] else 1)


def _wanted(
    known: TypeRegistry,
    dialect: Dialect,
    since: str,
    until: str,
    types: Sequence[str],
    odata: str,
    what: str,
    attributes: str,
) -> Wanted:
    """Raises ConfigurationError where an option cannot be meant."""
    from datetime import UTC, datetime

    from refsys.catalogue.comparison.comparing import Wanted
    from refsys.catalogue.comparison.products import What
    from refsys.cli.acting import instant
    from refsys.core.errors import ConfigurationError
    from refsys.core.filters import EVERYTHING

    start, stop = instant(since, "--since"), instant(until, "--until") or datetime.now(UTC)
    if start is None or start >= stop:
        raise ConfigurationError("--since is not before --until", advice="for example --since 7d --until 1d")
    chosen = [name for name in _listed(what) if name]
    if unknown := [name for name in chosen if name not in list(What)]:
        raise ConfigurationError(f"--what {unknown[0]}: cannot be compared", advice=f"one of {', '.join(What)}")
    if unknown := [name for name in _listed(attributes) if name not in known.attributes]:
        raise ConfigurationError(f"--attributes {unknown[0]}: is no attribute", advice="see `refsys types show`")
    return Wanted(
        start=start,
        stop=stop,
        types=tuple(types),
        filter=_filter(odata, dialect, known) if odata else EVERYTHING,
        what=tuple(What(name) for name in chosen),
        attributes=tuple(_listed(attributes)),
    )


def _filter(odata: str, dialect: Dialect, known: TypeRegistry) -> Expression:
    """What the other hub is asked means here. Raises ConfigurationError where it cannot be meant."""
    from refsys.catalogue.comparison.there import Dialect
    from refsys.core.errors import ConfigurationError, RefsysError
    from refsys.distribution.odata.parser import parse_filter
    from refsys.distribution.odata.vocabulary import PRODUCTS, Vocabulary
    from refsys.distribution.prip import filters as prip
    from refsys.distribution.prip.vocabulary import vocabulary

    try:
        if dialect is Dialect.PRIP:
            return prip.parse(odata, vocabulary(known.attributes))
        return parse_filter(odata, Vocabulary(PRODUCTS, known.attributes))
    except RefsysError as error:
        raise ConfigurationError(str(error).replace("$filter", "--filter", 1)) from error


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
