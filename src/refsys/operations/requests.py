"""What requests carry: query parameters and JSON bodies, read with their limits."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from refsys.core.times import format_instant, parse_instant
from refsys.operations.errors import WrongRequest
from refsys.operations.model import LARGEST_ID, Action, Filter, Instruction, choose

Body = TypeVar("Body", bound=BaseModel)

BODY_LIMIT: Final = 2**20
IDS_LIMIT: Final = 10_000
LIST_LIMIT: Final = 1_000
LIST_DEFAULT: Final = 100
_FILTER: Final = ("stage", "error", "text", "key", "since", "until")

StepId = Annotated[int, Field(ge=1, le=LARGEST_ID, strict=True)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FilterBody(_Body):
    """Which steps; texts as `Filter.parse` takes them."""

    stage: str = ""
    error: str = ""
    text: str = ""
    key: str = ""
    since: str = ""
    until: str = ""


class ActionBody(_Body):
    """For one step. `from`: the stage from which on to resubmit."""

    author: str = ""
    reason: str = ""
    from_stage: str = Field("", alias="from")

    def instruction(self, action: Action, request: Request) -> Instruction:
        author = self.author or f"client {request.client.host if request.client else 'unknown'}"
        return Instruction(action, author=author, reason=self.reason, from_stage=self.from_stage)


class BulkBody(ActionBody):
    """For several: ids, or a filter, or all."""

    ids: list[StepId] = Field([], max_length=IDS_LIMIT)
    filter: FilterBody = Field(default_factory=FilterBody)
    all: bool = Field(False, strict=True)
    dry_run: bool = Field(False, strict=True)

    def selection(self) -> Sequence[int] | Filter:
        wanted = Filter.parse(self.filter.model_dump(), now=datetime.now(UTC))
        return choose(self.ids, wanted, everything=self.all)


class ReplayBody(_Body):
    """Which events to replay for which stage; times as `parse_time` takes them."""

    stage: str
    since: str
    until: str = ""
    key: str = ""
    dry_run: bool = Field(False, strict=True)


class ListQuery:
    """The query parameters of a list. Raises WrongRequest."""

    def __init__(self, request: Request) -> None:
        given = dict(request.query_params)
        known = (*_FILTER, "limit", "page", "group")
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                raise WrongRequest(f"there is no parameter {name[:60]!a}", advice=advice)
        self.wanted = Filter.parse({name: given.get(name, "") for name in _FILTER}, now=datetime.now(UTC))
        self.limit = _number(given.get("limit", str(LIST_DEFAULT)))
        self.after = _read_page(given["page"]) if given.get("page") else None
        self.is_grouped = _truth(given.get("group", "false"))


async def read_body(request: Request, model: type[Body]) -> Body:
    """The JSON body. Raises WrongRequest: 413 where it is too long, 400 where it is not what is asked for."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_LIMIT:
            raise WrongRequest(f"the body is longer than {BODY_LIMIT} bytes", status=413)
    try:
        return model.model_validate(orjson.loads(data or b"{}"))
    except orjson.JSONDecodeError as error:
        raise WrongRequest(f"the body is not JSON: {error}") from error
    except ValidationError as error:
        told = [
            f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False, include_context=False)[:5]
        ]
        raise WrongRequest("; ".join(told)) from error


def page_after(instant: datetime, step_id: int) -> str:
    """Where the next page of a list begins."""
    return f"{format_instant(instant)}_{step_id}"


def _read_page(text: str) -> tuple[datetime, int]:
    instant, _, number = text.partition("_")
    try:
        step_id = int(number) if number.isascii() and number.isdigit() else 0
        if 1 <= step_id <= LARGEST_ID:
            return parse_instant(instant), step_id
    except (ValueError, OverflowError):
        pass
    raise WrongRequest(f"page {text[:60]!a} is not from a list", advice="leave it away, or give what `next` said")


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= LIST_LIMIT:
        return int(text)
    raise WrongRequest(f"limit {text[:60]!a} is not a number from 1 to {LIST_LIMIT}")


def _truth(text: str) -> bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise WrongRequest(f"group {text[:60]!a} is neither true nor false")
