"""`refsys subscription list | show | pause | resume | cancel`: what users subscribed to, for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from refsys.cli.acting import Json, print_json, run

if TYPE_CHECKING:
    from uuid import UUID

    from refsys.distribution.subscriptions.model import Subscription

app = typer.Typer(help="What users subscribed to, and whether they get it.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="the subscription's id")]


@app.command("list")
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, max=100_000, help="show at most")] = 100,
    as_json: Json = False,
) -> None:
    """List subscriptions.

    Those whose endpoints fail come first, then those that were paused for their users, then by what waits.
    """

    async def ask(connection: Any) -> tuple[list[Subscription], int]:
        from refsys.catalogue import feed
        from refsys.distribution.subscriptions import store

        return await store.all_of_them(connection), await feed.last_position(connection)

    found, last = run(context, ask)
    if as_json:
        for subscription in found[:limit]:
            print_json(_members(subscription, last))
        return
    from refsys.cli.terminal import open_console

    console = open_console()
    if not found:
        console.print("nobody has subscribed")
        return
    console.print(_table(found[:limit], last))
    if len(found) > limit:
        console.print(f"[dim]{limit} of {len(found)}; --limit shows more[/]")


@app.command()
def show(context: typer.Context, subscription_id: Id, as_json: Json = False) -> None:
    """Everything about one subscription.

    Credentials are shown to nobody.
    """

    async def ask(connection: Any) -> tuple[Subscription, int]:
        from refsys.catalogue import feed

        return await _one(connection, subscription_id), await feed.last_position(connection)

    found, last = run(context, ask)
    if as_json:
        print_json(_members(found, last))
        return
    _print(found, last)


@app.command()
def pause(
    context: typer.Context,
    subscription_id: Id,
    reason: Annotated[str, typer.Option("--reason", "-m", help="why; its user sees it", show_default=False)],
) -> None:
    """Stop telling, until you resume it.

    Its user cannot resume it; nothing is lost.
    """
    from refsys.core.errors import ConfigurationError

    if not reason.strip():
        raise ConfigurationError("--reason is empty", advice="say why: the user sees it")

    async def ask(connection: Any) -> None:
        from refsys.distribution.subscriptions import store
        from refsys.distribution.subscriptions.model import OPERATOR

        await store.pause(connection, (await _one(connection, subscription_id)).id, OPERATOR, reason.strip())

    run(context, ask)
    typer.echo("paused")


@app.command()
def resume(context: typer.Context, subscription_id: Id) -> None:
    """Go on where it stopped, whoever paused it.

    What failed is tried at once.
    """

    async def ask(connection: Any) -> None:
        from refsys.distribution.subscriptions import store

        await store.run(connection, (await _one(connection, subscription_id)).id)

    run(context, ask)
    typer.echo("running")


@app.command()
def cancel(context: typer.Context, subscription_id: Id) -> None:
    """Delete a subscription and what waits in its queue."""

    async def ask(connection: Any) -> None:
        from refsys.distribution.subscriptions import store

        await store.delete(connection, (await _one(connection, subscription_id)).id)

    run(context, ask)
    typer.echo("cancelled")


async def _one(connection: Any, text: str) -> Subscription:
    from refsys.core.errors import RefsysError
    from refsys.distribution.subscriptions import store

    found = await store.fetch(connection, _key(text))
    if found is None:
        raise RefsysError("there is no such subscription", subject=text, advice="`refsys subscription list` lists them")
    return found


def _key(text: str) -> UUID:
    from uuid import UUID

    from refsys.core.errors import ConfigurationError

    try:
        return UUID(text)
    except ValueError as error:
        raise ConfigurationError(f"{text!a} is no id", advice="`refsys subscription list` lists them") from error


def _table(found: list[Subscription], last: int) -> Any:
    from rich.table import Table
    from rich.text import Text

    from refsys.cli.terminal import printable, seconds_text

    table = Table("id", "owner", "kind", "status", "waiting", "behind", "last told", "why", box=None, pad_edge=False)
    for subscription in found:
        why = subscription.pause_reason or (subscription.last_error if subscription.attempts else "")
        table.add_row(
            str(subscription.id),
            Text(printable(subscription.owner) or "–"),
            "push" if subscription.endpoint else "pull",
            f"failing, {subscription.attempts}×" if _is_failing(subscription) else subscription.status,
            str(subscription.queued),
            str(max(0, last - subscription.position)),
            seconds_text(subscription.last_notified_at),
            Text(printable(why)),
        )
    return table


def _is_failing(subscription: Subscription) -> bool:
    return subscription.attempts > 0 and subscription.status == "running"


def _print(subscription: Subscription, last: int) -> None:
    from refsys.cli.terminal import open_console, printable, seconds_text

    s = subscription
    lines = {
        "owner": s.owner or "– (anonymous)",
        "status": s.status + (f", by {s.paused_by}" if s.paused_by else ""),
        "why": s.pause_reason,
        "events": ", ".join(s.events),
        "filter": s.filter_text or "– (everything)",
        "endpoint": s.endpoint or "– (pull)",
        "since": seconds_text(s.submitted_at),
        "last told": seconds_text(s.last_notified_at),
        "waiting": str(s.queued),
        "position": f"{s.position}, {max(0, last - s.position)} behind; acknowledged up to {s.acked}",
        "attempts": f"{s.attempts}, next at {seconds_text(s.next_attempt_at)}" if s.attempts else "",
        "failing since": seconds_text(s.failing_since) if s.failing_since else "",
        "last error": f"{s.last_error} ({seconds_text(s.last_error_at)})" if s.last_error else "",
    }
    console = open_console()
    console.print(str(s.id), style="bold")
    for name, text in lines.items():
        if text:
            console.print(f"{name:<14} {printable(text)}", soft_wrap=True, markup=False)


def _members(subscription: Subscription, last: int) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(subscription) | {"behind": max(0, last - subscription.position)}
