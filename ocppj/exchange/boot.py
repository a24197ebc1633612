"""What a BootNotification is, how it is answered, and what a server remembers of that: `Boots`.

Until its BootNotification is accepted, a charge point sends nothing else, stored messages included (OCPP 1.6 edition 2
section 4.2; OCPP 2.x Part 2, B01.FR.08, B02, B03).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from enum import Enum
from typing import Any, Callable, Mapping, NamedTuple, Optional

__all__ = ["ACCEPTED", "BOOT_NOTIFICATION", "PENDING", "REJECTED", "Boots", "boot_status"]

BOOT_NOTIFICATION = "BootNotification"
ACCEPTED, PENDING, REJECTED = "Accepted", "Pending", "Rejected"

_STATUSES = {status.lower(): status for status in (ACCEPTED, PENDING, REJECTED)}

# Clients that a server remembers at most, beside those that are connected.
_CAPACITY = 100_000


def boot_status(response: Any) -> Optional[str]:
    """Return the status that a BootNotification was answered with: "Accepted", "Pending" or "Rejected".

    ``response`` is typed, or a JSON object. A lenient check lets any value through: upper and lower case are the same
    here, and what is no status is ``None``.
    """
    status = response.get("status") if isinstance(response, Mapping) else getattr(response, "status", None)
    if isinstance(status, Enum):
        status = status.value
    return _STATUSES.get(status.strip().lower()) if isinstance(status, str) else None


class _Boot(NamedTuple):
    """Each note is a new object, so that two of the same status are told apart."""

    status: Optional[str]  # ``None``: the client has not booted here, and something else of it was handled


class _Change(NamedTuple):
    client_id: str
    before: Optional[_Boot]
    now: Optional[_Boot]


class Boots:
    """How a server answered the last BootNotification of each client, over any connection. Thread-safe.

    A reconnect needs no new boot, so the answers outlive connections. Of more than ``capacity`` clients, the
    one whose answer is the oldest is forgotten. A client that is connected is not: it need not boot again.

    Args:
        is_connected: Tells whether that client is connected. Called with the lock held.
        watcher: Called as ``f(client_id)`` when `has_booted` may have changed. ``None``: nothing depends on it.
    """

    def __init__(
        self,
        is_connected: Callable[[str], bool],
        watcher: Optional[Callable[[str], object]] = None,
        capacity: int = _CAPACITY,
    ) -> None:
        self._is_connected = is_connected
        self.watcher = watcher
        self._capacity = capacity
        self._lock = threading.Lock()
        self.by_id: "OrderedDict[str, _Boot]" = OrderedDict()  # oldest first; read without the lock

    def status(self, client_id: str) -> Optional[str]:
        """Return "Accepted", "Pending" or "Rejected"; ``None`` if it has sent no BootNotification here."""
        boot = self.by_id.get(client_id)
        return None if boot is None else boot.status

    def has_booted(self, client_id: str) -> bool:
        """Tell whether its boot was accepted, here or, as it seems, by an earlier process: see `written`."""
        boot = self.by_id.get(client_id)
        return boot is not None and boot.status in (ACCEPTED, None)

    def answer(self, client_id: str, response: object) -> _Change:
        """Note that ``response`` answers a BootNotification. If it has no status, the last one stays.

        To be called before it is written: the peer may send its next request at once, and another thread handle it.
        """
        status = boot_status(response)
        with self._lock:
            before = self.by_id.get(client_id)
            now = before if status is None else _Boot(status)
            self._put(client_id, now)
        return _Change(client_id, before, now)

    def hold(self, change: _Change) -> None:
        """Tell the watcher of an answer before it is written, if the client has not booted by it.

        What waits for the boot would else go out just behind the answer.
        """
        if change.now is not None and change.now.status in (PENDING, REJECTED):
            self._tell(change.client_id)

    def take_back(self, change: _Change) -> None:
        """Forget an answer that could not be written, unless another came since, over a newer connection."""
        client_id, before, now = change
        with self._lock:
            if self.by_id.get(client_id) is not now:
                return
            self._put(client_id, before)
        self._tell(client_id)  # the client may have connected anew in between, and was taken for booted

    def written(self, client_id: str, is_boot: bool) -> None:
        """Note that the answer to a request was written, and was no error; tell the watcher.

        A client of which nothing is known has booted before: by the rules it sends nothing but a BootNotification until
        that is accepted (1.6 edition 2 section 4.2; B01.FR.08).
        """
        with self._lock:
            if not is_boot and client_id not in self.by_id:
                self._put(client_id, _Boot(None))
        self._tell(client_id)

    def _tell(self, client_id: str) -> None:
        if self.watcher is not None:
            self.watcher(client_id)

    def _put(self, client_id: str, boot: Optional[_Boot]) -> None:
        """Lock held."""
        self.by_id.pop(client_id, None)
        while len(self.by_id) >= self._capacity:
            oldest = next(iter(self.by_id))
            if self._is_connected(oldest):
                self.by_id.move_to_end(oldest)  # the next time the next one is looked at
                break
            del self.by_id[oldest]
        if boot is not None:
            self.by_id[client_id] = boot
