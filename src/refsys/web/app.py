"""The HTTP application: what the stages offer, under one roof."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import asyncpg
import orjson
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from refsys.catalogue.search import BUDGET_S
from refsys.distribution import roots
from refsys.distribution.served import Served
from refsys.infra import telemetry
from refsys.infra.settings import Settings
from refsys.missions import TypeRegistry
from refsys.operations import routes as operations
from refsys.web import errors
from refsys.web.identity import routes as identity
from refsys.web.identity.authentication import Authenticator
from refsys.web.identity.gate import Gate

if TYPE_CHECKING:
    from refsys.infra.storage import Storage

#: For what is true at this moment only.
_NOW: Final = {"Cache-Control": "no-store"}


def create_app(
    *,
    pool: asyncpg.Pool,
    storage: Storage,
    types: TypeRegistry,
    settings: Settings,
    extra_routes: Sequence[BaseRoute] = (),
    budget_s: float = BUDGET_S,
) -> ASGIApp:
    """The application of one API process. It holds no state of its own: any process answers any request."""
    metrics = telemetry.Metrics(pool, storage, settings.state_dir)
    health = telemetry.Health(pool, storage)

    async def render_metrics(request: Request) -> Response:
        return Response(await metrics.render(), headers=_NOW, media_type=telemetry.METRICS_CONTENT_TYPE)

    async def live(request: Request) -> Response:
        return Response(orjson.dumps(telemetry.live()), headers=_NOW, media_type="application/json")

    async def ready(request: Request) -> Response:
        found = await health.ready()
        body = orjson.dumps({"status": "ok" if found.is_ready else "not ready", "checks": found.checks})
        return Response(body, 200 if found.is_ready else 503, headers=_NOW, media_type="application/json")

    served = Served(pool, storage, types, settings, budget_s)
    mounts = [*roots.mounts(served)]
    actions = operations.routes(
        pool=pool, token=settings.http.operations_token.get_secret_value(), public_url=settings.http.public_url
    )
    mounts.append(Mount(operations.ROOT, routes=actions))
    authenticator = Authenticator(served)
    mounts.append(Mount(identity.ROOT, routes=identity.routes(served, authenticator)))
    router = _Router(
        [route.path for route in mounts if isinstance(route, Mount)],
        [
            *mounts,
            *extra_routes,
            Route("/metrics", render_metrics),
            Route("/health/live", live),
            Route("/health/ready", ready),
        ],
        served,
    )
    gate = Gate(router, authenticator, settings)
    return errors.Guard(ExceptionMiddleware(gate, handlers=errors.handlers()))


class _Router(Router):
    """A final slash makes no difference: nobody is sent to another address for it, which a proxy may not know."""

    def __init__(self, roots: Sequence[str], routes: Sequence[BaseRoute], served: Served) -> None:
        super().__init__(routes, redirect_slashes=False, lifespan=lambda _: served.running())
        self._roots = frozenset(roots)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"].rstrip("/") or "/"
            scope = {**scope, "path": f"{path}/" if path in self._roots else path}
        await super().__call__(scope, receive, send)
