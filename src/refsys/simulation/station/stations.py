"""The stations that speak OData: AUXIP and PRIP, LTA, CADIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from refsys.core.errors import ConfigurationError
from refsys.simulation.station.answers import Refusal
from refsys.simulation.station.auth import Auth
from refsys.simulation.station.cadip import FileSet, QualitySet, SessionSet
from refsys.simulation.station.content import Content
from refsys.simulation.station.dialect import Dialect
from refsys.simulation.station.folder import FolderWatch, announced_name
from refsys.simulation.station.model import Offered
from refsys.simulation.station.orders import OrderBook, OrderSet
from refsys.simulation.station.packing import ALGORITHMS, ArchiveKind, Package, Packer
from refsys.simulation.station.products import ProductSet
from refsys.simulation.station.query import EntitySet
from refsys.simulation.station.server import HttpStation
from refsys.simulation.station.sessions import Archive, Session
from refsys.simulation.station.shelf import Shelf, utc_now


class Station(HttpStation):
    """Offers products as AUXIP and PRIP do, from a folder that it watches and from `offer`.

    Folders are delivered as archives of the kind `archive`, made in `cache` (temporary by default) when first needed;
    files and archives as they lie. Products of the folder that changed less than `settle_s` ago wait. `page_limit`,
    `next_links`: as in `dialect`. `clock` is the station's own.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        other_host: str = "",
        auth: Auth = None,
        certificate: Path | None = None,
        archive: ArchiveKind = "zip",
        deflate: bool = False,
        cache: Path | None = None,
        algorithms: Sequence[str] = ("MD5",),
        page_limit: int = 1000,
        next_links: bool = True,
        settle_s: float = 0.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if unknown := set(algorithms) - ALGORITHMS.keys():
            raise ConfigurationError(
                f"{', '.join(sorted(unknown))}: no such checksum", advice=f"one of {', '.join(ALGORITHMS)}"
            )
        if folder is not None and not folder.is_dir():
            raise ConfigurationError("is not a folder", subject=str(folder), advice="name the folder to offer")
        self._archive: ArchiveKind = archive
        self._shelf = Shelf(clock)
        self._packer = Packer(cache, archive, deflate=deflate, algorithms=algorithms)
        self._watch = (
            None
            if folder is None
            else FolderWatch(folder, archive, settle_s=settle_s, offer=self._shelve, withdraw=self.withdraw)
        )
        super().__init__(
            self._sets(),
            host=host,
            port=port,
            other_host=other_host,
            auth=auth,
            certificate=certificate,
            dialect=Dialect(page_limit=page_limit, next_links=next_links),
        )

    def offer(
        self,
        path: Path | Content,
        *,
        name: str | None = None,
        published_at: datetime | None = None,
        size_bytes: int | None = None,
        checksums: Mapping[str, str] | None = None,
    ) -> Offered:
        """Offer a folder or file where it lies, or made content. By default `name` is what a PRIP calls it
        (`X.SAFE.zip`), and it is published now. `size_bytes` and `checksums` (algorithm → value) are announced in place
        of the true ones.
        """
        if isinstance(path, Path):
            if not path.exists():
                raise ConfigurationError("is not there to be offered", subject=str(path))
            name = announced_name(path, self._archive) if name is None else name
        if name is None:
            raise ConfigurationError("made content needs a name")
        return self._shelve(
            name,
            path,
            published_at=published_at,
            size_bytes=size_bytes,
            checksums=checksums,
        )

    def replace(self, name: str, path: Path | Content, *, quietly: bool = False) -> Offered:
        """Other bytes under an offered name: with a new id and date, or `quietly` with the old ones."""
        before = self._shelf.named(name)
        if not quietly:
            return self._shelve(name, path)
        offered = self._shelf.change_quietly(name, path)
        self._packer.forget(before)
        return offered

    def withdraw(self, name: str) -> None:
        """Offer it no more, as after its eviction."""
        self._packer.forget(self._shelf.take_away(name))

    def offered(self) -> list[Offered]:
        """What is offered, in the order in which it was offered; of the folder, what was seen at the last request."""
        return self._shelf.offered()

    def look(self) -> None:
        """See what changed in the folder, as every listing does first. Blocks."""
        if self._watch is not None:
            self._watch.refresh()

    def package(self, name: str) -> Package:
        """What is delivered for an offered name: path, true size and checksums. Blocks while it is made."""
        return self._packer.package(self._shelf.named(name))

    def _close(self) -> None:
        self._packer.close()

    def _sets(self) -> list[EntitySet[Any]]:
        return [ProductSet(self._shelf, self._packer)]

    def _shelve(
        self,
        name: str,
        path: Path | Content,
        *,
        published_at: datetime | None = None,
        size_bytes: int | None = None,
        checksums: Mapping[str, str] | None = None,
    ) -> Offered:
        offered, before = self._shelf.put(
            name, path, published_at=published_at, size_bytes=size_bytes, checksums=checksums
        )
        if before is not None:
            self._packer.forget(before)
        return offered


