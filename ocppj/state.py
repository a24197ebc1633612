"""Which request is pending, that is: sent, and not answered yet. One per direction and connection.

`PendingRequestState` is one peer's, `ServerState` holds one per client. A dispatcher writes them; the endpoint reads
them to know which type an answer has.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, Optional

__all__ = ["PendingRequestState", "ServerState"]


class PendingRequestState:
    """The pending request of one peer: at most one. Thread-safe; calls nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._message_id: Optional[str] = None
        self._request: Any = None

    def add(self, message_id: str, request: Any) -> None:
        """Make ``request`` the pending one. Ignored while another one is pending."""
        with self._lock:
            if self._message_id is None:
                self._message_id, self._request = message_id, request

    def get(self, message_id: str) -> Optional[Any]:
        """Return the pending request of that id, or ``None``."""
        with self._lock:
            return self._request if self._message_id == message_id else None

    def delete(self, message_id: str) -> None:
        """Forget the pending request of that id; any other id does nothing."""
        with self._lock:
            if self._message_id == message_id:
                self._message_id = self._request = None

    def clear(self) -> None:
        """Forget the pending request; an answer to it will be ignored."""
        with self._lock:
            self._message_id = self._request = None

    def has(self) -> bool:
        """Tell whether a request is pending."""
        with self._lock:
            return self._message_id is not None


class ServerState:
    """The pending requests of a server: a `PendingRequestState` per client. Thread-safe; calls nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: Dict[str, PendingRequestState] = {}

    def get_client_state(self, client_id: str) -> PendingRequestState:
        """Return the state of that client, made when it is first asked for."""
        with self._lock:
            state = self._clients.get(client_id)
            if state is None:
                state = self._clients[client_id] = PendingRequestState()
            return state

    def has(self, client_id: Optional[str] = None) -> bool:
        """Tell whether a request to that client is pending; without an id, to any client."""
        with self._lock:
            states = list(self._clients.values()) if client_id is None else [self._clients.get(client_id)]
        return any(state is not None and state.has() for state in states)

    def clear_client(self, client_id: str) -> None:
        """Forget that client and its pending request."""
        with self._lock:
            state = self._clients.pop(client_id, None)
        if state is not None:
            state.clear()

    def clear(self) -> None:
        """Forget every client."""
        with self._lock:
            states = list(self._clients.values())
            self._clients.clear()
        for state in states:
            state.clear()
