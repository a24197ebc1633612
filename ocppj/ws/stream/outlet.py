"""The writing side of a connection, for threads that write from its buffer on behalf of others."""

from __future__ import annotations

from typing import NamedTuple, Optional, Protocol

__all__ = ["Outlet", "Unsent"]


class Unsent(NamedTuple):
    """The bytes that a write buffer still has."""

    deadline: float  #: of `time.monotonic`, by which they must be written
    writable: bool  #: whether they wait for the network to take them; false if they wait for input (TLS) or `uncork`


class Outlet(Protocol):
    """The writing side of a `Stream`. For any thread."""

    @property
    def unsent(self) -> bool:
        """Whether the write buffer has bytes."""

    def hold(self) -> int:
        """Return the file descriptor, kept open until `let_go`; -1 if it is closed: nothing is held then."""

    def let_go(self) -> None:
        """Undo `hold`."""

    def flush(self) -> Optional[Unsent]:
        """Write what the network takes now, or break the connection if bytes are overdue; return what is left."""

    def shutdown(self) -> None:
        """End the connection, and wake all threads that wait on it."""
