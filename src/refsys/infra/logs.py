"""Structured logs: readable on a terminal, else one JSON object per line (ICD COPRS-ICD-ADST-001048444).

    {"header": {"type": "LOG", "timestamp": "…Z", "level": "INFO", "file": "refsys.infra.work"},
     "message": {"content": "fetch.done"}, "custom": {"process_string": "worker-1", "size_bytes_long": 1024}}

Keys of `custom` end in their type (trace ICD, custom-key grammar); a list of one is written as its member.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, TextIO

import orjson
import structlog

from refsys.core.times import format_instant

CONTENT_LIMIT: Final = 10_000
STRING_LIMIT: Final = 256
_LEVELS = {"warn": "WARNING", "exception": "ERROR", "critical": "FATAL", "notset": "DEBUG"}
_QUIET = ("asyncio", "httpx", "httpcore", "uvicorn.access", "aiohttp.access")


def configure_logs(
    *,
    level: str = "info",
    process: str = "",
    stream: TextIO | None = None,
    stream_level: str = "",
    file: Path | None = None,
) -> None:
    """Send structlog's and the libraries' records to `stream` (stderr), and to `file`; once, at a process's start.

    `stream_level`: the least that the stream gets, where it is more than `level`. File and folder are made when the
    first record comes.
    """
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
    ]
    as_json = [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        IcdRenderer(process),
    ]
    readable = [
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(pad_event_to=24),
    ]
    handlers: list[logging.Handler] = [
        _handler(logging.StreamHandler(stream), shared, readable if stream.isatty() else as_json)
    ]
    handlers[0].setLevel((stream_level or level).upper())
    if file is not None:
        handlers.append(_handler(_LateFile(file, delay=True, encoding="utf-8"), shared, as_json))
    logging.basicConfig(level=number, handlers=handlers, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


class _LateFile(logging.FileHandler):
    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()


def _handler(handler: logging.Handler, shared: list[Any], rendering: list[Any]) -> logging.Handler:
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    return handler


class IcdRenderer:
    """The last processor: one line of JSON. `process` says which of our processes it is."""

    def __init__(self, process: str = "") -> None:
        self._process = {"process_string": process} if process else {}

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        level = str(event.pop("level", "info"))
        content = [str(event.pop("event", ""))]
        header = {
            "type": "LOG",
            "timestamp": _microseconds(str(event.pop("timestamp", ""))),
            "level": _LEVELS.get(level, level.upper()),
            "file": _string(event.pop("logger", "")),
        }
        trace = event.pop("exception", None)
        content += [f"{key}={value}" for key, value in event.items() if isinstance(value, str) and len(value) > 256]
        content += [str(trace)] if trace else []
        line = {
            "header": header,
            "message": {"content": _shortened(" ".join(content))},
            "custom": self._process | custom_keys(event),
        }
        return orjson.dumps(line).decode()


def _shortened(text: str) -> str:
    """Within CONTENT_LIMIT bytes; of a long text the middle is left out: a traceback ends with what happened."""
    coded = _storable(text).encode()
    if len(coded) <= CONTENT_LIMIT:
        return coded.decode()
    half = CONTENT_LIMIT // 2 - 8
    return f"{coded[:half].decode(errors='ignore')} … {coded[-half:].decode(errors='ignore')}"


def custom_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """`{"size": 1}` → `{"size_long": 1}`; None is left out."""
    return dict(_custom(key, value) for key, value in values.items() if value is not None and not key.startswith("_"))


def _custom(key: str, value: Any) -> tuple[str, Any]:
    if isinstance(value, Mapping):
        return f"{key}_object", custom_keys({_snake(str(name)): member for name, member in value.items()})
    if isinstance(value, list | tuple | set | frozenset):
        members = list(value)
        if len(members) == 1:
            return _custom(key, members[0])
        suffix, _ = _typed(members[0]) if members else ("string", None)
        same = all(_typed(member)[0] == suffix for member in members)
        return f"{key}_{suffix if same else 'string'}s", [_typed(m)[1] if same else _string(m) for m in members]
    suffix, plain = _typed(value)
    return f"{key}_{suffix}", plain


def _typed(value: Any) -> tuple[str, Any]:
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int) and abs(value) < 2**63:
        return "long", value
    if isinstance(value, float):
        return "double", value
    if isinstance(value, datetime) and value.tzinfo is not None:
        return "date", format_instant(value)
    return "string", _string(value)


def _string(value: Any) -> str:
    return _storable(str(value))[:STRING_LIMIT]


def _storable(text: str) -> str:
    """Names of files may hold what is no text; a line of the log is written all the same."""
    return text.encode("utf-8", "backslashreplace").decode()


def _snake(name: str) -> str:
    return re.sub(r"\W+", "_", name, flags=re.ASCII).lower()


def _microseconds(timestamp: str) -> str:
    """ISO 8601 with exactly six digits of fraction, as the ICD wants."""
    head, _, fraction = timestamp.removesuffix("Z").partition(".")
    return f"{head}.{fraction.ljust(6, '0')[:6]}Z"
