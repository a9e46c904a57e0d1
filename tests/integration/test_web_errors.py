"""What every answer of the HTTP application has in common, above all those to requests that nobody should make."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route

from refsys.infra.postgres import create_pool
from refsys.infra.settings import Settings
from refsys.infra.storage import Storage
from refsys.missions import load_types
from refsys.runtime import serving
from refsys.web.app import create_app
from tests.proxy import Proxy, proxied
from tests.waiting import wait_for
from tests.web import Answered, asked, sent, served

TYPES = load_types()
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
#: What stands for the parameters of paths.
PARAMETERS = {"{key}": str(UUID(int=4)), "{collection}": "SENTINEL-1", "{id:int}": "1"}


async def break_down(request: Request) -> Response:
    raise ValueError("the secret cause, at line 42")


async def break_off(request: Request) -> Response:
    async def half() -> AsyncIterator[bytes]:
        yield b"half"
        raise ValueError("the secret cause, at line 42")

    return StreamingResponse(half(), headers={"Content-Length": "8"})


BROKEN = (Route("/broken", break_down), Route("/half", break_off))


@pytest.fixture
async def way(dsn: str, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with proxied(dsn, tmp_path) as way:
        yield way


@pytest.fixture
async def app(way: Proxy, storage: Storage, settings: Settings) -> AsyncIterator[Any]:
    pool = await create_pool(way.dsn)
    yield create_app(pool=pool, storage=storage, types=TYPES, settings=settings, extra_routes=BROKEN)
    pool.terminate()


@pytest.fixture
async def port(app: Any) -> AsyncIterator[int]:
    async with served(app) as port:
        yield port


def error_of(answer: Answered, status: int, code: str) -> str:
    """The message of an error in OData's shape (OData JSON 4.01, 21.1)."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json) == {"error"}
    assert set(answer.json["error"]) == {"code", "message"}
    assert answer.json["error"]["code"] == code
    message: str = answer.json["error"]["message"]
    return message


def assert_guarded(answer: Answered) -> None:
    """The headers of security, and a number under which the request can be found."""
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
    assert "server" not in answer.headers


