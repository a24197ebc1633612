"""The requests of one client in the file of a durable queue, and their mirror in memory: `StoredQueue`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime
from typing import Dict, List, NamedTuple, Optional, Tuple

from ..dispatch.queues import Decoder, RequestBundle, RequestQueue
from ..errors import MessageError, NotRunning, QueueFull, UsageError, printable
from ..rpc.messages import parse_json_message
from ..settings import get_logger
from .database import RequestFile, Row
from .group_commit import Push

__all__ = ["SetAside", "StoredQueue", "checked_capacity", "list_set_aside", "no_decoder", "take_aside"]


#: Requests that were set aside, and why.
Refused = List[Tuple[Row, str]]


class SetAside(NamedTuple):
    """A request that was set aside, because it could not be read or was given up for good.

    ``client_id`` is ``None`` in the file of a client; ``action`` is that of the CALL ``data``, which is kept as it was;
    ``version`` is "1.6", "2.0.1" or "2.1"; ``time`` is when it was set aside, in UTC.
    """

    client_id: Optional[str]
    message_id: str
    action: str
    version: str
    data: str
    reason: str
    time: datetime


class StoredQueue(RequestQueue):
    """The requests of one client in ``file``, and their mirror in memory."""

    durable = True

    def __init__(self, file: RequestFile, client_id: Optional[str], capacity: int) -> None:
        self._file = file
        self._client_id = client_id
        self._capacity = checked_capacity(capacity)
        self._decode: Optional[Decoder] = None
        self._lock = threading.Lock()  # guards what is below; taken inside the file's lock, never around it
        self._bundles: "OrderedDict[int, RequestBundle]" = OrderedDict()
        self._numbers: Dict[str, List[int]] = {}  # by message id, which need not be unique here
        self._coming = 0  # requests that are being written
        self._taking = False

    def set_decoder(self, decode: Decoder) -> None:
        """Read the requests that an earlier process left with ``decode``."""
        self._decode = decode

    def init(self) -> None:
        """Fill the mirror from the file, and take requests from now on.

        A request that cannot be read is set aside. Raises `QueueFailed`, and `UsageError` when there are requests and
        no decoder.
        """
        self.report(*self.revive())

    def revive(self) -> Tuple[int, Refused]:
        """Do as `init`, but leave it to `report` to log that: return how many requests wait, and what was set aside."""
        self.discard()  # else what is pushed from here on would be missing in the mirror
        bundles, refused = [], []
        for row in self._file.rows(self._client_id):
            if self._decode is None:
                raise no_decoder(self._file)
            try:
                bundles.append((row.seq, RequestBundle(self._decode(row.version, row.data), row.data, row.version)))
            except Exception as error:
                refused.append((row, f"it cannot be read: {error}"))
        for row, reason in refused:
            self._file.set_aside(row.seq, reason)
        with self._lock:
            for seq, bundle in bundles:
                self._add(seq, bundle)
            self._taking = True
        return len(bundles), refused

    def report(self, revived: int, refused: Refused) -> None:
        """Log what `revive` returned."""
        if revived:
            get_logger().info("%s: %d requests%s wait since earlier", self._file.path, revived, self._whose())
        for row, reason in refused:
            what = f"{row.message_id!r}{self._whose()} ({_action(row.data)}, OCPP {row.version or 'of no version'})"
            words = "%s: request %s was set aside, and is not sent: %s"
            get_logger().error(words, self._file.path, printable(what), printable(reason))

    def push(self, bundle: RequestBundle) -> None:
        """Write ``bundle`` to disk and add it at the end. Waits for the disk; requests pushed at once share a sync.

        Raises `QueueFull`, `QueueFailed` when it could not be written, and `NotRunning` before `init` and after
        `discard`; it has not been taken then.
        """
        push = Push(self._client_id, bundle, self._admit, self._settle)
        self._file.insert(push)
        if push.error is not None:
            raise push.error

    def peek(self) -> Optional[RequestBundle]:
        """Return the head, or ``None``."""
        with self._lock:
            return next(iter(self._bundles.values()), None)

    def pop(self) -> Optional[RequestBundle]:
        """Remove and return the head, or ``None``. A disk that fails is logged: the request may be sent again."""
        with self._lock:
            taken = self._take(next(iter(self._bundles), None))
        return self._delete(taken)

    def remove(self, message_id: str) -> Optional[RequestBundle]:
        """Remove and return the request of that id, or ``None``. A disk that fails is logged, as in `pop`."""
        with self._lock:
            taken = self._take(next(iter(self._numbers.get(message_id, ())), None))
        return self._delete(taken)

    def set_aside(self, message_id: str, reason: str) -> Optional[RequestBundle]:
        """Take the request of that id out, keep it apart in the file, and return it; ``None`` when there is none.

        Who does this logs why, for a lock may be held here. A disk that fails is logged, as in `pop`.
        """
        with self._lock:
            taken = self._take(next(iter(self._numbers.get(message_id, ())), None))
        if taken is None:
            return None
        self._file.set_aside(taken[0], reason)
        return taken[1]

    def bundles(self) -> List[RequestBundle]:
        """Return what is in the queue, in order."""
        with self._lock:
            return list(self._bundles.values())

    def discard(self) -> List[RequestBundle]:
        """Forget the mirror, keep the rows, and take no more until `init`. Returns nothing."""
        with self._lock:
            self._taking = False
            self._bundles.clear()
            self._numbers.clear()
        return []

    def __len__(self) -> int:
        """Return how many requests are in the queue."""
        with self._lock:
            return len(self._bundles)

    def is_full(self) -> bool:
        """Tell whether the queue holds ``capacity`` requests."""
        with self._lock:
            return self._full()

    def is_empty(self) -> bool:
        """Tell whether there is nothing in the queue."""
        return len(self) == 0

    def _whose(self) -> str:
        return "" if self._client_id is None else f" for {self._client_id}"

    def _full(self) -> bool:
        return 0 < self._capacity <= len(self._bundles) + self._coming

    def _admit(self) -> None:
        with self._lock:
            if not self._taking:
                raise NotRunning(f"the queue in {self._file.path} is not open")
            if self._full():
                raise QueueFull(f"the queue holds {self._capacity} requests, all it may")
            self._coming += 1

    def _settle(self, bundle: RequestBundle, seq: Optional[int]) -> None:
        with self._lock:
            self._coming -= 1
            if seq is not None and self._taking:  # else it waits in the file for the next `init`
                self._add(seq, bundle)

    def _add(self, seq: int, bundle: RequestBundle) -> None:
        self._bundles[seq] = bundle
        self._numbers.setdefault(bundle.message_id, []).append(seq)

    def _take(self, seq: Optional[int]) -> Optional[Tuple[int, RequestBundle]]:
        if seq is None:
            return None
        bundle = self._bundles.pop(seq)
        numbers = self._numbers[bundle.message_id]
        numbers.remove(seq)
        if not numbers:
            del self._numbers[bundle.message_id]
        return seq, bundle

    def _delete(self, taken: Optional[Tuple[int, RequestBundle]]) -> Optional[RequestBundle]:
        if taken is None:
            return None
        self._file.delete(taken[0])
        return taken[1]


def checked_capacity(capacity: int) -> int:
    """Return ``capacity``. Raises `ValueError`."""
    if capacity < 0:
        raise ValueError("the capacity must not be negative; 0 means no limit")
    return capacity


def no_decoder(file: RequestFile) -> UsageError:
    """Return the error that says what is missing."""
    return UsageError(f"{file.path} holds requests that cannot be read: set_decoder() comes first")


def _action(text: str) -> str:
    try:
        return str(parse_json_message(text)[2])
    except (MessageError, IndexError):
        return "no CALL"


def list_set_aside(file: RequestFile) -> List[SetAside]:
    """Return what was set aside in ``file``, oldest first."""
    return [
        SetAside(
            row.client_id,
            row.message_id,
            _action(row.data),
            row.version,
            row.data,
            row.reason,
            datetime.fromisoformat(row.time),
        )
        for row in file.aside()
    ]


def take_aside(file: RequestFile, client_id: Optional[str], message_id: str, put_back: bool) -> None:
    """Forget what was set aside, or put it back into the queue. Raises `UsageError` when there is no such request."""
    try:
        found = file.take_aside(client_id, message_id, put_back)
    except UnicodeError:  # no text that could be in the file
        found = False
    if not found:
        whose = "" if client_id is None else f" of client {client_id!r}"
        raise UsageError(f"no request {message_id!r}{whose} was set aside in {file.path}")
