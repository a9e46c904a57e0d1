"""`refsys product find | show | export | …`: what is in the catalogue, and everything about one product."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refsys.cli import product_control, product_export
from refsys.cli.selecting import Filter, Name, Since, Type

if TYPE_CHECKING:
    import asyncpg

    from refsys.catalogue.dossier import Dossier
    from refsys.infra.settings import Settings

app = typer.Typer(help="Find products, look at one, take them from users.", no_args_is_help=True)


@app.command()
def find(
    context: typer.Context,
    name: Name = "",
    product_type: Type = "",
    since: Since = "",
    odata: Filter = "",
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, max=100_000, help="show at most")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per line")] = False,
) -> None:
    """List products of any state and visibility, newest first."""
    import asyncio
    from datetime import UTC, datetime

    from refsys.cli.context import load
    from refsys.cli.finding import Wanted, find_products
    from refsys.missions import load_types

    settings = load(context)
    wanted = Wanted.parse(name=name, product_type=product_type, since=since, odata=odata, now=datetime.now(UTC))

    async def run() -> list[dict[str, Any]]:
        types = load_types(settings.type_tables)
        async with _connected(settings) as connection:
            # one more than wanted tells whether there are more
            return await find_products(connection, wanted, types, limit=limit + 1)

    found = asyncio.run(run())
    if as_json:
        _print_json_lines(found[:limit])
        return
    from refsys.cli.product_text import print_products
    from refsys.cli.terminal import open_console

    console = open_console()
    if not found:
        console.print("no product is like that" if wanted.is_narrowed else "nothing is in the catalogue yet")
        raise typer.Exit(1)
    print_products(found[:limit], console)
    if len(found) > limit:
        console.print(f"[dim]there are more; --limit {limit * 5} shows them[/]")


@app.command()
def show(
    context: typer.Context,
    wanted: Annotated[str, typer.Argument(metavar="NAME|ID", help="the product's name or id")],
    all_files: Annotated[bool, typer.Option("--files", help="every file, not only the first ones")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Everything about one product.

    Attributes, files, lineage, the time of each stage, revisions, problems.
    """
    import asyncio

    from refsys.cli.context import load
    from refsys.core.errors import RefsysError

    settings = load(context)

    async def run() -> Dossier:
        from refsys.catalogue.dossier import compile_dossier, near_names
        from refsys.cli.finding import find_offer

        async with _connected(settings) as connection:
            dossier = await compile_dossier(connection, wanted)
            if dossier is not None:
                return dossier
            if (offered := await find_offer(connection, wanted)) is not None:
                raise RefsysError(offered.told, subject=wanted, advice=offered.advice)
            near = await near_names(connection, wanted)
            advice = f"did you mean {', '.join(near)}?" if near else "`refsys product find --name …` looks for one"
            raise RefsysError("nothing of this name or id is known", subject=wanted, advice=advice)

    dossier = asyncio.run(run())
    if as_json:
        import orjson

        from refsys.cli.finding import dossier_to_json

        typer.echo(orjson.dumps(dossier_to_json(dossier), option=orjson.OPT_INDENT_2).decode())
        return
    from refsys.cli.product_text import print_dossier
    from refsys.cli.terminal import open_console

    print_dossier(dossier, open_console(), all_files=all_files)


product_export.register(app)
product_control.register(app)


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    from refsys.infra.postgres import connected
    from refsys.runtime.services import connect

    async with connected(connect(settings), application="refsys product") as connection:
        yield connection


def _print_json_lines(found: list[dict[str, Any]]) -> None:
    import orjson

    for product in found:
        typer.echo(orjson.dumps(product).decode())
