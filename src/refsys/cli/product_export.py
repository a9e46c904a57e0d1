"""`refsys product export`: what is published, as stac-geoparquet or as JSON lines."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refsys.cli.selecting import Filter, Name, Since, Type

if TYPE_CHECKING:
    from collections.abc import Callable

    from refsys.infra.settings import Settings


class Format(StrEnum):
    PARQUET = "parquet"
    NDJSON = "ndjson"


def register(app: typer.Typer) -> None:
    """Adds the command to those of `refsys product`."""
    app.command()(export)


def export(
    context: typer.Context,
    name: Name = "",
    product_type: Type = "",
    since: Since = "",
    odata: Filter = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="file to write; default products.parquet or products.ndjson")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="stac-geoparquet, or JSON lines")] = Format.PARQUET,
    limit: Annotated[
        int | None, typer.Option("--limit", "-l", min=1, help="write at most; the rest is left out", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace the file if it exists")] = False,
) -> None:
    """Write published products to a file, as STAC items.

    All that are found, whatever their visibility, in the order of publication. The file is there whole or not at all.
    """
    import asyncio
    import fnmatch
    from datetime import UTC, datetime

    from refsys.cli.context import load
    from refsys.cli.finding import Wanted
    from refsys.cli.terminal import open_console
    from refsys.distribution.stac.exporting import Form
    from refsys.distribution.stac.exporting import export as write
    from refsys.infra.postgres import connected
    from refsys.missions import load_types
    from refsys.runtime.services import connect

    settings = load(context)
    wanted = Wanted.parse(name=name, product_type=product_type, since=since, odata=odata, now=datetime.now(UTC))
    target = output or Path(f"products.{form.value}")

    async def run(progress: Callable[[int], None]) -> int:
        types = load_types(settings.type_tables)
        async with connected(connect(settings), application="refsys product export") as connection:
            return await write(
                connection,
                wanted.expression(types),
                types,
                target,
                form=Form(form.value),
                base_url=_address(settings),
                storage_url=settings.storage_url if settings.storage_url.startswith("s3://") else "",
                limit=limit,
                takes=(lambda found: fnmatch.fnmatchcase(found, wanted.pattern)) if wanted.pattern else None,
                force=force,
                progress=progress,
            )

    console = open_console()
    with console.status("looking for products …") as status:
        written = asyncio.run(run(lambda count: status.update(f"{count} products …")))
    if not written:
        console.print("no product is like that" if wanted.is_narrowed else "nothing is published yet")
        raise typer.Exit(1)
    console.print(f"{written} product{'' if written == 1 else 's'} in {target} ({target.stat().st_size} bytes)")


def _address(settings: Settings) -> str:
    """Where users reach the service, without a slash at the end."""
    from refsys.infra.runfile import running
    from refsys.runtime.ports import url_of

    record = running(settings.state_dir)
    known = settings.http.public_url or (record.url if record else "")
    return (known or url_of(settings.http.host, settings.http.port)).rstrip("/")
