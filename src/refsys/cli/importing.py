"""`refsys import bucket | odata | reference`: take over products and catalogues that exist already."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    import asyncpg

    from refsys.catalogue.takeover.entering import Batch
    from refsys.catalogue.takeover.runs import Line, Run
    from refsys.infra.settings import Settings
    from refsys.missions import TypeRegistry

app = typer.Typer(help="Take over products and catalogues that exist already.", no_args_is_help=True)

DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="only tell what would be done")]
Again = Annotated[bool, typer.Option("--again", help="from the beginning, also where an import was stopped")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="what became of each product, as JSON lines")
]
Author = Annotated[str, typer.Option("--author", help="who does it; default: your user name", show_default=False)]
Reason = Annotated[str, typer.Option("--reason", "-m", help="why; kept in the audit trail")]

_REASON = "take over what exists"
#: Refusals that are shown; the report has all.
_SHOWN = 10


@app.command()
def bucket(
    context: typer.Context,
    prefix: Annotated[str, typer.Argument(help="what keys begin with; default: all of storage")] = "",
    completeness: Annotated[
        str, typer.Option(metavar="KIND", help="strict: park what lacks files; record: publish it, and say so")
    ] = "strict",
    report: ReportFile = None,
    dry_run: DryRun = False,
    again: Again = False,
    reason: Reason = _REASON,
    author: Author = "",
) -> None:
    """Products that lie in the configured storage, in place.

    They are read once and stay where they are; the running system describes and publishes them.
    """
    from refsys.core.errors import ConfigurationError

    if completeness not in ("strict", "record"):
        raise ConfigurationError(f"--completeness {completeness}: is neither strict nor record")

    async def work(job: _Job) -> None:
        import asyncio
        from contextlib import closing

        from refsys.catalogue.takeover.bucket import Reader, take_over
        from refsys.infra.storage import open_storage

        with closing(Reader(open_storage(job.settings))) as reader:
            async with job.run("bucket", prefix or "all of storage", again=again) as run:
                findings = await asyncio.to_thread(reader.look, prefix, job.types)
                archives, others = len(findings.archives), findings.others
                job.say(f"{len(findings.roots)} products, {archives} archives, {others} other objects")
                await take_over(run, reader, job.types, findings, completeness=completeness)

    _do(context, work, report=report, dry_run=dry_run, reason=reason, author=author)


@app.command()
def odata(
    context: typer.Context,
    sources: Annotated[list[str], typer.Argument(metavar="URL|FILE...", help="a hub's OData, or saved pages of one")],
    since: Annotated[str, typer.Option(help="published since: a date, or 30m, 6h, 2d ago", show_default=False)] = "",
    inbox: Annotated[str, typer.Option(metavar="ID", help="sign in as this inbox does", show_default=False)] = "",
    report: ReportFile = None,
    dry_run: DryRun = False,
    again: Again = False,
    reason: Reason = _REASON,
    author: Author = "",
) -> None:
    """Products of another hub, known by their metadata.

    A URL is an OData root, or its Products with a $filter. They are entered without bytes, not online.
    """
    from refsys.cli.acting import instant

    after = instant(since, "--since")
    places = [source if "://" in source else Path(source).absolute() for source in sources]

    async def work(job: _Job) -> None:
        from refsys.catalogue.takeover.odata import saved_pages

        for place in places:
            if isinstance(place, Path):
                await job.enter_file("odata", place, saved_pages, again=again)
            else:
                await _live(job, place, after, inbox, again=again)

    _do(context, work, report=report, dry_run=dry_run, reason=reason, author=author)


@app.command()
def reference(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="documents as JSON, one a line")],
    report: ReportFile = None,
    dry_run: DryRun = False,
    again: Again = False,
    reason: Reason = _REASON,
    author: Author = "",
) -> None:
    """Documents of the reference's catalogue and of its PRIP index.

    They are entered without bytes, not online.
    """

    places = [file.absolute() for file in files]

    async def work(job: _Job) -> None:
        from refsys.catalogue.takeover.reference import lines

        for path in places:
            await job.enter_file("reference", path, lines, again=again)

    _do(context, work, report=report, dry_run=dry_run, reason=reason, author=author)


async def _live(job: _Job, url: str, since: datetime | None, inbox_id: str, *, again: bool) -> None:
    from refsys.catalogue.takeover.odata import Hub
    from refsys.cli.hubs import asking

    async with asking(job.settings, url, inbox_id) as (shown, client):
        hub = Hub(shown, client, job.types, since=since)
        await job.enter("odata", shown, hub.batches, again=again, goes_on=True)


class _Job:
    """What an import of one or more sources has: settings, types, a connection, its report."""

    def __init__(
        self, settings: Settings, connection: asyncpg.Connection, report: Path | None, *, dry_run: bool, deed: Any
    ) -> None:
        from refsys.missions import load_types

        self.settings = settings
        self.types: TypeRegistry = load_types(settings.type_tables)
        self.tally = _Tally(report)
        self._connection = connection
        self._dry_run = dry_run
        self._deed = deed

    def say(self, text: str) -> None:
        typer.echo(text, err=True)

    def run(self, kind: str, source: str, *, again: bool, goes_on: bool = False) -> Any:
        """The run of a source, as a context that is entered into the audit trail when it comes to its end."""
        from contextlib import asynccontextmanager

        from refsys.catalogue.takeover.runs import Run

        @asynccontextmanager
        async def opened() -> AsyncIterator[Run]:
            run = await Run.open(
                self._connection, kind, source, self.tally, dry_run=self._dry_run, again=again, goes_on=goes_on
            )
            if run.is_resumed:
                self.say(f"{source}: goes on where the last import came to")
            yield run
            await run.finish(self._deed)

        return opened()

    async def enter_file(
        self,
        kind: str,
        path: Path,
        batches: Callable[[Path, TypeRegistry, Mapping[str, Any]], AsyncIterator[Batch]],
        *,
        again: bool,
    ) -> None:
        """Enter what a file describes; its path is absolute."""
        from functools import partial

        await self.enter(kind, str(path), partial(batches, path, self.types), again=again)

    async def enter(
        self,
        kind: str,
        source: str,
        batches: Callable[[Mapping[str, Any]], AsyncIterator[Batch]],
        *,
        again: bool,
        goes_on: bool = False,
    ) -> None:
        from refsys.catalogue.takeover.entering import enter_all

        async with self.run(kind, source, again=again, goes_on=goes_on) as run:
            await enter_all(run, self.types, batches(run.place))


class _Tally:
    """Counts the lines of the report, keeps the first refusals, and writes all of them to the file."""

    def __init__(self, report: Path | None) -> None:
        from collections import Counter

        self.counts: Counter[str] = Counter()
        self.refusals: list[Line] = []
        self._file = report.open("ab") if report is not None else None

    def __call__(self, lines: Sequence[Line], /) -> None:
        from dataclasses import asdict

        import orjson

        from refsys.catalogue.takeover.runs import Outcome

        self.counts.update(line.outcome.value for line in lines)
        refused = [line for line in lines if line.outcome in (Outcome.REFUSED, Outcome.HELD)]
        self.refusals += refused[: _SHOWN - len(self.refusals)]
        if self._file is not None:
            self._file.write(b"".join(orjson.dumps(asdict(line)) + b"\n" for line in lines))
            self._file.flush()

    def show(self, *, dry_run: bool) -> None:
        from refsys.cli.terminal import printable

        for line in self.refusals:
            typer.echo(printable(f"{line.outcome}: {line.name or line.place}: {line.why}"))
        told = [f"{count} {outcome}" for outcome, count in self.counts.items()]
        typer.echo(f"{'would be: ' if dry_run else ''}{', '.join(told) or 'nothing was found'}")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _do(
    context: typer.Context,
    work: Callable[[_Job], Awaitable[None]],
    *,
    report: Path | None,
    dry_run: bool,
    reason: str,
    author: str,
) -> None:
    import asyncio

    from refsys.cli.acting import deed
    from refsys.cli.context import load
    from refsys.core.errors import ConfigurationError
    from refsys.infra.postgres import connected
    from refsys.runtime.services import connect

    settings, who = load(context), deed(author, reason)

    async def run() -> None:
        async with connected(connect(settings), application="refsys import") as connection:
            try:
                job = _Job(settings, connection, report, dry_run=dry_run, deed=who)
            except OSError as error:
                raise ConfigurationError(f"cannot be written: {error.strerror}", subject=str(report)) from error
            try:
                await work(job)
            finally:
                job.tally.show(dry_run=dry_run)
                job.tally.close()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here", err=True)
        raise