class LtaStation(Station):
    """Offers products as a long-term archive does: offline until they were ordered, and evicted again.

    An order is `queued`, for `queue_s`, then `in_progress`, and `completed` after `order_s` in all; its product is
    online for `online_s` then. With `quota`, more open orders than that get 429. `failing` are names, or parts of them,
    whose orders end `failed`. Other options: `Station`.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        queue_s: float = 2.0,
        order_s: float = 10.0,
        online_s: float = 3 * 86400.0,
        quota: int | None = None,
        failing: Sequence[str] = (),
        clock: Callable[[], datetime] = utc_now,
        **options: Any,
    ) -> None:
        self.quota = quota
        self.failing = tuple(failing)
        self._book = OrderBook(clock, queue_s=queue_s, order_s=order_s, online_s=online_s)
        super().__init__(folder, clock=clock, **options)

    def may_download(self, row: Any) -> None:
        if not self._book.is_online(row):
            raise Refusal(403, f"{row.name}: is offline; order it first")

    def act(self, row: Any, action: str, form: bytes) -> dict[str, Any]:
        if action != "OData.CSC.Order" or not isinstance(row, Offered):
            return super().act(row, action, form)
        if self.quota is not None and self._book.open_orders() >= self.quota:
            raise Refusal(429, f"there are {self.quota} open orders already", {"Retry-After": "1"})
        order = self._book.submit(row, _priority(form), fails=any(part in row.name for part in self.failing))
        return {"@odata.context": "$metadata#OData.CSC.Order"} | self._orders.entity(order)

    def _sets(self) -> list[EntitySet[Any]]:
        products = ProductSet(self._shelf, self._packer, self._book.is_online)
        self._orders = OrderSet(self._book, products)
        return [products, self._orders]


def _priority(form: bytes) -> int:
    """Of an order; 50 where the request says none."""
    try:
        said = orjson.loads(form) if form.strip() else {}
        return int(said.get("Priority", 50))
    except (ValueError, TypeError, AttributeError):
        raise Refusal(400, 'an order is a JSON object such as {"Priority": 50}') from None


class CadipStation(HttpStation):
    """Offers acquisition sessions and their files as CADIP does; `archive` holds them.

    `retention`: files older than that are evicted; None = nothing is, although seven days are announced.
    """

    #: Whether a pass that plays here publishes DSIBs.
    delivers_dsib = False

    def __init__(
        self,
        archive: Archive | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        other_host: str = "",
        auth: Auth = None,
        certificate: Path | None = None,
        page_limit: int = 1000,
        next_links: bool = True,
        retention: timedelta | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.archive = Archive(retention=retention, clock=clock) if archive is None else archive
        super().__init__(
            [SessionSet(self.archive), FileSet(self.archive), QualitySet(self.archive)],
            host=host,
            port=port,
            other_host=other_host,
            auth=auth,
            certificate=certificate,
            dialect=Dialect(page_limit=page_limit, next_links=next_links),
        )

    def session(self, session_id: str, **said: Any) -> Session:
        """Publish a session: `Archive.session`."""
        return self.archive.session(session_id, **said)
