"""`Requests`: the requests that came of late, for the command ``expect``."""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import Any, Deque, NamedTuple, Optional, Sequence

from ..control.fields import write_fields
from ..events import Condition
from ..exchange.frame import Frame

__all__ = ["Requests"]

_MOST = 1000
_LONGEST = 16 * 1024  # characters of a frame whose fields are remembered


class _Request(NamedTuple):
    number: int
    client_id: str
    action: str
    text: str  # the frame; "" if it is long

    def has(self, fields: Sequence[str]) -> bool:
        """Tell whether its payload has these fields, each written ``name=value``."""
        if not fields:
            return True
        payload = _payload_of(self.text)
        return isinstance(payload, dict) and set(fields) <= set(write_fields(payload))


def _payload_of(text: str) -> Any:
    try:
        return json.loads(text)[3]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


class Requests:
    """An observer of a server, which remembers the last 1,000 requests of its clients. Any thread may use it."""

    def __init__(self) -> None:
        self._changed = Condition(threading.Lock())  # guards the fields below
        self._known: Deque[_Request] = deque(maxlen=_MOST)
        self._count = 0
        self._expected_up_to = 0

    def __call__(self, frame: Frame) -> None:
        """Note a frame."""
        if frame.direction != "in" or frame.kind not in ("CALL", "SEND"):
            return
        action, text = frame.action or "", frame.text if len(frame.text) <= _LONGEST else ""
        with self._changed:
            self._count += 1
            self._known.append(_Request(self._count, frame.client_id, action, text))
            self._changed.notify_all()

    def forget(self) -> None:
        """Expect only what comes from now on."""
        with self._changed:
            self._expected_up_to = self._count

    def expect(
        self, action: str, client_id: Optional[str], seconds: float, fields: Sequence[str] = ()
    ) -> Optional[str]:
        """Wait for a request that came after the last one that was expected, and return the id of its client.

        Args:
            action: Its action.
            client_id: Its client. ``None``: any.
            seconds: How long to wait.
            fields: What its payload has, such as ``status=Charging``. One of more than 16,384 characters has none.

        Returns:
            ``None`` if it has not come.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._find(action, client_id, fields), seconds)
            found = self._find(action, client_id, fields)
            if found is None:
                return None
            self._expected_up_to = found.number
            return found.client_id

    def _find(self, action: str, client_id: Optional[str], fields: Sequence[str]) -> Optional[_Request]:
        for each in self._known:
            is_new = each.number > self._expected_up_to
            if is_new and each.action == action and client_id in (None, each.client_id) and each.has(fields):
                return each
        return None