def paths_of(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every path that takes GET, its parameters replaced, and every one that does not."""
    for route in routes:
        if isinstance(route, Mount):
            yield from paths_of(list(route.routes), prefix + route.path)
        if isinstance(route, Route):
            path = prefix + route.path
            for parameter, value in PARAMETERS.items():
                path = path.replace(parameter, value)
            yield ("GET" if "GET" in (route.methods or ()) else "POST"), path


async def test_every_path_answers_head_as_it_answers_get(app: Any, port: int) -> None:
    found = [path for method, path in paths_of(app._app.app._app.routes) if method == "GET" and path != "/half"]
    assert {"/metrics", "/health/ready", "/odata/v1/Products", "/odata/v1/", "/operations/v1/parked"} <= set(found)
    for path in found:
        get, head = await asked(port, path, Host="localhost"), await asked(port, path, "HEAD", Host="localhost")
        assert (head.status, head.body) == (get.status, b""), path
        for answer in (get, head):
            assert_guarded(answer)
        varying = {"x-request-id", "date"} | ({"content-length"} if path == "/metrics" else set())
        assert {n: v for n, v in head.headers.items() if n not in varying} == {
            n: v for n, v in get.headers.items() if n not in varying
        }, path


async def test_every_path_refuses_other_methods_and_names_its_own(app: Any, port: int) -> None:
    methods: dict[str, set[str]] = {}
    for route_method, path in paths_of(app._app.app._app.routes):
        methods.setdefault(path, set()).add(route_method)
    for path in methods:
        answer = await asked(port, path, "PUT", Host="localhost")
        assert error_of(answer, 405, "MethodNotAllowed") == "'PUT' is not possible here"
        assert answer.headers["allow"]
        assert_guarded(answer)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_what_is_not_there_is_404_for_every_method_and_says_where_products_are(port: int, method: str) -> None:
    answer = await asked(port, "/no/such/place", method)
    assert error_of(answer, 404, "NotFound") == "there is nothing at '/no/such/place'; products are at /odata/v1"
    assert_guarded(answer)


async def test_an_unexpected_error_tells_its_number_and_nothing_else(port: int) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await asked(port, "/broken")
    message = error_of(answer, 500, "InternalServerError")
    number = answer.headers["x-request-id"]
    assert message == f"something went wrong here; it was noted under the number {number}"
    assert_guarded(answer)
    assert b"secret" not in answer.body
    [entry] = [entry for entry in logs if entry["event"] == "request.failed"]
    assert (entry["request"], entry["method"], entry["path"]) == (number, "GET", "/broken")
    assert entry["exc_info"]


async def test_half_an_answer_is_never_taken_for_a_whole_one(port: int) -> None:
    with structlog.testing.capture_logs(), pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await asked(port, "/half")


async def test_numbers_of_requests_differ_and_are_not_taken_from_the_client(port: int) -> None:
    one, other = [await asked(port, "/health/live", X_Request_ID="mine") for _ in range(2)]
    assert len({one.headers["x-request-id"], other.headers["x-request-id"], "mine"}) == 3


@pytest.mark.parametrize(
    ("path", "same"),
    [("/odata/v1", "/odata/v1/"), ("/odata/v1/Products/", "/odata/v1/Products"), ("/health/live/", "/health/live")],
)
async def test_a_final_slash_makes_no_difference_and_sends_nobody_elsewhere(port: int, path: str, same: str) -> None:
    one, other = await asked(port, path, Host="evil.test"), await asked(port, same, Host="evil.test")
    assert one.status == 200
    assert (one.status, one.body) == (other.status, other.body)


async def test_odd_paths_are_404_in_printable_ascii(port: int) -> None:
    targets = (
        "//evil.test/..", "/odata/v1/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/metrics/x",
        "/odata//v1/Products", "/%00", "/%ff%fe", "/odata/v1/%F0%9F%9B%B0", "/odata/v1/Product",
        "/\\", "/;x=1", '/a"b', "/<script>", "*",
    )  # fmt: skip
    for target in targets:
        answer = await asked(port, target)
        message = error_of(answer, 404, "NotFound")
        assert message.isascii(), target
        assert message.isprintable(), target
        assert_guarded(answer)


async def test_bad_encodings_are_400_or_find_nothing(port: int) -> None:
    products = "/odata/v1/Products"
    for target in ("(%00)", "('')", "(%ff)", "?%ff=1", "?$filter=%ff", "?$top=%ED%A0%80", "?$orderby=%F0%9F%9B%B0"):
        answer = await asked(port, products + target)
        error_of(answer, 400, "BadRequest")
        assert_guarded(answer)
    for text in ("%00", "%ED%A0%80"):
        answer = await asked(port, f"{products}?$filter=Name%20eq%20'{text}'")
        assert_guarded(answer)
        assert answer.status == 400 or answer.json["value"] == []


async def test_long_urls_are_answered_shortly(port: int) -> None:
    products = "/odata/v1/Products"
    statuses = {
        "/" + "a" * 60_000: 404,
        f"{products}({chr(39) * 60_000})": 400,
        f"{products}?$filter={'(' * 60_000}": 400,
        f"{products}?$filter={'not%20' * 10_000}x": 400,
        f"{products}?$filter=Name%20eq%20'{'a' * 60_000}'": 200,
        f"{products}?{'&'.join(['$expand=Attributes'] * 3_000)}": 400,
    }
    for target, status in statuses.items():
        answer = await asked(port, target)
        assert answer.status == status, target[:60]
        assert len(answer.body) < 1_000, target[:60]
        assert_guarded(answer)


async def test_what_is_no_request_is_told_so_in_the_shape_of_all_errors(port: int) -> None:
    host = b" HTTP/1.1\r\nHost: h\r\n"
    requests = (
        b"GET /" + b"a" * 70_000 + host + b"\r\n",
        b"GET /\xff" + host + b"\r\n",
        b"GET /a b" + host + b"\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the beginning of TLS
        b"GET /" + host + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /" + host + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"GET /" + host + b" continued\r\n\r\n",
    )
    for request in requests:
        answer = await sent(port, request)
        message = error_of(answer, 400, "BadRequest")
        assert message == "this is no HTTP request, or its URL is too long", request[:60]
        assert answer.headers["connection"] == "close"
        assert_guarded(answer)
    assert (await asked(port, "/health/live")).status == 200


@pytest.mark.parametrize("piece", [b"X-A: " + b"a" * 50_000 + b"\r\n", b"a" * 50_000])
async def test_a_head_that_never_ends_is_refused(port: int, piece: bytes) -> None:
    answer = await sent(port, b"GET /health/live HTTP/1.1\r\nHost: h\r\nX-B: " + piece * 10)
    message = error_of(answer, 431, "RequestHeaderFieldsTooLarge")
    assert message == "the first line and the headers of a request have 131072 bytes at most"
    assert_guarded(answer)


async def test_a_head_that_does_not_come_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_TIMEOUT_S", 0.2)
    answer = await sent(port, b"GET /health/live HTTP/1.1\r\nHost: ")
    assert error_of(answer, 408, "RequestTimeout").startswith("the request is not whole after")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_a_connection_serves_many_requests_and_a_large_body_is_no_head(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HEAD_TIMEOUT_S", 0.2)
    large = b"x" * (2 * serving.HEAD_LIMIT)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(large))
        for start in range(0, len(large), 2**16):
            writer.write(large[start : start + 2**16])
            await writer.drain()
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 200 ")
        found = re.search(rb"content-length: (\d+)", head)
        assert found
        await reader.readexactly(int(found[1]))
    writer.close()


@pytest.mark.parametrize("body", [b"x", b'{"$top": 1}', b"\0" * 200_000])
async def test_the_body_of_a_request_that_has_none_is_ignored(port: int, body: bytes) -> None:
    for path in ("/health/live", "/odata/v1/Products", "/metrics"):
        answer = await asked(port, path, body=body)
        assert answer.status == 200
        assert_guarded(answer)
    assert (await asked(port, "/health/live", "POST", body=body)).status == 405


async def test_without_a_database_the_user_is_asked_to_come_again(port: int, way: Proxy) -> None:
    paths = (
        "/odata/v1/Products",
        "/odata/v1/Products/$count",
        f"/odata/v1/Products({UUID(int=4)})",
        "/operations/v1/parked",
    )
    for path in paths:
        assert (await asked(port, path, Host="localhost")).status in (200, 404)
    await way.cut()
    for path in (*paths, f"/odata/v1/Products({UUID(int=4)})/$value"):
        answer = await asked(port, path, Host="localhost")
        assert "the database does not answer" in error_of(answer, 503, "ServiceUnavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert_guarded(answer)
    for path in ("/odata/v1/$metadata", "/odata/v1/Attributes", "/odata/v1/"):
        assert (await asked(port, path)).status == 200
    await way.open()

    async def is_back() -> bool:
        return (await asked(port, "/odata/v1/Products")).status == 200

    await wait_for(is_back)
