"""Log lines: one JSON object each in the shape of the log ICD (COPRS-ICD-ADST-001048444), whatever is logged."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from refsys.infra.logs import IcdRenderer, custom_keys
from refsys.infra.settings import AuthSettings, Settings

LEVELS = {"INFO", "WARNING", "ERROR", "DEBUG", "FATAL"}
TYPES = ("string", "date", "long", "double", "boolean", "object")
#: Logs from a process of its own: the configuration is the process's.
LOGGING = """
import logging, sys
from pathlib import Path
import structlog
from refsys.infra.logs import configure_logs
log = structlog.get_logger("refsys.tested")
"""


def logged(code, *words):
    """What a program writes to its standard error."""
    done = subprocess.run(
        [sys.executable, "-c", LOGGING + code, *map(str, words)], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return done.stderr


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def rendered(event="happened", level="info", **values):
    line = IcdRenderer("worker-1")(
        None, level, {"event": event, "level": level, "timestamp": "2024-09-01T12:00:00Z"} | values
    )
    assert "\n" not in line
    return json.loads(line)


def assert_fits_the_icd(line):
    assert set(line) == {"header", "message", "custom"}
    header = line["header"]
    assert header["type"] == "LOG"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", header["timestamp"])
    assert header["level"] in LEVELS
    assert len(header["file"]) <= 256
    assert len(line["message"]["content"].encode()) <= 10_000
    for key, value in line["custom"].items():
        name, _, kind = key.rpartition("_")
        assert re.fullmatch(r"[a-z0-9_]+", name)
        assert kind.removesuffix("s") in TYPES
        for member in value if kind.endswith("s") else [value]:
            assert len(member) <= 256 if isinstance(member, str) else True


def test_lines_have_the_shape_of_the_icd():
    text = logged(
        "configure_logs(level='debug', process='worker-1')\n"
        "log.debug('one', size_bytes=1)\nlog.info('two')\nlog.warning('three')\n"
        "log.error('four')\nlog.critical('five')\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('six')\n"
        "logging.getLogger('somebody.else').warning('se%s', 'ven')\n"
    )
    lines = lines_of(text)
    for line in lines:
        assert_fits_the_icd(line)
        assert line["custom"]["process_string"] == "worker-1"
    levels = [line["header"]["level"] for line in lines]
    assert levels == ["DEBUG", "INFO", "WARNING", "ERROR", "FATAL", "ERROR", "WARNING"]
    assert lines[0]["custom"]["size_bytes_long"] == 1
    assert lines[0]["header"]["file"] == "refsys.tested"
    assert lines[5]["message"]["content"].startswith("six Traceback (most recent call last):\n")
    assert lines[5]["message"]["content"].endswith("ZeroDivisionError: division by zero")
    assert (lines[6]["header"]["file"], lines[6]["message"]["content"]) == ("somebody.else", "seven")


def test_what_is_below_the_level_is_not_written():
    text = logged(
        "configure_logs(level='warning')\nlog.info('quiet')\nlog.warning('loud')\n"
        "for name in ('asyncio', 'uvicorn.access'):\n    logging.getLogger(name).info('chatter')\n"
    )
    assert [line["message"]["content"] for line in lines_of(text)] == ["loud"]


def test_a_file_can_get_more_than_the_stream(tmp_path):
    file = tmp_path / "not" / "yet" / "there.log"
    code = "configure_logs(level='info', stream_level='error', file=Path(sys.argv[1]))\nlog.info('a')\nlog.error('b')"
    assert [line["message"]["content"] for line in lines_of(logged(code, file))] == ["b"]
    assert [line["message"]["content"] for line in lines_of(file.read_text())] == ["a", "b"]


def test_a_file_is_not_made_for_nothing(tmp_path):
    file = tmp_path / "logs" / "supervisor.log"
    assert logged("configure_logs(level='error', file=Path(sys.argv[1]))\nlog.info('a')", file) == ""
    assert not file.parent.exists()


def test_keys_end_in_the_type_of_their_value():
    values = {
        "name": "a", "count": 3, "share": 0.5, "good": True,
        "at": datetime(2024, 9, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        "id": UUID(int=7), "path": Path("/a/b"), "nothing": None, "more": {"size": 1, "Two Words": "x"},
        "names": ["a", "b"], "one": ["a"], "none": [], "mixed": [1, "a"], "_private": 1, "huge": 2**70,
        "naive": datetime.fromisoformat("2024-09-01"),
    }  # fmt: skip
    assert custom_keys(values) == {
        "name_string": "a",
        "count_long": 3,
        "share_double": 0.5,
        "good_boolean": True,
        "at_date": "2024-09-01T10:00:00.000000Z",
        "id_string": str(UUID(int=7)),
        "path_string": "/a/b",
        "more_object": {"size_long": 1, "two_words_string": "x"},
        "names_strings": ["a", "b"],
        "one_string": "a",
        "none_strings": [],
        "mixed_strings": ["1", "a"],
        "huge_string": str(2**70),
        "naive_string": "2024-09-01 00:00:00",
    }


def test_what_is_too_long_for_a_key_stands_in_the_message():
    long = "x" * 300
    line = rendered(error=long, short="y")
    assert_fits_the_icd(line)
    assert line["message"]["content"] == f"happened error={long}"
    assert line["custom"]["error_string"] == long[:256]


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f6f0"])
def test_of_a_message_that_is_too_long_the_beginning_and_the_end_stay(letter):
    line = rendered("begin", exception=letter * 20_000 + "ValueError: the end")
    assert_fits_the_icd(line)
    content = line["message"]["content"]
    assert content.startswith(f"begin {letter}")
    assert content.endswith(f"{letter}ValueError: the end")
    assert len(content.encode()) > 9_900


@pytest.mark.parametrize(
    "value", ["\udcff.SAFE", "line\nbreak", "\0", float("nan"), float("inf"), 2**64, object(), b"\xff", {1: 2}, {"a"}]
)
def test_nothing_that_is_logged_breaks_the_line(value):
    assert_fits_the_icd(rendered(str(value), name=value, names=[value, value], inside={"a": value}))
    assert_fits_the_icd(rendered(logger="\udcff" * 300))


def test_secrets_are_masked_wherever_settings_are_logged():
    auth = AuthSettings(kind="basic", user="anna", password=SecretStr("hunter2"))
    settings = Settings(database_url=SecretStr("postgresql://u:hunter2@h/d"))
    line = json.dumps(rendered(auth=auth, settings=settings, password=auth.password, all=[auth, settings]))
    assert "hunter2" not in line
    assert "anna" in line


def test_a_terminal_gets_readable_lines():
    code = (
        "class Terminal:\n    def isatty(self): return True\n    def write(self, text): sys.stderr.write(text)\n"
        "    def flush(self): pass\n"
        "configure_logs(stream=Terminal())\nlog.info('fetch.done', product='S1A')"
    )
    text = re.sub(r"\x1b\[\d*m", "", logged(code))
    assert re.fullmatch(r"\d\d:\d\d:\d\d \[info +\] fetch\.done +\[refsys\.tested\] product=S1A\n", text)


def test_the_instant_of_a_line_is_now_in_utc():
    [line] = lines_of(logged("configure_logs()\nlog.info('now')"))
    at = datetime.fromisoformat(line["header"]["timestamp"])
    assert timedelta(0) <= datetime.now(UTC) - at < timedelta(minutes=1)
