"""`refsys feed list | follow | cursors`: what became of published products, for programs and people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from refsys.catalogue.feed import Batch, Change

app = typer.Typer(
    help="The change feed: what became of published products.",
    no_args_is_help=True,
)

Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        "-k",
        metavar="KIND",
        help="created, modified, superseded, withdrawn, evicted or deleted; as often as wanted",
        show_default=False,
    ),
]
Public = Annotated[bool, typer.Option("--public", help="only what users may see")]
Json = Annotated[bool, typer.Option("--json", help="one JSON object per line")]


@app.command("list")
def list_(
    context: typer.Context,
    after: Annotated[
        int | None,
        typer.Option(
            "--after", "-a", min=0, help="changes behind this position; default: the last", show_default=False
        ),
    ] = None,
    kinds: Kinds = None,
    public: Public = False,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, max=100_000, help="show at most")] = 20,
    as_json: Json = False,
) -> None:
    """List changes, in their order."""
    from refsys.catalogue import feed

    async def ask(connection: Any) -> list[Change]:
        if after is None:
            return await feed.newest(connection, limit=limit, kinds=kinds or (), public=public)
        return await feed.read(connection, after, limit=limit, kinds=kinds or (), public=public)

    changes: list[Change] = _run(context, ask)
    if as_json:
        for change in changes:
            typer.echo(_json_line(change))
        return
    from refsys.cli.terminal import open_console

    console = open_console()
    if not changes:
        console.print("nothing has changed that is like that")
        return
    for change in changes:
        console.print(_text_line(change), soft_wrap=True, markup=False)


@app.command()
def follow(
    context: typer.Context,
    cursor: Annotated[
        str,
        typer.Option("--cursor", "-n", metavar="NAME", help="remember under this name what was printed"),
    ] = "",
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="POSITION", help="behind this one, or start, or now (the default); for a new cursor"
        ),
    ] = "",
    kinds: Kinds = None,
    public: Public = False,
    as_json: Json = False,
) -> None:
    """Print changes as they come, until it is stopped.

    A cursor goes on behind the last change that was printed; after a kill some may be printed again.
    """

    from refsys.cli.following import Lines
    from refsys.core.errors import ConfigurationError

    if start not in ("", "start", "now") and not (start.isascii() and start.isdigit() and len(start) < 19):
        raise ConfigurationError(f"--from {start}: is no position", advice="for example 1200, start or now")

    async def ask(connection: Any) -> None:
        from refsys.catalogue import feed

        position = await _start(connection, cursor, start)
        async with Lines() as lines:
            batches = feed.follow(connection, position, stop=lines.stop, limit=100, kinds=kinds or (), public=public)
            async for batch in batches:
                reached = await _print(lines, batch, as_json=as_json)
                if cursor and reached > batch.after:
                    await feed.advance(connection, cursor, reached, after=batch.after)

    _run(context, ask)


@app.command()
def cursors(
    context: typer.Context,
    forget: Annotated[str, typer.Option("--forget", metavar="NAME", help="delete this cursor")] = "",
    reset: Annotated[str, typer.Option("--reset", metavar="NAME", help="set this cursor, to what --to says")] = "",
    to: Annotated[int | None, typer.Option("--to", min=0, help="position for --reset", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """List cursors and how far behind they are; set or delete one."""
    from refsys.catalogue import feed
    from refsys.core.errors import ConfigurationError

    if (reset == "") != (to is None) or (forget and reset):
        raise ConfigurationError("--reset NAME and --to POSITION belong together, and not to --forget")

    async def ask(connection: Any) -> list[feed.Cursor]:
        if forget:
            await feed.forget(connection, forget)
        if reset and to is not None:
            await feed.reset(connection, reset, to)
        return await feed.cursors(connection)

    found: list[feed.Cursor] = _run(context, ask)
    if as_json:
        for cursor in found:
            typer.echo(_json_line(cursor))
        return
    from rich.table import Table

    from refsys.cli.terminal import open_console, seconds_text

    console = open_console()
    if not found:
        console.print("there are no cursors")
        return
    table = Table("cursor", "position", "behind", "moved", box=None, header_style="dim", pad_edge=False)
    for cursor in found:
        table.add_row(cursor.name, str(cursor.position), str(cursor.behind), seconds_text(cursor.moved_at))
    console.print(table)


async def _start(connection: Any, cursor: str, start: str) -> int:
    """Where to begin: where the cursor is, else where `--from` says."""
    from refsys.catalogue import feed

    position = int(start) if start.isdigit() else 0 if start == "start" else await feed.last_position(connection)
    if not cursor:
        await feed.check_position(connection, position)
        return position
    await feed.hold(connection, cursor)
    return await feed.open_cursor(connection, cursor, position=position)


async def _print(lines: Any, batch: Batch, *, as_json: bool) -> int:
    """Print a batch; returns the position up to which everything was written."""
    reached = batch.after
    for change in batch.changes:
        if not await lines.write(_json_line(change) if as_json else _text_line(change)):
            return reached
        reached = change.position
    return batch.position


def _text_line(change: Change) -> str:
    from refsys.cli.terminal import printable
    from refsys.core.times import format_instant

    cause = f"  {change.cause}" if change.cause else ""
    line = f"{change.position}  {format_instant(change.at)}  {change.kind:<10}  {change.name}{cause}"
    return printable(line).replace("\n", " ")


def _json_line(value: Any) -> str:
    from dataclasses import asdict

    import orjson

    from refsys.cli.finding import to_plain

    return orjson.dumps(to_plain(asdict(value))).decode()


def _run(context: typer.Context, ask: Any) -> Any:
    """What `ask` answers, which gets a connection."""
    import asyncio

    from refsys.cli.context import load
    from refsys.infra.postgres import connected
    from refsys.runtime.services import connect

    settings = load(context)

    async def run() -> Any:
        async with connected(connect(settings), application="refsys feed") as connection:
            return await ask(connection)

    return asyncio.run(run())
