"""The show itself: a station, the whole system, the products on their way, and whether they come back unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp
from rich.console import Console
from rich.text import Text

from refsys.cli.demonstration.comparison import differences
from refsys.cli.demonstration.offers import Offer, find_offers, make_offer
from refsys.cli.demonstration.progress import Progress, read_progress
from refsys.cli.demonstration.screen import Screen, print_end
from refsys.core.errors import RefsysError
from refsys.infra.postgres import connected
from refsys.infra.settings import AuthSettings, InboxSettings, Settings
from refsys.missions import TypeRegistry, load_types
from refsys.runtime.supervisor import Supervisor, running_system
from refsys.simulation.station import Station

INBOX: Final = "demo"
_LOOK_S: Final = 0.2
_PIECE: Final = 2**20


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked. `products`: a folder, None = samples are made; `timeout_s`: when to give up."""

    products: Path | None
    once: bool
    timeout_s: float


async def show(settings: Settings, plan: Plan, console: Console) -> bool:
    """Run the demo; returns whether every product of a known type was published and, with `once`, came back unchanged.

    Returns when everything is over (`once`), else when somebody interrupts.
    """
    types = load_types(settings.type_tables)
    offers = [] if plan.products is None else await asyncio.to_thread(find_offers, plan.products, types)
    interrupted = _on_interrupt()
    async with Station() as station:
        settings = settings.model_copy(update={"inbox": (_inbox(station, strict=plan.products is None),)})
        console.print(f"starting the system in {settings.state_dir} …", highlight=False, soft_wrap=True)
        async with running_system(settings) as system:
            if interrupted.is_set():
                return False
            if plan.products is None:  # only now is the folder ours alone
                console.print("making samples: small products, but whole …")
                offers = await asyncio.to_thread(_make_samples, settings.state_dir / "samples", types)
            _announce(console, plan, offers)
            over = await _watch(system, station, offers, plan, console, interrupted)
            _conclude(over, system, settings, console)
            good = all(progress.is_published for progress in over if progress.offer.is_known)
            if plan.once:
                return await _came_back(over, system.url, console) and good
            if not interrupted.is_set():
                console.print("Ctrl-C stops everything.")
                await interrupted.wait()
            console.print("stopping …")
    return good


def _make_samples(folder: Path, types: TypeRegistry) -> list[Offer]:
    from refsys.simulation.samples import make_samples

    if folder.exists():
        shutil.rmtree(folder)
    return sorted((make_offer(path, types) for path in make_samples(folder)), key=lambda offer: offer.name)


def _inbox(station: Station, *, strict: bool) -> InboxSettings:
    return InboxSettings(
        id=INBOX,
        type="prip",
        url=station.url,
        station="the simulated station",
        poll_s=1.0,
        completeness="strict" if strict else "record",
        auth=AuthSettings(),
    )


def _announce(console: Console, plan: Plan, offers: Sequence[Offer]) -> None:
    source = "samples made for this" if plan.products is None else str(plan.products)
    console.print(f"{len(offers)} products ({source}) are offered by a simulated AUXIP/PRIP station", soft_wrap=True)
    if plan.products is not None:
        console.print(
            "[dim]what a manifest names and the folder lacks is recorded, not refused (completeness = 'record')[/]",
            soft_wrap=True,
        )


async def _watch(
    system: Supervisor,
    station: Station,
    offers: Sequence[Offer],
    plan: Plan,
    console: Console,
    interrupted: asyncio.Event,
) -> list[Progress]:
    """Offer the products and show the progress until everything is published or parked, time is over, or somebody
    interrupts.
    """
    deadline = asyncio.get_running_loop().time() + plan.timeout_s
    async with connected(system.dsn, application="refsys demo") as connection:
        since = await connection.fetchval("SELECT clock_timestamp()")
        for offer in offers:
            station.offer(offer.path)
        with Screen(console, "from the station to the user") as screen:
            while True:
                progresses = await read_progress(connection, INBOX, offers, since)
                screen.show(progresses)
                if all(progress.is_over for progress in progresses) or interrupted.is_set():
                    return progresses
                if asyncio.get_running_loop().time() > deadline:
                    return progresses
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(interrupted.wait(), _LOOK_S)


def _conclude(progresses: Sequence[Progress], system: Supervisor, settings: Settings, console: Console) -> None:
    """The table, what was parked and why, and how to get at the products."""
    console.print()
    print_end(progresses, console)
    first = next((progress for progress in progresses if progress.is_published), None)
    if first is None:
        return
    query = "Products?$orderby=PublicationDate%20desc&$expand=Attributes"
    lines = (
        f"OData      {system.url}/odata/v1/{query}",
        f"STAC       {system.url}/stac/search?sortby=-published",
        f"download   curl -o {first.package_name} '{_download_url(system.url, first)}'",
        f"look       refsys --state {shlex.quote(str(settings.state_dir))} product show {first.name}",
    )
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


async def _came_back(progresses: Sequence[Progress], url: str, console: Console) -> bool:
    """Download everything that was published and compare it with its source, byte for byte."""
    published = [progress for progress in progresses if progress.is_published]
    wrong, total = 0, len(published)
    async with aiohttp.ClientSession() as session:
        with console.status("") if console.is_terminal else contextlib.nullcontext() as told:
            for number, progress in enumerate(published, 1):
                if told is not None:
                    told.update(f"downloading again: {number} of {total}")
                problems = await _compare(session, progress, url)
                wrong += bool(problems)
                for problem in problems:
                    console.print(Text(f"came back different: {problem}", "red"), soft_wrap=True)
    if wrong or not total:
        console.print(Text(f"{wrong} of {total} downloads differ from what was offered", "bold red"))
        return False
    console.print(f"[bold green]{total} of {total} downloaded again, byte for byte what was offered[/]")
    return True


async def _compare(session: aiohttp.ClientSession, progress: Progress, url: str) -> list[str]:
    with TemporaryDirectory(prefix="refsys-") as folder:
        package = Path(folder) / "package"
        try:
            size = await _download(session, _download_url(url, progress), package)
        except (aiohttp.ClientError, OSError, RefsysError) as error:
            return [f"{progress.name}: cannot be downloaded: {error}"]
        if size != progress.size_bytes:
            return [f"{progress.name}: {size} bytes came, {progress.size_bytes} were announced"]
        return await asyncio.to_thread(differences, progress.offer.path, package)


async def _download(session: aiohttp.ClientSession, url: str, target: Path) -> int:
    size = 0
    async with session.get(url) as response:
        if response.status != 200:
            raise RefsysError(f"{response.status} {await response.text()}")
        with target.open("wb") as file:
            async for piece in response.content.iter_chunked(_PIECE):
                size += await asyncio.to_thread(file.write, piece)
    return size


def _download_url(url: str, progress: Progress) -> str:
    return f"{url}/odata/v1/Products({progress.product_id})/$value"


def _on_interrupt() -> asyncio.Event:
    """Set at the first SIGINT or SIGTERM; the second one ends everything at once."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked(number: signal.Signals) -> None:
        if interrupted.is_set():
            loop.remove_signal_handler(number)
            raise KeyboardInterrupt
        interrupted.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked, number)
    return interrupted
