"""PublishFirmware, UnpublishFirmware and PublishFirmwareStatusNotification (Part 2, L03 and L04)."""

from __future__ import annotations

from functools import partial
from typing import Any, Optional

from ..core import Core
from ..scheduler import Handle
from .block import Block2

__all__ = ["Publishing"]

_PHASES = ("Downloading", "Downloaded", "ChecksumVerified", "Published")


class Publishing(Block2):
    """Publishes firmware, as a local controller does. Nothing is downloaded.

    Attributes:
        phase_seconds: How long a phase takes, in simulated seconds.
        status: The last status that was reported.
    """

    def __init__(self, core: Core, types: Any) -> None:
        super().__init__(core, types)
        self.phase_seconds: float = 60.0
        self.status: str = "Idle"
        self._request: Any = None  # the last PublishFirmware
        self._timer: Optional[Handle] = None
        core.on(types.PublishFirmwareRequest, self.publish)
        core.on(types.UnpublishFirmwareRequest, self.unpublish)

    @property
    def _is_downloading(self) -> bool:
        return self._timer is not None and self._timer.pending

    def publish(self, request: Any) -> Any:
        if self._is_downloading:
            return self.types.PublishFirmwareResponse(status="Rejected")
        self._request = request
        self.core.post(partial(self._go_on, 0))
        return self.types.PublishFirmwareResponse(status="Accepted")

    def unpublish(self, request: Any) -> Any:
        """Take back what is published (L04.FR.02 to FR.04)."""
        if self._request is None or request.checksum != self._request.checksum:
            return self.types.UnpublishFirmwareResponse(status="NoFirmware")
        if self._is_downloading:
            return self.types.UnpublishFirmwareResponse(status="DownloadOngoing")
        self._request, self.status = None, "Idle"
        return self.types.UnpublishFirmwareResponse(status="Unpublished")

    def report_present(self) -> None:
        """Report the present status: it was asked for. "Idle" after "Published" (L03.FR.10)."""
        self._report("Idle" if self.status == "Published" else self.status, before_boot=True)

    def _go_on(self, phase: int) -> None:
        self.status = _PHASES[phase]
        self._report(self.status)
        if phase + 1 < len(_PHASES):
            self._timer = self.core.time.call_later(self.phase_seconds, partial(self._go_on, phase + 1))

    def _report(self, status: str, before_boot: bool = False) -> None:
        location = [self._request.location] if status == "Published" else None  # L03.FR.04
        request = self.types.PublishFirmwareStatusNotificationRequest(
            status=status, location=location, request_id=None if status == "Idle" else self._request.request_id
        )
        self.core.send(request, keep=not before_boot, before_boot=before_boot)
