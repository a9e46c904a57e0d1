"""Lines on standard output for as long as somebody reads them and nobody ends us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
from types import TracebackType
from typing import Final, Self

_PAUSE_S: Final = 0.2
_GONE: Final = select.POLLERR | select.POLLHUP
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Lines:
    """Standard output, a line at a time. `stop` is set by SIGINT, by SIGTERM, and when the reader is gone."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self._descriptor = sys.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLOUT)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.stop.set)
        self._watch = asyncio.create_task(self._look())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watch
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    async def write(self, line: str) -> bool:
        """Write a line, at once and whole; False where we are to stop instead. Waits while the reader is slow."""
        while not self.stop.is_set():
            state = self._state()
            if state & _GONE:
                break
            if state & select.POLLOUT:
                # what poll calls writable takes 4096 bytes at once
                data = f"{line}\n".encode(errors="backslashreplace")
                try:
                    while data:
                        data = data[os.write(self._descriptor, data) :]
                except BrokenPipeError:
                    break
                return True
            await asyncio.sleep(_PAUSE_S)
        self.stop.set()
        return False

    def _state(self) -> int:
        return next((state for _, state in self._poll.poll(0)), 0)

    async def _look(self) -> None:
        while not self.stop.is_set():
            if self._state() & _GONE:
                self.stop.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), _PAUSE_S)
