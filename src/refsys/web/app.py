"""The HTTP application: what the stages offer, under one roof."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import asyncpg
import orjson
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp

from refsys.catalogue.search import BUDGET_S
from refsys.distribution.odata import routes as odata
from refsys.infra import telemetry
from refsys.infra.settings import Settings
from refsys.missions import TypeRegistry
from refsys.operations import routes as operations
from refsys.web import errors

if TYPE_CHECKING:
    from refsys.infra.storage import Storage


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

    async def render_metrics(request: Request) -> Response:
        return Response(await metrics.render(), media_type=telemetry.METRICS_CONTENT_TYPE)

    async def live(request: Request) -> Response:
        return Response(orjson.dumps(telemetry.live()), media_type="application/json")

    async def ready(request: Request) -> Response:
        found = await telemetry.ready(pool, storage)
        body = orjson.dumps({"status": "ok" if found.is_ready else "not ready", "checks": found.checks})
        return Response(body, 200 if found.is_ready else 503, media_type="application/json")

    products = odata.routes(
        pool=pool, storage=storage, types=types, public_url=settings.http.public_url, budget_s=budget_s
    )
    actions = operations.routes(
        pool=pool, token=settings.http.operations_token.get_secret_value(), public_url=settings.http.public_url
    )
    router = Router(
        [
            Mount(odata.ROOT, routes=products),
            Mount(operations.ROOT, routes=actions),
            *extra_routes,
            Route("/metrics", render_metrics),
            Route("/health/live", live),
            Route("/health/ready", ready),
        ]
    )
    return errors.Guard(ExceptionMiddleware(router, handlers=errors.handlers()))
