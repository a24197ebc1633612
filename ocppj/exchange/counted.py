"""`CountedDispatcher`: notes that a thread works while it sends requests.

The thread that ends one request sends the next, or leaves that to a thread that is writing just then. So a thread of
the program may have a request in its hands that nothing else knows of.
"""

from __future__ import annotations

from typing import Optional

from ..activity import ActivityLike
from ..dispatch.queues import RequestBundle
from ..errors import CallFailed
from .caller import PeerDispatcher

__all__ = ["CountedDispatcher"]


class CountedDispatcher:
    """A `PeerDispatcher` whose work is noted in an ``activity``."""

    def __init__(self, dispatcher: PeerDispatcher, activity: ActivityLike) -> None:
        self._dispatcher = dispatcher
        self._activity = activity

    @property
    def durable(self) -> bool:
        return self._dispatcher.durable

    def send_request(self, client_id: str, bundle: RequestBundle) -> None:
        with self._activity:
            self._dispatcher.send_request(client_id, bundle)

    def complete_request(self, client_id: str, message_id: str) -> Optional[bool]:
        with self._activity:
            return self._dispatcher.complete_request(client_id, message_id)

    def cancel_request(self, client_id: str, message_id: str, error: CallFailed) -> bool:
        with self._activity:
            return self._dispatcher.cancel_request(client_id, message_id, error)

    def has_request(self, client_id: str, message_id: str) -> bool:
        return self._dispatcher.has_request(client_id, message_id)

    def settle_request(self, client_id: str, message_id: str, told: bool = True) -> None:
        self._dispatcher.settle_request(client_id, message_id, told)
