"""The roots that distribution serves, each with its routes."""

from __future__ import annotations

from starlette.routing import BaseRoute, Mount

from refsys.distribution.odata import routes as odata
from refsys.distribution.prip import routes as prip
from refsys.distribution.served import Served
from refsys.distribution.stac.api import application as stac
from refsys.distribution.subscriptions import routes as subscriptions


def mounts(served: Served) -> list[BaseRoute]:
    """What the HTTP application mounts."""
    return [
        Mount(odata.ROOT, routes=[*odata.routes(served), *subscriptions.routes(served)]),
        Mount(prip.ROOT, routes=prip.routes(served)),
        stac.mount(served),
    ]
