"""Nothing sleeps to wait: it waits for a condition, with a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

_PAUSE_S = 0.02


async def wait_for(condition: Callable[[], Any | Awaitable[Any]], timeout_s: float = 30.0, message: str = "") -> Any:
    """Wait until `condition()` (plain or async) is true and return its value; fail with `message` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_text(condition, timeout_s, message))
        await asyncio.sleep(_PAUSE_S)


def wait_until(condition: Callable[[], Any], timeout_s: float = 30.0, message: str = "") -> Any:
    """The same without an event loop."""
    deadline = time.monotonic() + timeout_s
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_text(condition, timeout_s, message))
        time.sleep(_PAUSE_S)


def _text(condition: Callable[[], Any], timeout_s: float, message: str) -> str:
    return f"{message or getattr(condition, '__qualname__', condition)}: not true after {timeout_s:g} s"
