"""What an operator is told whose request is refused; `status` for HTTP, `exit_code` for the command line.

OperationRefused         409: it cannot be done as things are
 ├─ NoSuchStep           404: nothing is known of a step with this id
 ├─ WrongRequest         400: an option, a name or a body that cannot be meant
 └─ NotAllowed           401, 403: who asks may not, or asks from another site
"""

from __future__ import annotations

from collections.abc import Mapping

from refsys.core.errors import RefsysError


class OperationRefused(RefsysError):
    """It cannot be done as things are; nothing was changed."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        subject: str = "",
        advice: str = "",
        status: int = 409,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, subject=subject, advice=advice)
        self.status = status
        self.headers = dict(headers or {})


class NoSuchStep(OperationRefused):
    """Nothing is known of a step with this id."""

    def __init__(self, step_id: int) -> None:
        super().__init__(
            "there is no such step",
            subject=f"step {step_id}",
            advice="finished steps are forgotten after work.keep_days; `refsys parked list` shows the parked ones",
            status=404,
        )


class WrongRequest(OperationRefused):
    """An option, a name or a body that cannot be meant."""

    exit_code = 2

    def __init__(self, message: str, *, subject: str = "", advice: str = "", status: int = 400) -> None:
        super().__init__(message, subject=subject, advice=advice, status=status)


class NotAllowed(OperationRefused):
    """Who asks may not, or asks from another site."""

    def __init__(self, message: str, *, advice: str = "", status: int = 403) -> None:
        headers = {"WWW-Authenticate": 'Bearer realm="operations"'} if status == 401 else None
        super().__init__(message, advice=advice, status=status, headers=headers)
