"""Who takes part: the packages that own a schema, the stages that run steps, the pollers of the inboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refsys.infra.postgres import MIGRATED_PACKAGES

if TYPE_CHECKING:
    import asyncio

    import asyncpg

    from refsys.infra.settings import Settings
    from refsys.infra.storage import Storage
    from refsys.infra.work import Stage
    from refsys.missions import TypeRegistry

__all__ = ["MIGRATED_PACKAGES", "build_stages", "plan_changes", "run_inboxes", "run_subscriptions"]


def build_stages(settings: Settings, pool: asyncpg.Pool, storage: Storage, types: TypeRegistry) -> list[Stage]:
    """Every stage's step kinds, for a worker."""
    from refsys.catalogue import reextract
    from refsys.catalogue import service as catalogue
    from refsys.distribution import service as distribution
    from refsys.ingestion import service as ingestion

    return [
        *ingestion.stages(settings, pool, storage, types),
        *catalogue.stages(pool, storage, types, settings.inbox),
        *reextract.stages(pool, storage, types),
        *distribution.stages(pool, storage, types),
    ]


async def plan_changes(pool: asyncpg.Pool, types: TypeRegistry) -> None:
    """What a worker's tables say otherwise than those before becomes due."""
    from refsys.catalogue import reextract

    await reextract.plan(pool, types)


async def run_inboxes(
    settings: Settings, pool: asyncpg.Pool, storage: Storage, types: TypeRegistry, stop: asyncio.Event
) -> None:
    """Poll every inbox until `stop`."""
    from refsys.ingestion.inboxes import service

    await service.run_inboxes(settings, pool, storage, types, stop)


async def run_subscriptions(settings: Settings, pool: asyncpg.Pool, types: TypeRegistry, stop: asyncio.Event) -> None:
    """Tell users what becomes of products, until `stop`."""
    from refsys.core.hosts import host_in_url
    from refsys.distribution.subscriptions import service
    from refsys.infra.runfile import running

    def base_url() -> str:
        run = None if settings.http.public_url else running(settings.state_dir)
        given = settings.http.public_url or (run.url if run is not None else "")
        return given.rstrip("/") or f"http://{host_in_url(settings.http.host)}:{settings.http.port}"

    await service.run_subscriptions(settings.subscriptions, pool, types, stop, base_url=base_url)
