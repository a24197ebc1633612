"""`FrameLog`: each frame as a line of the log, at DEBUG."""

from __future__ import annotations

import logging
from typing import Any

from ..rpc.endpoint import Endpoint
from ..secrets import mask_secrets
from .frame import Frame

__all__ = ["FrameLog"]

#: In characters. Of a longer frame only the beginning is looked at for secrets, and shown: a line is short.
_LONG, _BEGINNING = 20_000, 2_000


class FrameLog:
    """Logs the frames of an endpoint, without their secrets, while its logger takes lines at DEBUG.

    A logger without the method ``isEnabledFor`` gets no frames: nothing else tells whether it wants them.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def is_on(self) -> bool:
        """Tell whether frames are logged just now. Each frame asks."""
        log: Any = self._endpoint.log
        try:
            return bool(log.isEnabledFor(logging.DEBUG))
        except AttributeError:
            return False

    def write(self, frame: Frame) -> None:
        """Log ``frame``."""
        text = mask_secrets(frame.text if len(frame.text) <= _LONG else frame.text[:_BEGINNING])
        about = {"client_id": frame.client_id, "action": frame.action, "message_id": frame.message_id}
        log = self._endpoint.safe_log
        if frame.sent:
            log.debug("%s: %s: %s", frame.client_id, frame.direction, text, **about)
        else:
            log.debug("%s: failed to write: %s (%s)", frame.client_id, text, frame.error, **about)
