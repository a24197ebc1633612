"""Request queues that outlive the process, wherever they are stored: the requests of a client, and those of a server.

`StoredQueue` is a copy in memory of what a `Requests` has of one client, and `StoredQueueMap` has the queues of all
clients. `ocppj.storage.database` stores them in a file, `ocppj.cluster.redis.requests` on Redis. ``docs/durable.md``
has what is promised, ``docs/design.md`` the order of the locks.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from datetime import datetime, timezone
from functools import partial
from typing import Callable, ContextManager, Dict, List, NamedTuple, Optional, Protocol, Sequence, Set, Tuple

from ..dispatch.overflow import choose_victim
from ..dispatch.queues import (
    Decoder,
    Overflow,
    OverflowPolicy,
    QueueOwner,
    RequestBundle,
    RequestQueue,
    ServerQueueMap,
    policy_of,
)
from ..errors import (
    CallCanceled,
    MessageTooLarge,
    NotRunning,
    OcppjError,
    QueueFailed,
    QueueFull,
    UsageError,
    printable,
)
from ..log_limit import SafeLog
from ..settings import LoggerLike
from .database import Row, SetAside, action_of
from .group_commit import PendingInsert

__all__ = ["Loading", "Requests", "SetAside", "StoredQueue", "StoredQueueMap", "StoredRequest", "missing_decoder"]

#: What stands for the number of a row, from here on, for requests that are in memory alone: see ``on_lost``.
_IN_MEMORY = 2**62

#: Requests that were set aside, and why.
Refused = List[Tuple[Row, str]]


class StoredRequest(NamedTuple):
    """A request in the file of a server that has not ended.

    ``version`` is "1.6", "2.0.1" or "2.1". ``since`` is when it was stored, in UTC, and ``None`` in files that an older
    version of this library wrote. ``expires`` is when it ends at the latest, in UTC, or ``None``. ``state`` is
    "pending" when it was sent and its answer is awaited, else "waiting".
    """

    message_id: str
    action: str
    client_id: str
    version: str
    since: Optional[datetime]
    expires: Optional[datetime]
    state: str


class Requests(Protocol):
    """Where requests are stored: a `RequestDatabase`, for example. Methods without a word here are described there.

    Those that note a removal (`delete`, `detach`, `settle`, `set_aside`) never wait.
    """

    #: What log lines call it.
    path: str
    safe_log: SafeLog
    #: Whether several processes share the requests: one of them sends what another has stored.
    shared: bool

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str]) -> None: ...

    def open(self) -> None: ...

    def close(self) -> None: ...

    def is_open(self) -> bool: ...

    def is_lost(self, error: Optional[BaseException]) -> bool:
        """Tell whether ``error`` says that it cannot be used for a while, or for ever."""

    def rows(self, client_id: Optional[str]) -> List[Row]: ...

    def load(self, queue: "StoredQueue", client_id: Optional[str]) -> List[Row]:
        """Return the rows of that client, as `rows`. ``queue`` is a copy of them from now on.

        Where several processes share the requests, it gets a `StoredQueue.place` if it has none.
        """

    def unload(self, queue: "StoredQueue", client_id: Optional[str]) -> None:
        """Note that ``queue`` is a copy of the rows no more. Never waits."""

    def all_rows(self) -> List[Row]: ...

    def rows_of_message(self, message_id: str) -> List[Row]: ...

    def expired_rows(self, now: float) -> List[Row]: ...

    def next_expiry(self, now: float) -> Optional[float]: ...

    def insert(self, *inserts: PendingInsert) -> None: ...

    def delete(self, seq: int) -> None: ...

    def detach(self, seq: int, client_id: Optional[str], message_id: str) -> None: ...

    def settle(self, client_id: Optional[str], message_id: str, told: bool = True) -> None: ...

    def detached_rows(self) -> Set[int]: ...

    def withdraw(self, row: Row) -> bool:
        """Detach a row of a client without a queue here. Return whether it was there. May wait."""

    def set_aside(self, seq: int, reason: str) -> None: ...

    def list_set_aside(self) -> List[SetAside]: ...

    def take_set_aside(self, client_id: Optional[str], message_id: str, put_back: bool) -> None: ...


class StoredQueue(RequestQueue):
    """The requests of one client in ``database``, and a copy of them in memory, which answers everything.

    With ``on_lost``, a request that cannot be written because the file is lost is in memory alone, and ``on_lost`` is
    called with the error. `discard` puts such requests into ``left``.

    Where several processes share the requests, a fragile one is in memory alone, too: stored, it would be sent by
    another process when its client comes there, although it has ended. `discard` returns such requests.
    """

    durable = True

    def __init__(
        self,
        database: Requests,
        client_id: Optional[str],
        capacity: int,
        overflow: Optional[OverflowPolicy] = None,
        on_lost: Optional[Callable[[Exception], None]] = None,
    ) -> None:
        self._database = database
        self._on_lost = on_lost
        self.place = ""  # the id of this copy, where several processes share the requests; `Requests.load` gives it
        self.left: List[RequestBundle] = []
        self._next_in_memory = _IN_MEMORY
        self._client_id = client_id
        self._capacity = capacity
        self.overflow = overflow
        self._decode: Optional[Decoder] = None
        self._lock = threading.Lock()  # guards the fields below; taken inside the database's lock, never around it
        self._bundles: "OrderedDict[int, RequestBundle]" = OrderedDict()  # by the number of the row
        self._numbers: Dict[str, List[int]] = {}  # by message id, which need not be unique here
        self._leaving: Dict[int, RequestBundle] = {}  # taken out, until the database has been told
        self._claims: Dict[int, int] = {}  # the ident of the thread that takes each of them out
        self._displaced: Dict[int, RequestBundle] = {}  # taken out, while those in their place are being written
        self._inserting: Set[RequestBundle] = set()  # are being written, without those in the place of others
        self._after: Dict[int, int] = {}  # of each fragile request in memory alone, the number that it comes after
        self._ending: List[RequestBundle] = []  # fragile ones that `shut` took out
        self._open = False

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        self._database.set_logger(logger, client_id)

    def set_decoder(self, decode: Decoder) -> None:
        self._decode = decode

    def init(self) -> None:
        """Read the requests from the file, and take requests from now on."""
        self.report(*self.revive())

    def _after_fork(self) -> None:
        """Forget the copy in memory: the requests are the parent's. See `ocppj.forks`."""
        self._open = False
        self.left, self._ending = [], []
        for table in (self._bundles, self._numbers, self._displaced, self._leaving, self._claims, self._inserting):
            table.clear()
        self._after.clear()

    def revive(self) -> Tuple[int, Refused]:
        """Do as `init`, without the log. Return how many requests there are, and those that were set aside."""
        self.discard()  # otherwise the copy would lack what is pushed from here on
        with self._lock:
            for table in (self._displaced, self._leaving, self._claims):
                table.clear()
        bundles, refused = self._read(self._database.load(self, self._client_id))
        with self._lock:
            for seq, bundle in bundles:
                self._add(seq, bundle)
            self._open = True
        return len(bundles), refused

    def _read(self, rows: Sequence[Row]) -> Tuple[List[Tuple[int, RequestBundle]], Refused]:
        """Return the requests of ``rows`` with their numbers. Set those aside that cannot be read, and return them."""
        bundles, refused = [], []
        for row in rows:
            if self._decode is None:
                raise missing_decoder(self._database)
            try:
                bundles.append((row.seq, _bundle_of(row, self._decode)))
            except MessageTooLarge as error:
                refused.append((row, f"it cannot be sent: {error}"))
            except Exception as error:
                refused.append((row, f"it cannot be read: {error}"))
        for row, reason in refused:
            self._database.set_aside(row.seq, reason)
        return bundles, refused

    def go_on(self, bundles: Sequence[RequestBundle]) -> None:
        """Take requests from now on, also if `revive` failed: ``bundles`` are in memory alone."""
        with self._lock:
            for bundle in bundles:
                self._add_in_memory(bundle)
            self._open = True

    def report(self, revived: int, refused: Refused) -> None:
        """Log what `revive` returned."""
        path, whose = self._database.path, "" if self._client_id is None else f" for {self._client_id}"
        if revived:
            self._database.safe_log.info(
                "%s: %d requests%s wait since earlier", path, revived, whose, client_id=self._client_id
            )
        for row, reason in refused:
            what = f"{row.message_id!r}{whose} ({action_of(row.data)}, OCPP {row.version or 'of no version'})"
            words = "%s: request %s was set aside, and is not sent: %s"
            about = {"client_id": self._client_id, "action": action_of(row.data), "message_id": row.message_id}
            self._database.safe_log.error(words, path, printable(what), printable(reason), **about)

    def push(self, bundle: RequestBundle) -> None:
        """Write ``bundle`` to disk and add it at the end. Pushes at the same time share a sync.

        Raises:
            QueueFull: when there is no room.
            QueueFailed: when the request could not be written.
            NotRunning: before `init`, and after `close`.
        """
        self.push_past(bundle, 0)

    def push_past(self, bundle: RequestBundle, held: int) -> None:
        if not self._is_kept_here(bundle):
            self._insert(self.prepare(bundle, held))
            return
        with self._lock:
            self._check_room(held)
            self._add_fragile(bundle)

    def _is_kept_here(self, bundle: RequestBundle) -> bool:
        """Tell whether ``bundle`` is in memory alone, because no other process may send it."""
        return bundle.fragile and self._database.shared

    def _insert(self, insert: PendingInsert) -> None:
        self._database.insert(insert)
        self.check(insert)

    def check(self, insert: PendingInsert) -> None:
        """Raise why a request could not be written, unless it is kept in memory alone: see ``on_lost``."""
        if insert.error is None:
            return
        if self._on_lost is None or not self._database.is_lost(insert.error):
            raise insert.error
        with self._lock:
            self._check_open()
            self._add_in_memory(insert.bundle)
        self._on_lost(insert.error)

    def prepare(self, bundle: RequestBundle, held: int = 0) -> PendingInsert:
        """Return what `push`, or `push_past`, has the database insert."""
        admit = partial(self._admit, bundle, held)
        return PendingInsert(self._client_id, bundle, admit, self._finish, place=self.place)

    def stored(self) -> List[Tuple[int, RequestBundle]]:
        """Return its requests with the numbers of their rows, in order, without those that are in memory alone."""
        with self._lock:
            requests = list(self._bundles.items())
        return [each for each in requests if each[0] < _IN_MEMORY]

    def numbers(self) -> Set[int]:
        """Return the numbers of all rows that it has, or is just taking out."""
        with self._lock:
            return {*self._bundles, *self._displaced, *self._leaving}

    def merge(self, rows: Sequence[Row]) -> Tuple[List[RequestBundle], Refused]:
        """Add requests that another process has stored. Return them, and those that were set aside."""
        bundles, refused = self._read(rows)
        with self._lock:
            if not self._open:
                return [], refused
            for seq, bundle in bundles:
                self._add(seq, bundle)
        return [bundle for _, bundle in bundles], refused

    def drop(self, seq: int) -> None:
        """Take a request out that has ended in another process."""
        self._take_out(lambda: seq if seq in self._bundles else None, lambda seq: None)

    def bundle_at(self, seq: int) -> Optional[RequestBundle]:
        """Return the request of that row, or ``None``."""
        return self._bundles.get(seq)

    def has_row(self, seq: int) -> bool:
        """Tell whether the request of that row has not ended."""
        return seq in self._bundles or seq in self._displaced

    def displace(self, message_id: str) -> Optional[RequestBundle]:
        with self._lock:
            seq = next(iter(self._numbers.get(message_id, ())), None)
            bundle = self._take(seq)
            if seq is not None and bundle is not None:
                self._displaced[seq] = bundle
        return bundle

    def push_in_place(self, bundle: RequestBundle, displaced: RequestBundle) -> bool:
        """Write ``bundle`` and delete ``displaced``, in one transaction. Raises as `push`, but for `QueueFull`."""
        if self._is_kept_here(bundle):
            with self._lock:
                self._check_open()
                self._add_fragile(bundle)
            find = partial(self._number_of_displaced, displaced)
            return self._take_out(find, self._database.delete) is not None
        with self._lock:
            place = self._number_of_displaced(displaced)
        if place is None:
            self.push(bundle)  # it was canceled just now
            return False
        replacing = _Replacing(self, place)
        insert = PendingInsert(self._client_id, bundle, self._check_open, replacing.finish, place, self.place)
        try:
            self._database.insert(insert)
        finally:
            if insert.error is not None or not insert.ended:
                self._restore(place)
        if insert.error is not None:
            raise insert.error
        return replacing.dropped

    def _number_of_displaced(self, bundle: RequestBundle) -> Optional[int]:
        return next((seq for seq, each in self._displaced.items() if each is bundle), None)

    def peek(self) -> Optional[RequestBundle]:
        with self._lock:
            return next(iter(self._bundles.values()), None)

    def pop(self) -> Optional[RequestBundle]:
        return self._take_out(lambda: next(iter(self._bundles), None), self._database.delete)

    def remove(self, message_id: str) -> Optional[RequestBundle]:
        return self._take_out(partial(self._number_of, message_id), self._database.delete)

    def detach(self, message_id: str) -> Optional[RequestBundle]:
        note = partial(self._database.detach, client_id=self._client_id, message_id=message_id)
        return self._take_out(partial(self._number_of, message_id), note)

    def settle(self, message_id: str, told: bool = True) -> None:
        self._database.settle(self._client_id, message_id, told)

    def unsettled(self) -> int:
        return len(self._database.detached_rows())

    def has(self, message_id: str) -> bool:
        with self._lock:
            return message_id in self._numbers

    def set_aside(self, message_id: str, reason: str) -> Optional[RequestBundle]:
        note = partial(self._database.set_aside, reason=reason)
        return self._take_out(partial(self._number_of, message_id), note)

    def bundles(self) -> List[RequestBundle]:
        with self._lock:
            return list(self._bundles.values())

    def discard(self) -> List[RequestBundle]:
        """Do as `shut`, and return the requests that end with the queue."""
        self.shut()
        ending, self._ending = self._ending, []
        return ending

    def shut(self) -> None:
        """Forget the copy in memory, keep the rows, and take no more until `init`."""
        with self._lock:
            self._open = False
            self.left += self._list_in_memory(fragile=False)
            self._ending += self._list_in_memory(fragile=True)
            self._bundles.clear()
            self._after.clear()
            self._numbers.clear()  # not `_displaced`: a drop that is being written is reported all the same

    def _list_in_memory(self, fragile: bool) -> List[RequestBundle]:
        found = [(seq, bundle) for seq, bundle in self._bundles.items() if seq >= _IN_MEMORY]
        return [bundle for _, bundle in found if self._is_kept_here(bundle) is fragile]

    def __len__(self) -> int:
        return len(self._bundles)

    def is_full(self) -> bool:
        with self._lock:
            return self._is_full()

    def is_empty(self) -> bool:
        return len(self) == 0

    def _is_full(self, held: int = 0) -> bool:
        return 0 < self._capacity <= len(self._bundles) + len(self._displaced) + len(self._inserting) - held

    def _check_open(self) -> None:
        if not self._open:
            raise NotRunning(f"the queue in {self._database.path} is not open")

    def _admit(self, bundle: RequestBundle, held: int = 0) -> None:
        with self._lock:
            self._check_room(held)
            self._inserting.add(bundle)

    def _check_room(self, held: int) -> None:
        self._check_open()
        if self._is_full(held):
            raise QueueFull(f"the queue holds {self._capacity} requests, all it may")

    def _finish(self, bundle: RequestBundle, seq: Optional[int]) -> None:
        with self._lock:
            self._inserting.discard(bundle)
            if seq is not None and self._open:  # if it is closed, the request waits in the file for the next `init`
                self._add(seq, bundle)

    def _replace(self, place: int, bundle: RequestBundle, seq: int) -> bool:
        """Add a request that was written in the place of another. Return whether that one was still there."""
        with self._lock:
            dropped = self._displaced.pop(place, None) is not None
            self._after.pop(place, None)
            if self._open:
                self._add(seq, bundle)
        return dropped

    def _restore(self, place: int) -> None:
        """Put a displaced request, if it was not canceled, back in its place: the other could not be written."""
        with self._lock:
            bundle = self._displaced.pop(place, None)
            if bundle is not None and self._open:
                self._add(place, bundle)

    def _add_in_memory(self, bundle: RequestBundle) -> None:
        self._add(self._next_in_memory, bundle)
        self._next_in_memory += 1

    def _add_fragile(self, bundle: RequestBundle) -> None:
        """Add ``bundle`` after all that are there. What is stored later comes after it, whatever its number."""
        self._after[self._next_in_memory] = self._turn_of(next(reversed(self._bundles), 0))[0]
        self._add_in_memory(bundle)

    def _turn_of(self, seq: int) -> Tuple[int, int]:
        """Return by what the requests are in order."""
        return self._after.get(seq, seq), seq

    def _add(self, seq: int, bundle: RequestBundle) -> None:
        numbers = self._numbers.setdefault(bundle.message_id, [])
        if seq not in numbers:
            numbers.append(seq)
        is_last = not self._bundles or self._turn_of(seq) > self._turn_of(next(reversed(self._bundles)))
        self._bundles[seq] = bundle
        if not is_last:  # it has got its place back, or another process has stored a younger one before
            self._bundles = OrderedDict(sorted(self._bundles.items(), key=lambda each: self._turn_of(each[0])))
            numbers.sort()

    def _number_of(self, message_id: str) -> Optional[int]:
        """Return the number of the oldest row of that id, or ``None``. Lock held."""
        numbers = self._numbers.get(message_id)
        if numbers:
            return numbers[0]
        others = [*self._displaced.items(), *self._leaving.items()]
        return next((seq for seq, each in others if each.message_id == message_id), None)

    def _take_out(self, find: Callable[[], Optional[int]], note: Callable[[int], None]) -> Optional[RequestBundle]:
        """Take the request of the row that ``find`` returns out, and have ``note`` tell the database. Return it.

        ``find`` is called with the lock held. Of several threads one gets the request. If that one is interrupted
        before the database knows, the request is leaving, and the next one that looks for it takes it out.
        """
        with self._lock:
            seq = find()
            bundle = None if seq is None else self._claim(seq)
        if seq is None or bundle is None:
            return None
        try:
            if seq < _IN_MEMORY:
                note(seq)
            self._leaving.pop(seq, None)
            self._after.pop(seq, None)
        finally:
            self._claims.pop(seq, None)  # last: no other thread takes it out in between
        return bundle

    def _claim(self, seq: int) -> Optional[RequestBundle]:
        """Return the request of that row, for this thread alone to take it out; else ``None``. Lock held."""
        bundle = self._bundles.get(seq) or self._displaced.get(seq) or self._leaving.get(seq)
        if bundle is None or self._claims.setdefault(seq, threading.get_ident()) != threading.get_ident():
            return None
        self._leaving[seq] = bundle  # first: it is in one table at least
        self._take(seq)
        self._displaced.pop(seq, None)
        return bundle

    def _take(self, seq: Optional[int]) -> Optional[RequestBundle]:
        """Take the request of that row out of the tables. Nothing is called between the two changes."""
        bundle = None if seq is None else self._bundles.get(seq)
        if seq is None or bundle is None:
            return None
        numbers = self._numbers[bundle.message_id]
        others = numbers[1:] if numbers[0] == seq else sorted({*numbers} - {seq})
        del self._bundles[seq]
        if others:
            self._numbers[bundle.message_id] = others
        else:
            del self._numbers[bundle.message_id]
        return bundle


