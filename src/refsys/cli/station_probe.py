"""`refsys station probe NAME`: what a station understands, as a table and as a profile for the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from refsys.cli.acting import Json

if TYPE_CHECKING:
    from refsys.infra.settings import InboxSettings, Settings
    from refsys.ingestion.probing import Report


def probe(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="an inbox, or a station that inboxes name")],
    as_json: Json = False,
) -> None:
    """Ask a station what it understands.

    Some fifteen small requests with the inbox's credentials; nothing is fetched and nothing is remembered.
    """
    import asyncio

    from refsys.cli.context import load
    from refsys.ingestion.probing import probe as ask

    settings = load(context)
    inbox = _inbox_of(settings, name)
    report = asyncio.run(ask(inbox, settings))
    if as_json:
        from refsys.cli.acting import print_json

        print_json(report)
        return
    _print(report, inbox, settings)


def _inbox_of(settings: Settings, name: str) -> InboxSettings:
    from refsys.core.errors import ConfigurationError

    found = [inbox for inbox in settings.inbox if inbox.id == name]
    found += [inbox for inbox in settings.inbox if inbox.station == name]
    if not found:
        known = sorted({inbox.id for inbox in settings.inbox} | {inbox.station for inbox in settings.inbox} - {""})
        raise ConfigurationError(
            f"there is no inbox {name}, and none of a station {name}",
            advice=f"one of {', '.join(known)}" if known else "the settings have no inbox",
        )
    return found[0]


def _print(report: Report, inbox: InboxSettings, settings: Settings) -> None:
    from rich.table import Table
    from rich.text import Text

    from refsys.cli.terminal import open_console, printable

    table = Table("question", "answer", title=f"inbox {inbox.id}, {inbox.type}", title_justify="left")
    for seen in report.seen:
        table.add_row(Text(seen.question), Text(printable(seen.answer)))
    open_console().print(table)
    typer.echo(f"\n{_profile(report, inbox, settings)}")


def _profile(report: Report, inbox: InboxSettings, settings: Settings) -> str:
    """The station's section of the settings: what is set for it already, with what was seen."""
    station = settings.station_of(inbox)
    kept = station.model_dump(exclude_unset=True, exclude={"odata", "redirect_hosts"})
    hosts = sorted({*station.redirect_hosts, *report.redirect_hosts})
    odata = {**station.odata.model_dump(exclude_unset=True), **report.odata}
    lines = ["[[station]]", *_assignments(kept)]
    if report.redirect_hosts:
        lines.append("# files are there, and credentials are wanted: are these hosts the station's own?")
    lines += _assignments({"redirect_hosts": hosts}) if hosts else []
    lines += ["", "[station.odata]", *_assignments(odata)] if odata else []
    advice = [*([] if inbox.station else _assignments({"station": station.name})), *report.advice]
    lines += ["", f"# in [[inbox]] {inbox.id}:", *(f"# {line}" for line in advice)] if advice else []
    return "\n".join(lines)


def _assignments(values: dict[str, Any]) -> list[str]:
    from refsys.infra.settings_text import toml_value

    return [f"{name} = {toml_value(value)}" for name, value in values.items()]
