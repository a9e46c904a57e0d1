"""`refsys types list | show | check | test | preview`: the tables of product types, and what they make of products."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from refsys.catalogue.preview import Preview
    from refsys.infra.settings import Settings
    from refsys.missions import TypeRegistry

app = typer.Typer(help="Look at product types, and try tables out.", no_args_is_help=True)

Tables = Annotated[
    list[Path] | None, typer.Option("--tables", help="a table file or folder beside the settings'", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="one JSON object per line")]


@app.command("list")
def list_(
    context: typer.Context,
    mission: Annotated[str, typer.Option("--mission", help="S1, S2 or S3", show_default=False)] = "",
    as_json: Json = False,
) -> None:
    """List the product types, in the order in which they are asked."""
    from refsys.cli.types_text import row_to_json, types_table

    _, types = _load(context)
    kinds = [kind for kind in types.types.values() if mission.upper() in ("", kind.mission)]
    if as_json:
        for kind in kinds:
            _print_json(row_to_json(kind))
        return
    from refsys.cli.terminal import open_console

    console = open_console()
    console.print(types_table(kinds, width=console.width) if kinds else "no product type is of that mission")


@app.command()
def show(
    context: typer.Context,
    type_id: Annotated[str, typer.Argument(metavar="ID", help="the type's id")],
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Everything about one product type.

    Its row, with everything that it takes over from others.
    """
    from refsys.cli.types_text import print_type, whole_row
    from refsys.core.errors import RefsysError
    from refsys.missions.tables import nearest

    _, types = _load(context)
    kind = types.types.get(type_id)
    if kind is None:
        raise RefsysError(f"there is no such product type{nearest(type_id, list(types.types))}", subject=type_id)
    if as_json:
        _print_json(whole_row(kind, types))
        return
    from refsys.cli.terminal import open_console

    print_type(whole_row(kind, types), open_console())


@app.command()
def check(
    context: typer.Context,
    tables: Annotated[
        list[Path] | None, typer.Argument(metavar="[TABLE]...", help="table files or folders beside the settings'")
    ] = None,
) -> None:
    """Check the tables: the system's, the settings', and these.

    Tells everything that is wrong, and which names more than one row matches.
    """
    from refsys.missions import TableError
    from refsys.missions.patterns import examples

    try:
        _, types = _load(context, tables)
    except TableError as error:
        for problem in error.problems:
            typer.echo(f"refsys: {problem}", err=True)
        raise typer.Exit(2) from None
    overlaps: dict[tuple[str, str], str] = {}
    for kind in types.types.values():
        for name in examples(kind.name):
            first, *others = (found.type.id for found in types.matching(name))
            for other in others:
                overlaps.setdefault((first, other), name)
    for (first, other), name in overlaps.items():
        typer.echo(f"warning: names such as {name} are matched by the rows {first!r} and {other!r}; {first!r} counts")
    typer.echo(f"the tables are right ({len(types.types)} product types, {len(types.attributes)} attributes)")


@app.command("test")
def try_(
    context: typer.Context,
    given: Annotated[list[str], typer.Argument(metavar="FILE|FOLDER|NAME...", help="a product, or only its name")],
    tables: Tables = None,
    as_json: Json = False,
) -> None:
    """Which type is it, why, and what would be extracted.

    A product may be a folder, a file, or an archive. No database is asked, nothing is written.
    """
    from refsys.cli.trial import to_json, try_out
    from refsys.ingestion.archives import Limits

    settings, types = _load(context, tables)
    limits = Limits(settings.fetch.max_product_bytes, settings.fetch.max_members, settings.fetch.max_ratio)
    trials = (try_out(each, types, limits) for each in given)
    are_sound = True
    if as_json:
        for trial in trials:
            are_sound &= trial.is_sound
            _print_json(to_json(trial, types))
    else:
        from refsys.cli.terminal import open_console
        from refsys.cli.trial_text import print_trial

        console = open_console()
        for trial in trials:
            are_sound &= trial.is_sound
            print_trial(trial, types, console)
    if not are_sound:
        raise typer.Exit(1)


@app.command()
def preview(
    context: typer.Context,
    type_id: Annotated[
        str, typer.Option("--type", "-t", metavar="ID", help="only products of this type", show_default=False)
    ] = "",
    tables: Tables = None,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, max=10_000, help="products shown of each type")] = 5,
    as_json: Json = False,
) -> None:
    """What a start with these tables would change in the catalogue.

    Reads the metadata of some of them again; writes nothing.
    """
    import asyncio

    settings, types = _load(context, tables)
    found = asyncio.run(_preview(settings, types, type_id=type_id, limit=limit))
    if as_json:
        from refsys.cli.preview_text import changes

        _print_json({"affected": sum(found.affected.values()), "types": dict(found.affected)})
        for sample in found.samples:
            _print_json(changes(sample))
        return
    from refsys.cli.preview_text import print_preview
    from refsys.cli.terminal import open_console

    print_preview(found, open_console())


async def _preview(settings: Settings, types: TypeRegistry, *, type_id: str, limit: int) -> Preview:
    from refsys.catalogue.preview import preview
    from refsys.infra.postgres import create_pool
    from refsys.infra.storage import open_storage
    from refsys.runtime.services import connect

    pool = await create_pool(connect(settings), max_size=2, application="refsys types")
    try:
        return await preview(pool, open_storage(settings), types, type_id=type_id, limit=limit)
    finally:
        await pool.close()


def _load(context: typer.Context, tables: list[Path] | None = None) -> tuple[Settings, TypeRegistry]:
    from refsys.cli.context import load
    from refsys.missions import load_types

    settings = load(context)
    return settings, load_types([*settings.type_tables, *(tables or ())])


def _print_json(value: Any) -> None:
    import orjson

    typer.echo(orjson.dumps(value).decode())