class _Replacing:
    """One `StoredQueue.push_in_place`."""

    def __init__(self, queue: StoredQueue, place: int) -> None:
        self._queue = queue
        self._place = place
        self.dropped = False

    def finish(self, bundle: RequestBundle, seq: Optional[int]) -> None:
        if seq is not None:  # else the thread that pushes puts the other one back
            self.dropped = self._queue._replace(self._place, bundle, seq)


class Loading:
    """The turns to load the requests of a client, or to change what is stored of a client without a queue.

    There is one turn for all clients. No request is stored for a client without a queue while one is loaded.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def of(self, client_id: str) -> ContextManager[object]:
        """Return a context that is the turn of that client."""
        return self._lock

    def of_all(self) -> ContextManager[object]:
        """Return a context in which requests are stored for any clients, so that no queue lacks one of them."""
        return self._lock


class StoredQueueMap(ServerQueueMap):
    """The requests of all clients of a server in ``database``, and the queues of those that are connected."""

    durable = True
    takes_offline = True
    #: What is logged when it is lost, and requests are taken into memory alone.
    loss: str = "%s is lost: requests are kept in memory alone, and those in it are not sent: %s"

    def __init__(
        self, database: Requests, capacity: int, overflow: Overflow, on_lost: str, loading: Optional[Loading] = None
    ) -> None:
        self._goes_on = on_lost == "memory"
        self._overflow = policy_of(overflow)
        self._owner: Optional[QueueOwner] = None
        self._policies: Dict[str, OverflowPolicy] = {}  # by client, guarded by `_lock`; empty without `overflow`
        self._database = database
        self._capacity = capacity
        self._decode: Optional[Decoder] = None
        self._lock = threading.Lock()  # guards the queues
        # Taken before both others: no two threads load the requests of one client. The decoder runs with it held.
        self._loading = loading or Loading()
        self._queues: Dict[str, RequestQueue] = {}
        self._left: Dict[str, List[RequestBundle]] = {}  # in memory alone, of clients that are away; also guarded by it
        self._lost = False  # it is logged that the requests are lost

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        self._database.set_logger(logger, client_id)

    def set_decoder(self, decode: Decoder) -> None:
        self._decode = decode

    def init(self) -> None:
        self._discard_all()
        self._database.open()

    def _after_fork(self) -> None:
        """Forget every queue in memory: the requests are the parent's. See `ocppj.forks`."""
        self._queues, self._left = {}, {}

    def close(self) -> None:
        self._discard_all()
        self._database.close()

    def get(self, client_id: str) -> Optional[RequestQueue]:
        with self._lock:
            return self._queues.get(client_id)

    def get_or_create(self, client_id: str) -> RequestQueue:
        """Return that client's queue, read from the file if need be. What cannot be read is set aside and logged.

        Raises:
            NotRunning: before `init`.
            QueueFailed: when the file cannot be read.
        """
        queue = self.get(client_id)
        if queue is not None:  # does not wait while the requests of another client are read
            return queue
        with self._loading.of(client_id):
            queue = self.get(client_id)
            if queue is not None:
                return queue
            stored = self._new_queue(client_id)
            try:
                loaded = stored.revive()
            except QueueFailed as error:
                if not self._opens_when_lost() or not self._database.is_lost(error):
                    raise
                loaded = 0, []
                self._tell_of_loss(error)
            with self._lock:
                stored.go_on(self._left.pop(client_id, ()))
                queue = self._queues.setdefault(client_id, stored)
        stored.report(*loaded)
        return queue

    def remove(self, client_id: str) -> None:
        with self._lock:
            queue = self._queues.pop(client_id, None)
        self._discard(client_id, queue)

    def add(self, client_id: str, queue: RequestQueue) -> None:
        with self._lock:
            before = self._queues.get(client_id)
            self._queues[client_id] = queue
        if before is not queue:
            self._discard(client_id, before)

    def withdraw(self, client_id: str, message_id: str) -> Optional[RequestBundle]:
        """Remove and return the request of that id, in memory or in the file, or ``None``. Errors are logged."""
        bundle = self.detach(client_id, message_id)
        if bundle is not None:
            self.settle(client_id, message_id)
        return bundle

    def detach(self, client_id: str, message_id: str) -> Optional[RequestBundle]:
        """Do as `withdraw`, and keep the request in the file until `settle`."""
        try:
            with self._loading.of(client_id):  # otherwise it could be loaded while it is deleted there
                queue = self.get(client_id)
                return self._detach_stored(client_id, message_id) if queue is None else queue.detach(message_id)
        except Exception as error:  # the decoder's, too
            words = "%s: request %r cannot be withdrawn: %s"
            about = {"client_id": client_id, "message_id": message_id}
            self._database.safe_log.error(words, self._database.path, message_id, error, **about)
            return None

    def settle(self, client_id: str, message_id: str, told: bool = True) -> None:
        self._database.settle(client_id, message_id, told)

    def unsettled(self) -> int:
        return len(self._database.detached_rows())

    def list_set_aside(self) -> List[SetAside]:
        """Return the requests of all clients that were set aside, oldest first; as `SQLiteQueue.list_set_aside`."""
        return self._database.list_set_aside()

    def put_back(self, client_id: str, message_id: str) -> None:
        """Have a request that was set aside sent when the client connects the next time; as `SQLiteQueue.put_back`."""
        self._database.take_set_aside(client_id, message_id, put_back=True)

    def forget(self, client_id: str, message_id: str) -> None:
        """Delete a request that was set aside. Raises as `put_back`."""
        self._database.take_set_aside(client_id, message_id, put_back=False)

    # Requests to clients that may be away

    def set_owner(self, owner: QueueOwner) -> None:
        self._owner = owner

    def push_all(self, requests: Sequence[Tuple[str, RequestBundle]]) -> List[Optional[Exception]]:
        """Write all of ``requests`` with one sync, also those of clients without a queue: they stay in the file.

        If they cannot be written together, each is written alone.
        """
        room: "Counter[str]" = Counter()  # of clients without a queue: how many more requests may wait
        ends: List[Tuple[Optional[PendingInsert], Optional[Exception]]] = []
        with self._loading.of_all():
            for client_id, bundle in requests:
                try:
                    ends.append((self._prepare(client_id, bundle, room), None))
                except OcppjError as error:
                    ends.append((None, error))
            self._database.insert(*(insert for insert, _ in ends if insert is not None))
        return [self._check(client_id, *end) for (client_id, _), end in zip(requests, ends)]

    def _check(
        self, client_id: str, insert: Optional[PendingInsert], error: Optional[Exception]
    ) -> Optional[Exception]:
        """Return why a request is not in its queue, if so."""
        queue = self.get(client_id)
        if insert is None or insert.error is None or not isinstance(queue, StoredQueue):
            return error if insert is None else insert.error
        try:
            queue.check(insert)
        except OcppjError as failure:
            return failure
        return None

    def push_in_place(self, client_id: str, bundle: RequestBundle) -> Optional[RequestBundle]:
        while True:
            with self._loading.of(client_id):
                queue, loaded = self._load(client_id)
            queue.report(*loaded)
            full = queue.is_full()
            # With no lock held: the policy is the program's own.
            victim = choose_victim(queue, (), bundle, self._database.safe_log) if full else None
            with self._loading.of(client_id):
                if self.get(client_id) is not None:
                    raise NotRunning(f"client {client_id!r} has a queue by now")
                queue, _ = self._load(client_id)  # it may have changed since
                displaced = None if victim is None or not queue.is_full() else queue.displace(victim.message_id)
                if displaced is not None:
                    queue.push_in_place(bundle, displaced)
                    return displaced
                try:
                    queue.push(bundle)
                    return None
                except QueueFull:  # another request has taken the room
                    if full and victim is None:
                        raise

    def has_stored(self, client_id: str, message_id: str) -> bool:
        rows = self._database.rows_of_message(message_id) if self._database.is_open() else []
        return any(row.client_id == client_id for row in rows)

    def expired(self, now: float) -> List[Tuple[str, str]]:
        return [(row.client_id or "", row.message_id) for row in self._database.expired_rows(now)]

    def next_expiry(self, now: float) -> Optional[float]:
        return self._database.next_expiry(now)

    def list(self, client_id: Optional[str] = None) -> List[StoredRequest]:
        """Return the requests that have not ended, oldest first. It waits for the disk, and may be called anywhere.

        Args:
            client_id: Whose requests. ``None``: those of all clients.

        Raises:
            NotRunning: when the queues are not open, that is: when the server is not started.
            QueueFailed: when the file cannot be read.
        """
        rows = self._database.all_rows() if client_id is None else self._database.rows(client_id)
        return [self._describe(row) for row in rows if self._has_not_ended(row)]

    def cancel(self, message_id: str, client_id: Optional[str] = None) -> bool:
        """Have a request never sent, or its answer ignored. Its future and the canceled-request handler get the end.

        They get a `CallCanceled`, on the calling thread. It waits for the disk, and may be called from any thread.

        Args:
            message_id: The id of the request, as in `list`, or as ``message_id`` of its future.
            client_id: Whose request it is, if requests to several clients have that id.

        Returns:
            Whether there was such a request.

        Raises:
            UsageError: Several clients have a request of that id, and no ``client_id`` is given.
            OcppjError: What `list` raises.
        """
        rows = [row for row in self._database.rows_of_message(message_id) if client_id in (None, row.client_id)]
        clients = sorted({row.client_id or "" for row in rows})
        if len(clients) > 1:
            raise UsageError(f"requests to several clients have the id {message_id!r}: say which of {clients} is meant")
        error = CallCanceled("the request was canceled", message_id)
        if not clients:
            return False
        if self._owner is None:
            return self.withdraw(clients[0], message_id) is not None
        return self._owner.cancel_request(clients[0], message_id, error)

    def _describe(self, row: Row) -> StoredRequest:
        client_id = row.client_id or ""
        pending = self._owner is not None and self._owner.is_pending(client_id, row.message_id)
        since, expires = _moment(row.since), _moment(row.expires)
        state = "pending" if pending else "waiting"
        return StoredRequest(row.message_id, action_of(row.data), client_id, row.version, since, expires, state)

    def _has_not_ended(self, row: Row) -> bool:
        queue = self.get(row.client_id or "")
        if not isinstance(queue, StoredQueue) or queue.has_row(row.seq):
            return True
        # Perhaps another process has stored it, and this one has not heard of it.
        return self._database.shared and row.seq not in queue.numbers()

    def _prepare(self, client_id: str, bundle: RequestBundle, room: "Counter[str]") -> Optional[PendingInsert]:
        """Return what is to be inserted, or ``None`` if that is done. ``room`` is as in `push_all`."""
        queue = self.get(client_id)
        if isinstance(queue, StoredQueue):
            return queue.prepare(bundle)
        if queue is not None:
            queue.push(bundle)  # one of the program's own, which was added
            return None
        if self._capacity and client_id not in room:
            room[client_id] = self._capacity - len(self._database.rows(client_id))
        if self._capacity and room[client_id] <= 0:
            raise QueueFull(f"the queue holds {self._capacity} requests, all it may")
        room[client_id] -= 1
        return PendingInsert(client_id, bundle, self._check_open, lambda bundle, seq: None)

    def _check_open(self) -> None:
        if not self._database.is_open():
            raise NotRunning(f"the queues in {self._database.path} are not open")

    def _load(self, client_id: str) -> Tuple[StoredQueue, Tuple[int, Refused]]:
        """Return a queue with what is stored of that client now, and what `StoredQueue.report` takes."""
        stored = self._new_queue(client_id)
        loaded = stored.revive()
        self._database.unload(stored, client_id)  # it is not kept
        return stored, loaded

    def _new_queue(self, client_id: str) -> StoredQueue:
        on_lost = self._tell_of_loss if self._goes_on else None
        stored = StoredQueue(self._database, client_id, self._capacity, self._policy_of(client_id), on_lost)
        if self._decode is not None:
            stored.set_decoder(self._decode)
        return stored

    def _opens_when_lost(self) -> bool:
        """Tell whether a client gets a queue although what is stored for it cannot be read now."""
        return self._goes_on

    def _tell_of_loss(self, error: Exception) -> None:
        """Log that the file is lost, once for each start."""
        with self._lock:
            told, self._lost = self._lost, True
        if not told:
            self._database.safe_log.error(self.loss, self._database.path, error)

    def _policy_of(self, client_id: str) -> Optional[OverflowPolicy]:
        """Return the policy for that client, whose memory outlives the queue."""
        if self._overflow is None:
            return None
        with self._lock:
            policy = self._policies.get(client_id)
        if policy is None:
            policy = self._overflow.for_queue()
            with self._lock:
                self._policies[client_id] = policy
        return policy

    def _detach_stored(self, client_id: str, message_id: str) -> Optional[RequestBundle]:
        row = next((row for row in self._database.rows(client_id) if row.message_id == message_id), None)
        if row is None or self._decode is None:
            return None
        bundle = _bundle_of(row, self._decode)
        return bundle if self._database.withdraw(row) else None

    def _discard_all(self) -> None:
        with self._lock:
            queues, self._queues = self._queues, {}
        for client_id, queue in queues.items():
            self._discard(client_id, queue)
        with self._lock:
            count = sum(map(len, self._left.values()))
            self._left.clear()
            self._lost = False
        if count:
            words = "%s: %d requests were in memory alone, and are gone"
            self._database.safe_log.error(words, self._database.path, count)

    def _discard(self, client_id: str, queue: Optional[RequestQueue]) -> None:
        if not isinstance(queue, StoredQueue):
            return
        queue.shut()  # it takes no more: its successor in the map would lack what is pushed to it
        self._database.unload(queue, client_id)
        if queue.left:
            with self._lock:
                self._left.setdefault(client_id, []).extend(queue.left)
            queue.left = []


def _bundle_of(row: Row, decode: Decoder) -> RequestBundle:
    call = decode(row.version, row.data)
    return RequestBundle(call, row.data, row.version, offline=bool(row.offline), expires=row.expires)


def _moment(seconds: Optional[float]) -> Optional[datetime]:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)


def missing_decoder(database: Requests) -> UsageError:
    """Return the error of a program that has stored requests, and nothing to read them with."""
    return UsageError(f"{database.path} holds requests that cannot be read: set_decoder() comes first")
