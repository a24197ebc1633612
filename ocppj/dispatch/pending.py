"""Which request is pending, that is: sent, and not answered yet. One per direction and connection.

`PendingRequestState` is one peer's, `ServerState` holds one per client. A dispatcher writes them; the endpoint reads
them to know which type an answer has.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, Optional, Tuple

__all__ = ["PendingRequestState", "ServerState"]


class PendingRequestState:
    """The pending request of one peer: at most one. Thread-safe; calls nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held to change what is read without it, for it is one object
        self._pending: Optional[Tuple[str, Any]] = None  # (message id, request)

    def add(self, message_id: str, request: Any) -> None:
        """Make ``request`` the pending one. Ignored while another one is pending."""
        with self._lock:
            if self._pending is None:
                self._pending = message_id, request

    def get(self, message_id: str) -> Optional[Any]:
        """Return the pending request of that id, or ``None``."""
        pending = self._pending
        return pending[1] if pending is not None and pending[0] == message_id else None

    def delete(self, message_id: str) -> None:
        """Forget the pending request of that id; any other id does nothing."""
        with self._lock:
            if self._pending is not None and self._pending[0] == message_id:
                self._pending = None

    def clear(self) -> None:
        """Forget the pending request; an answer to it will be ignored."""
        with self._lock:
            self._pending = None

    def has(self) -> bool:
        """Tell whether a request is pending."""
        return self._pending is not None


class ServerState:
    """The pending requests of a server: a `PendingRequestState` per client. Thread-safe; calls nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: Dict[str, PendingRequestState] = {}

    def get_client_state(self, client_id: str) -> PendingRequestState:
        """Return the state of that client, made when it is first asked for."""
        state = self._clients.get(client_id)  # as it nearly always is: then the lock need not be asked for
        if state is not None:
            return state
        with self._lock:
            return self._clients.setdefault(client_id, PendingRequestState())

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
