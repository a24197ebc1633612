"""GetLog and LogStatusNotification (Part 2, N01)."""

from __future__ import annotations

from typing import Any, Optional

from ..core import Core
from .block import Block2

__all__ = ["Logs"]


class Logs(Block2):
    """Uploads of logs."""

    def __init__(self, core: Core, types: Any) -> None:
        super().__init__(core, types)
        core.on(types.GetLogRequest, self.get)

    def get(self, request: Any) -> Any:
        """Begin with an upload. It takes the place of one that is under way (N01.FR.12, FR.20)."""
        status = "AcceptedCanceled" if self.core.log.is_running else "Accepted"
        self.core.post(lambda: self.core.log.begin(request.request_id, "AcceptedCanceled"))
        name = f"{self.core.client.id}-{request.log_type}-{request.request_id}.log"
        return self.types.GetLogResponse(status=status, filename=name[-255:])

    def report(self, status: str, request_id: Optional[int]) -> None:
        """Report a status. It is kept while there is no connection."""
        self.core.send(self.types.LogStatusNotificationRequest(status=status, request_id=request_id), keep=True)

    def report_present(self) -> None:
        """Report the present status: it was asked for (F06.FR.14, FR.15)."""
        log = self.core.log
        request = self.types.LogStatusNotificationRequest(
            status="Uploading" if log.is_running else "Idle", request_id=log.request_id if log.is_running else None
        )
        self.core.send(request, before_boot=True)
