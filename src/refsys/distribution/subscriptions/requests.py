"""What requests about subscriptions carry, checked; errors in the hub's shapes.

UnknownSubscription      404: {"detail": {"message", "request_id"}}
InvalidBody              422: {"detail": [{"type", "loc", "msg"}]}; nothing that was sent is repeated, for its secrets
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

import asyncpg
import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from starlette.requests import Request

from refsys.catalogue import feed
from refsys.core.times import parse_instant
from refsys.distribution.odata.cursor import nearest
from refsys.distribution.odata.errors import ODataError, OutOfLimits
from refsys.distribution.subscriptions.model import RUNNING, read_ack_id

Body = TypeVar("Body", bound="_Body")

BODY_LIMIT: Final = 64 * 2**10
#: Most notifications of one `Read`.
READ_LIMIT: Final = 20
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)


class UnknownSubscription(ODataError):
    """There is none with this id, or it is somebody else's."""

    def __init__(self, key: object) -> None:
        self._request_id = uuid.uuid4().hex
        headers = {"X-Request-Id": self._request_id}
        super().__init__(f"Subscription with id {key} not found.", status=404, headers=headers)

    @property
    def body(self) -> dict[str, Any]:
        return {"detail": {"message": self.message, "request_id": self._request_id}}


class InvalidBody(ODataError):
    """A body whose members cannot be meant."""

    def __init__(self, *problems: tuple[str, tuple[Any, ...], str]) -> None:
        super().__init__("; ".join(message for _, _, message in problems), status=422)
        self._problems = problems

    @property
    def body(self) -> dict[str, Any]:
        return {"detail": [{"type": kind, "loc": ["body", *loc], "msg": told} for kind, loc, told in self._problems]}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


_Event = Literal["created", "modified", "deleted"]
#: One name does for a list of one.
_Events = Annotated[
    list[_Event], BeforeValidator(lambda given: [given] if isinstance(given, str) else given), Field(min_length=1)
]
_Short = Annotated[str, Field(max_length=200)]


class _Access(_Body):
    """Where to send, and what the endpoint asks for (Basic)."""

    endpoint: str | None = Field(None, alias="NotificationEndpoint")
    username: _Short | None = Field(None, alias="NotificationEpUsername")
    password: Annotated[SecretStr, Field(max_length=1000)] | None = Field(None, alias="NotificationEpPassword")

    @property
    def names_access(self) -> bool:
        return self.username is not None or self.password is not None

    def access(self, before: tuple[str, str] | None = None) -> tuple[str, str] | None:
        """User and password, what is not given as before; None where neither is anything. Raises InvalidBody."""
        user, password = before or ("", "")
        user = user if self.username is None else self.username
        password = password if self.password is None else self.password.get_secret_value()
        if ":" in user or _CONTROL.search(user + password):
            told = "a user has no colon, and neither user nor password a control character (RFC 7617)"
            raise InvalidBody(("value_error", ("NotificationEpUsername",), told))
        return (user, password) if user or password else None


class CreateBody(_Access):
    """`POST /Subscriptions`; Priority and StageOrder have no effect, as on the hub."""

    status: Literal["running", "paused"] = Field(RUNNING, alias="Status")
    events: _Events = Field(["created"], alias="SubscriptionEvent")
    filter_text: str | None = Field("", alias="FilterParam")
    stage_order: bool = Field(False, alias="StageOrder")
    priority: int = Field(1, alias="Priority")


class ChangeBody(_Access):
    """`PATCH /Subscriptions(<id>)`."""

    status: Literal["running", "paused", "cancelled"] | None = Field(None, alias="Status")


class ReplayBody(_Body):
    """`POST /Subscriptions(<id>)/Replay`."""

    start: str | int = Field(alias="From")


async def read_body(request: Request, model: type[Body]) -> Body:
    """The JSON body. Raises ODataError: 415, 413, 400 where it is none, 422 where it is not what is asked for."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ODataError("the body has to be sent with Content-Type: application/json", status=415)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_LIMIT:
            raise ODataError(f"the body is longer than {BODY_LIMIT} bytes", status=413)
    try:
        return model.model_validate(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        raise ODataError(f"the body is not JSON: {error}") from error
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise InvalidBody(*((found["type"], found["loc"], found["msg"]) for found in problems[:10])) from error


def key_of(request: Request) -> UUID:
    """The id in `Subscriptions(<id>)`. Raises UnknownSubscription: what is no id is nobody's."""
    text: str = request.path_params["key"]
    try:
        return UUID(text.strip("'"))
    except ValueError:
        raise UnknownSubscription(ascii(text[:60])[1:-1]) from None


def top_of(request: Request) -> int:
    """`$top` of Read. Raises OutOfLimits."""
    _check_options(request, ("$top",))
    text = request.query_params.get("$top", "1")
    if not _NUMBER.fullmatch(text):
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise OutOfLimits("$top", text, "int_parsing", message)
    if not 1 <= int(text) <= READ_LIMIT:
        limit, kind = (1, "greater_than_equal") if int(text) < 1 else (READ_LIMIT, "less_than_equal")
        message = f"Input should be {kind.replace('_', ' ').replace('equal', 'or equal to')} {limit}"
        raise OutOfLimits("$top", text, kind, message, {"ge" if limit == 1 else "le": limit})
    return int(text)


def ack_position(request: Request, key: UUID) -> int:
    """The position that `$ackid` of Ack names. Raises ODataError."""
    _check_options(request, ("$ackid",))
    text = request.query_params.get("$ackid")
    if text is None:
        raise OutOfLimits("$ackid", "", "missing", "Field required")
    return read_ack_id(text, key)


async def replay_position(connection: asyncpg.Connection, start: str | int, key: UUID) -> int:
    """The position behind which a replay begins: one, an AckId, an instant, `start` or `now`. Raises ODataError."""
    last = await feed.last_position(connection)
    text = str(start).strip()
    if text in ("start", "now"):
        return 0 if text == "start" else last
    if _NUMBER.fullmatch(text):
        position = int(text)
    else:
        try:
            instant = parse_instant(text)
        except ValueError:
            position = read_ack_id(text, key)
        else:
            return await feed.position_at(connection, min(instant, datetime.now(UTC)))
    if position > last:
        raise ODataError(f"From: the feed has the positions 0 to {last}, not {position}")
    return position


def _check_options(request: Request, known: Collection[str]) -> None:
    for name in request.query_params:
        if name.startswith("$") and name not in known:
            raise ODataError(f"{name[:60]!a} is not offered here{nearest(name, known)}; there is {', '.join(known)}")
