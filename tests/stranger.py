"""A real HTTP server that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request], web.StreamResponse | Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: `target` as it stood in its first line, `form` as its body was written."""

    method: str
    target: str
    headers: dict[str, str]
    form: dict[str, str]
    body: str


@dataclass(slots=True)
class Stranger:
    """`answers` maps paths to what is answered there; elsewhere it is 404."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def answer(self, path: str, status: int = 200, body: str | bytes = b"{}", **headers: str) -> None:
        """Always the same at this path; `Content_Type` names the header Content-Type."""
        content = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path] = lambda request: web.Response(status=status, body=content, headers=named)

    def asked_at(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.target.partition("?")[0] == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        form: dict[str, str] = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(Asked(request.method, request.raw_path, dict(request.headers), form, body))
        answer = self.answers.get(request.path)
        if answer is None:
            return web.Response(status=404)
        told: Any = answer(request)
        return await told if asyncio.iscoroutine(told) else told


@contextlib.asynccontextmanager
async def stranger(tls: ssl.SSLContext | None = None) -> AsyncIterator[Stranger]:
    """Served for the time of the block, on a free port of this machine."""
    made = Stranger()

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    made.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
