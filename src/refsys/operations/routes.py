"""Operations over HTTP, `/operations/v1`: the parking lot and replay, for those whom `Access` lets in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refsys.core.errors import Transient
from refsys.infra.postgres import DATABASE_ERRORS
from refsys.operations import service
from refsys.operations.access import Access
from refsys.operations.errors import WrongRequest
from refsys.operations.model import Action, parse_time, to_plain
from refsys.operations.requests import ActionBody, BulkBody, ListQuery, ReplayBody, page_after, read_body

log = structlog.get_logger(__name__)

#: Where these routes are mounted.
ROOT: Final = "/operations/v1"
_ACTIONS: Final[tuple[Action, ...]] = ("restart", "resubmit", "delete")
_WAIT_S: Final = 10.0


def routes(*, pool: asyncpg.Pool, token: str = "", public_url: str = "") -> list[Route]:
    """What is mounted under ROOT. `token`: the one that clients must have; none = clients on this machine only."""
    operations = _Operations(pool)
    access = Access(token=token, public_url=public_url)

    def route(path: str, method: str, answer: Callable[[Request], Awaitable[Any]]) -> Route:
        async def endpoint(request: Request) -> Response:
            access.check(request)
            body = orjson.dumps(to_plain(await answer(request)))
            return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

        return Route(path, endpoint, methods=[method])

    found = [
        route("/parked", "GET", operations.list),
        route("/parked/{id:int}", "GET", operations.show),
        route("/parked/{id:int}", "DELETE", operations.on_one("delete")),
        route("/replay", "POST", operations.replay),
    ]
    for action in _ACTIONS:
        found.append(route(f"/parked/{action}", "POST", operations.on_many(action)))
        if action != "delete":
            found.append(route(f"/parked/{{id:int}}/{action}", "POST", operations.on_one(action)))
    return found


class _Operations:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def list(self, request: Request) -> dict[str, Any]:
        query = ListQuery(request)
        async with self._connection() as connection:
            if query.is_grouped:
                groups = await service.group_parked(connection, query.wanted, limit=query.limit)
                return {"count": await service.count_parked(connection, query.wanted), "groups": groups}
            # one more than wanted tells whether there is another page
            found = await service.list_parked(connection, query.wanted, limit=query.limit + 1, after=query.after)
            count = await service.count_parked(connection, query.wanted)
        shown = found[: query.limit]
        following = page_after(shown[-1].parked_at, shown[-1].id) if len(found) > len(shown) else None
        return {"count": count, "parked": shown, "next": following}

    async def show(self, request: Request) -> Any:
        async with self._connection() as connection:
            return await service.show(connection, request.path_params["id"])

    def on_one(self, action: Action) -> Callable[[Request], Awaitable[Any]]:
        """An endpoint that does this with the step of the path."""

        async def answer(request: Request) -> Any:
            step_id: int = request.path_params["id"]
            instruction = (await read_body(request, ActionBody)).instruction(action, request)
            async with self._connection() as connection:
                done = await service.act_on_one(connection, instruction, step_id)
            log.info(f"parked.{action}", step=step_id, outcome=done.outcome, author=instruction.author)
            return done

        return answer

    def on_many(self, action: Action) -> Callable[[Request], Awaitable[Any]]:
        """An endpoint that does this with the steps that the body selects."""

        async def answer(request: Request) -> Any:
            body = await read_body(request, BulkBody)
            instruction = body.instruction(action, request)
            selected = body.selection()
            async with self._connection() as connection:
                report = await service.act(connection, instruction, selected, dry_run=body.dry_run)
            if not body.dry_run:
                counts = {"steps": len(report.steps), "skipped": len(report.skipped)}
                log.info(f"parked.{action}", author=instruction.author, **counts)
            return report

        return answer

    async def replay(self, request: Request) -> Any:
        body = await read_body(request, ReplayBody)
        now = datetime.now(UTC)
        since = parse_time(body.since, "since", now=now)
        if since is None:
            raise WrongRequest("since is empty", advice="for example 2024-09-01, 6h or 2d")
        until = parse_time(body.until, "until", now=now)
        async with self._connection() as connection:
            done = await service.replay(
                connection, body.stage, since=since, until=until, key=body.key, dry_run=body.dry_run
            )
        if not body.dry_run:
            log.info("work.replayed", stage=body.stage, events=done.events, made=done.made)
        return done

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            connection = await self._pool.acquire(timeout=_WAIT_S)
        except TimeoutError as error:
            raise Transient("the database is busy", advice="try again in a moment") from error
        except DATABASE_ERRORS as error:
            raise Transient("the database does not answer", advice="try again in a moment") from error
        try:
            yield connection
        finally:
            await self._pool.release(connection)
