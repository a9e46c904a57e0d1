"""The errors every floor speaks.

RefsysError                     anything this system reports to a person
 ├─ ConfigurationError          a setting or table is wrong; nothing was started
 ├─ Transient                   the cause may pass by itself: the step goes back with back-off
 │   ├─ Unreachable             a peer cannot be reached, or fails for everything: what was asked for is not to blame
 │   │   └─ Overloaded          it asked for patience (429, 503, Retry-After)
 │   └─ NotYet                  what was asked for is not there yet, and will be
 └─ Permanent                   trying again cannot help: the step is parked at once
     ├─ Gone                    what was asked for is no longer there
     ├─ UnknownProduct          no product type's pattern matches the name
     ├─ InvalidProduct          what arrived contradicts itself, its manifest or its announcement
     │   └─ NotAsAnnounced      it has another size than was announced
     └─ HostileInput            what arrived tries to leave its folder, exhaust memory or reach out

Where the cause is known decides which one is raised (`Transient` or `Permanent`); callers never guess.
"""

from __future__ import annotations


class RefsysError(Exception):
    """What happened, to what, and what to do.

    `subject` names the product, file, inbox or request; `advice` says what an operator can do.
    """

    def __init__(self, message: str, *, subject: str = "", advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.subject = subject
        self.advice = advice

    def __str__(self) -> str:
        text = f"{self.subject}: {self.message}" if self.subject else self.message
        return f"{text} ({self.advice})" if self.advice else text


class ConfigurationError(RefsysError):
    """A setting, table or command line is wrong; nothing was started."""


class Transient(RefsysError):
    """The cause may pass by itself; the step is tried again with back-off and jitter."""

    def __init__(
        self, message: str, *, subject: str = "", advice: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, subject=subject, advice=advice)
        self.retry_after_s = retry_after_s


class Unreachable(Transient):
    """A peer cannot be reached, or fails for everything: nothing that was asked for is to blame."""


class Overloaded(Unreachable):
    """A peer asked for patience; `retry_after_s` is what it asked for, where it said."""


class NotYet(Transient):
    """What was asked for is not there yet, and will be; `retry_after_s` is when to ask again."""


class Permanent(RefsysError):
    """Trying again cannot help; the step is parked at once."""


class Gone(Permanent):
    """What was asked for is no longer there."""


class UnknownProduct(Permanent):
    """No product type's name pattern matches."""


class InvalidProduct(Permanent):
    """What arrived contradicts itself, its manifest or its announcement."""


class NotAsAnnounced(InvalidProduct):
    """What arrived has another size than was announced."""


class HostileInput(Permanent):
    """What arrived tries to leave its folder, to exhaust memory or to reach out."""
