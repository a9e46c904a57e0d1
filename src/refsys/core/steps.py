"""Events of the system and the priority function: what a stage announces, what another subscribes to."""

from __future__ import annotations

from typing import Final, Literal

#: How a product type's steps stand to those of others (missions tables, column `priority`).
Rank = Literal["housekeeping", "normal"]

#: A product's bytes lie verified in storage (emitted by ingestion with the arrival's id).
PRODUCT_ARRIVED: Final = "product.arrived"
#: A product (or a new content of an unpublished one) is described in the catalogue.
PRODUCT_DESCRIBED: Final = "product.described"
#: A product's package is verified, its layout, size and checksums are final.
PRODUCT_PACKAGED: Final = "product.packaged"
#: A product is visible to users.
PRODUCT_PUBLISHED: Final = "product.published"

# Of acquisition sessions. Their key is the session's id (followed by ` retransfer` where a retransfer is the cause),
# their payload {session: its row, revision: of what production was told last}; what there is then is asked of
# ingestion (refsys.ingestion.sessions.session_blocks).
#: The first block of a transfer is stored: what can be done during the pass may begin.
SESSION_BEGUN: Final = "session.begun"
#: Another block of it is stored (steps that wait for one session are one step).
SESSION_BLOCK: Final = "session.block"
#: Nothing of a channel is missing.
SESSION_CHANNEL_COMPLETE: Final = "session.channel_complete"
#: Nothing of the session is missing, or what it consists of changed since.
SESSION_COMPLETE: Final = "session.complete"
#: Its deadline passed, or an operator released it; something is missing.
SESSION_INCOMPLETE: Final = "session.incomplete"

PRIORITY_HIGHEST: Final = 90
PRIORITY_NRT: Final = 70
PRIORITY_NORMAL: Final = 50
PRIORITY_BACKLOG: Final = 10


def priority(*, rank: Rank = "normal", urgent: bool = False, backlog: bool = False) -> int:
    """The one priority function: 0 (last) to 99 (first).

    Housekeeping (telemetry and GPS) outranks everything, then what is urgent (the near-real-time and pass-through
    timeliness classes), then the rest, then backlog.
    """
    if rank == "housekeeping":
        return PRIORITY_HIGHEST
    if backlog:
        return PRIORITY_BACKLOG
    return PRIORITY_NRT if urgent else PRIORITY_NORMAL


def onwards(priority: int) -> int:
    """The priority of what follows a step: what has begun is finished before more is begun."""
    return min(priority + 1, 99)
