"""`FrameLog`: each frame as a line of the log, at DEBUG."""

from __future__ import annotations

import logging
from typing import Callable, Optional

from ..rpc.endpoint import Endpoint
from ..settings import LoggerLike, process
from .frame import Frame

__all__ = ["FrameLog"]


def _never(level: int) -> bool:
    return False


class FrameLog:
    """Logs the frames of an endpoint, without their secrets, while its logger takes lines at DEBUG.

    A logger without the method ``isEnabledFor`` gets no frames: nothing else tells whether it wants them.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._asked: Optional[LoggerLike] = None  # the logger that `_is_enabled` is of
        self._is_enabled: Callable[[int], bool] = _never

    def is_on(self) -> bool:
        """Tell whether frames are logged just now. Each frame asks: it is one call and that of the logger."""
        if self._asked is not process.logger:
            self._asked = process.logger
            self._is_enabled = getattr(self._endpoint.log, "isEnabledFor", _never)
        return self._is_enabled(logging.DEBUG)

    def write(self, frame: Frame) -> None:
        """Log ``frame``."""
        text = frame.text  # the log masks secrets in all that it writes
        about = {"client_id": frame.client_id, "action": frame.action, "message_id": frame.message_id}
        log = self._endpoint.safe_log
        if frame.sent:
            log.debug("%s: %s: %s", frame.client_id, frame.direction, text, **about)
        else:
            log.debug("%s: failed to write: %s (%s)", frame.client_id, text, frame.error, **about)
