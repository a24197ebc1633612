"""`RedisRequests`: stored requests on Redis, which the nodes of a cluster share. `queue_scripts` has what Redis holds.

Who waits. `insert` and what reads wait for Redis, for as long as the timeout of the connections. Removals never wait:
a thread writes them. While Redis is away, they wait in memory. Only requests that are in memory have removals, and none
is stored meanwhile: so what waits is bounded.

What one node changes, others must know. A node that reads the requests of a client registers the copy, in the same
step. What another node stores for that client after that, it tells the first node, in the step that stores it. So a
request is in the copy, or the node is told to look again. A node that has lost Redis, or that Redis has lost, looks
again at all.

When Redis does not answer, nobody knows whether a request was stored. It counts as refused, and Redis is told so when
it is back: then it is deleted or, if the command is still to come, not stored.
"""

from __future__ import annotations

import itertools
import json
import time
import uuid
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from ...errors import QueueFailed, UsageError
from ...forks import register
from ...log_limit import SafeLog
from ...settings import LoggerLike
from ...storage.database import Row, SetAside, action_of
from ...storage.detached import Detached
from ...storage.group_commit import PendingInsert
from ...storage.stored_queues import StoredQueue
from . import queue_scripts as scripts
from .connection import Links, ResponseFault
from .queue_news import News, NewsReader
from .queue_removals import Removals
from .queue_store import QueueStore, is_lost, parsed
from .store import Call

__all__ = ["RedisRequests"]

#: So many requests are stored at once.
_MOST = 200
#: Differences between two clocks that are no longer than this, in seconds, are the time that a command takes.
_NOISE = 0.5


class RedisRequests:
    """The requests of one cluster on Redis. See `ocppj.storage.stored_queues.Requests`.

    Args:
        links: The connections. Others may use them, too.
        prefix: The prefix of all keys.
        on_news: Is called for what other nodes have changed, on a thread of its own.
    """

    shared = True

    def __init__(self, links: Links, prefix: str, on_news: Callable[[News], None]) -> None:
        self._store = QueueStore(links, prefix)
        self.path: str = self._store.path
        self.safe_log: SafeLog = self._store.safe_log
        self._removals = Removals(self._store)
        self._news = NewsReader(self._store, on_news, self._removals.wake)
        self._counter = itertools.count(1)
        self._detached = Detached()
        register(self)

    def _after_fork(self) -> None:
        """Forget all: it is the parent's. See `ocppj.forks`."""
        self._store.is_open = False
        for part in (self._removals, self._news, self._detached):
            part._after_fork()

    is_lost: Callable[[Optional[BaseException]], bool] = staticmethod(is_lost)

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str]) -> None:
        """Log to ``logger``; see `RequestQueue.set_logger`."""
        self._store.set_logger(logger, client_id)

    def is_open(self) -> bool:
        """Tell whether `open` was called, and `close` was not since."""
        return self._store.is_open

    def open(self) -> None:
        """Begin as a new node. It begins although Redis cannot be reached: then it tries again by itself."""
        if self._store.is_open:
            return
        self._store.begin(uuid.uuid4().hex)
        self._news.start()
        self._removals.start()

    def close(self) -> None:
        """Write the removals that wait, if Redis can be reached, and end the threads. It may be opened again."""
        if not self._store.is_open:
            return
        left = self._removals.stop()
        self._news.stop()
        self._store.is_open = False
        self._store.links.close()  # those that nobody uses now
        unsettled = self._detached.clear()
        self._store.limited_log.report(last=True)
        if left:
            words = "%s: %d requests were dealt with, and could not be deleted: they may be sent again"
            self.safe_log.error(words, self.path, left)
        if unsettled:
            words = "%s: %d requests that were answered are sent again after the next start: handlers have not returned"
            self.safe_log.warning(words, self.path, unsettled)

    # Store

    def insert(self, *inserts: PendingInsert) -> None:
        """Store the requests. Then each has ended, with an ``error`` or without."""
        for i in range(0, len(inserts), _MOST):
            self._insert(inserts[i : i + _MOST])

    def _insert(self, inserts: Sequence[PendingInsert]) -> None:
        origins = [f"{each.place or self._store.node + '.0'}/{next(self._counter)}" for each in inserts]
        ready: List[Tuple[PendingInsert, str, Call]] = []
        try:
            for each, origin in zip(inserts, origins):
                if each.begin():
                    call = self._call_of(each, origin)
                    if call is not None:
                        ready.append((each, origin, call))
            try:
                results = self._store.run(*(call for _, _, call in ready))
            except QueueFailed as error:
                self._refuse(ready, error)
            else:
                for (each, _, _), result in zip(ready, results):
                    self._end(each, result)
        except BaseException:  # such as KeyboardInterrupt
            self._refuse([entry for entry in ready if not entry[0].ended], None)
            raise

    def _call_of(self, insert: PendingInsert, origin: str) -> Optional[Call]:
        """Return what stores that request. If it cannot be stored at all, it has ended."""
        try:
            if not isinstance(insert.bundle.data, str):
                raise TypeError("a request is a text")
            row = _row_of(insert)
        except (TypeError, ValueError) as error:
            insert.end(None, self._failure(insert, error))
            return None
        place = origin.partition("/")[0]
        replaces = "" if insert.replaces is None else str(insert.replaces)
        return Call(scripts.INSERT, (row, origin, place, repr(time.time()), replaces, str(insert.fields[0])))

    def _end(self, insert: PendingInsert, result: Any) -> None:
        if isinstance(result, ResponseFault):
            insert.end(None, self._failure(insert, result.code))
        elif result == b"refused":
            insert.end(None, self._failure(insert, "it came too late"))
        else:
            insert.end(int(result))

    def _refuse(self, ready: Sequence[Tuple[PendingInsert, str, Call]], error: Optional[QueueFailed]) -> None:
        """End requests of which nobody knows whether they were stored, and have them not be stored."""
        maybe = error is None or getattr(error.__cause__, "maybe_sent", False)
        for insert, origin, _ in ready:
            if maybe:
                self._removals.note(scripts.REFUSE, origin, insert.bundle.message_id)
            insert.end(None, None if error is None else self._failure(insert, error))

    def _failure(self, insert: PendingInsert, why: object) -> QueueFailed:
        failure = QueueFailed(f"{self.path}: request {insert.bundle.message_id!r} could not be written: {why}")
        if isinstance(why, Exception):
            failure.__cause__ = why
        return failure

    def restore(self, queue: StoredQueue, client_id: str) -> None:
        """Store the requests of a queue again that Redis has lost."""
        bundles = queue.stored()
        for i in range(0, len(bundles), _MOST):
            words: List[Any] = [self._store.node, repr(time.time()), f"{queue.place}/{next(self._counter)}"]
            for seq, bundle in bundles[i : i + _MOST]:
                words += [seq, _row_of(PendingInsert(client_id, bundle, lambda: None, lambda bundle, seq: None))]
            self._store.run_one(Call(scripts.RESTORE, tuple(words)))
        here = queue.numbers() | self.detached_rows()
        for seq, _ in bundles:
            if seq not in here:  # it has ended meanwhile, and its removal may have been written before
                self.delete(seq)

    # Read

    def load(self, queue: StoredQueue, client_id: Optional[str]) -> List[Row]:
        """Return the rows of that client, as `rows`. Other nodes tell of new ones, until `unload`.

        If Redis cannot be reached, there will be news of that client as soon as it can.
        """
        if not queue.place:
            queue.place = f"{self._store.node}.{next(self._counter)}"
        try:
            return self._read(Call(scripts.LOAD, (self._store.node, _encoded(client_id), queue.place)))
        except QueueFailed as error:
            if is_lost(error):
                self._news.owe(client_id or "")
            raise

    def unload(self, queue: StoredQueue, client_id: Optional[str]) -> None:
        """Note that ``queue`` is no copy of the rows any more. Never waits."""
        if queue.place:
            self._removals.note(scripts.UNLOAD, _encoded(client_id), queue.place)

    def renew(self) -> None:
        """Have Redis know that this node lives, if it is time. To be called while much is loaded because of news.

        Raises `QueueFailed`.
        """
        self._news.renew()

    def rows(self, client_id: Optional[str]) -> List[Row]:
        """Return the rows of that client, oldest first, without those that have ended."""
        return self._read(Call(scripts.OF_CLIENT, (self._store.node, _encoded(client_id))))

    def rows_of_message(self, message_id: str) -> List[Row]:
        """Return the rows of that message id, of all clients, as `rows`."""
        rows = self._read(Call(scripts.OF_MESSAGE, (self._store.node, _encoded(message_id))))
        return [row for row in rows if row.message_id == message_id]

    def all_rows(self) -> List[Row]:
        """Return the rows of all clients, as `rows`."""
        gone, cursor = self._gone(), b"0"
        values: Dict[bytes, bytes] = {}
        seconds, micros = self._store.ask("TIME")
        while True:
            cursor, found = self._store.ask("HSCAN", self._store.keys.rows, cursor, "COUNT", 1000)
            values.update(zip(found[::2], found[1::2]))
            if cursor == b"0":
                break
        elsewhere = self._taken_elsewhere()
        flat = [part for pair in values.items() if pair[0] not in elsewhere for part in pair]
        return self._rows_of(flat, int(seconds) + int(micros) / 1e6, gone)

    def _taken_elsewhere(self) -> Set[bytes]:
        """Return the numbers of rows that other living nodes have ended."""
        found = self._store.ask("HGETALL", self._store.keys.taken)
        takers = dict(zip(found[::2], (each.rstrip(b"!") for each in found[1::2])))
        others = sorted({*takers.values()} - {self._store.node.encode()})
        living = {each for each in others if self._store.ask("EXISTS", self._store.keys.node.encode() + each)}
        return {seq for seq, node in takers.items() if node in living}

    def expired_rows(self, now: float) -> List[Row]:
        """Return rows that have expired by ``now``, as `rows`: of many, the first."""
        return self._read(Call(scripts.EXPIRED, (self._store.node, repr(now), repr(time.time()), 1000)))

    def next_expiry(self, now: float) -> Optional[float]:
        """Return when the next row after ``now`` expires, or ``None``."""
        found = self._store.run_one(Call(scripts.NEXT_EXPIRY, (repr(now), repr(time.time()))))
        return None if found is None else now + float(found)

    def _read(self, call: Call) -> List[Row]:
        gone = self._gone()  # before: a removal that is written meanwhile is in no list afterwards
        found = self._store.run_one(call)
        return self._rows_of(found[1:], float(found[0]), gone)

    def _rows_of(self, flat: Sequence[Any], redis_time: float, gone: Set[int]) -> List[Row]:
        """Return the rows of pairs of a number and a value, oldest first, without those that have ended."""
        shift = redis_time - time.time()
        shift = shift if abs(shift) > _NOISE else 0.0
        rows = [self._row(int(seq), value, shift) for seq, value in zip(flat[::2], flat[1::2])]
        gone = gone | self._gone()
        left = sorted(row for row in rows if row is not None and row.seq not in gone)
        back = self._removals.deleted(row.seq for row in left)
        for seq in back:  # Redis has forgotten the deletion, after a failover, for example
            self.delete(seq)
        return [row for row in left if row.seq not in back]

    def _row(self, seq: int, value: bytes, shift: float) -> Optional[Row]:
        """Return the row of that value, its times by the clock of this process; ``None``: of another format."""
        try:
            written, origin, text = value.decode("utf-8").split(" ", 2)
            ahead = float(written) - shift
            client_id, message_id, version, data, since, expires, offline = parsed(text)
            texts = (client_id, message_id, version, data)
            if not all(isinstance(each, str) for each in texts):
                raise ValueError("it has a text that is none")
            since, expires = (None if each is None else float(each) + ahead for each in (since, expires))
            place = origin.partition("/")[0]
            return Row(seq, client_id, message_id, version, data, since, expires, int(offline), place)
        except (ValueError, TypeError, OverflowError):
            words = "%s: request %d has an unknown format, and is not sent"
            self._store.limited_log.error(words, self.path, seq, kind=f"{words}{seq}", client_id=None)
            return None

    # Remove

    def delete(self, seq: int) -> None:
        """Delete that row soon. Never waits, never raises."""
        self._removals.note(scripts.DELETE, seq)

    def detach(self, seq: int, client_id: Optional[str], message_id: str) -> None:
        """Leave that row on Redis until `settle`, but out of `rows`. Never waits.

        Soon it is also out of those of other nodes, so that none ends it once more. But `load` there returns it.
        """
        self._detached.add(seq, client_id, message_id)
        self._removals.note(scripts.MARK, seq)

    def settle(self, client_id: Optional[str], message_id: str, told: bool = True) -> None:
        """Delete the oldest detached row of that request, if there is one. As `delete`. Unless ``told``, it stays."""
        seq = self._detached.settle(client_id, message_id, told, self.delete)
        if seq is not None and not told:
            self._removals.note(scripts.KEEP, seq)

    def detached_rows(self) -> Set[int]:
        """Return the numbers of the rows that are detached."""
        return self._detached.rows()

    def withdraw(self, row: Row) -> bool:
        """Detach a row of a client without a queue here. Other nodes do not send it. Return whether it was there."""
        if self._store.run_one(Call(scripts.TAKE, (self._store.node, row.seq, _encoded(row.client_id)))) != 1:
            return False
        self._detached.add(row.seq, row.client_id, row.message_id)
        return True

    def set_aside(self, seq: int, reason: str) -> None:
        """Set that row aside soon. As `delete`."""
        when = datetime.now(timezone.utc).isoformat()
        self._removals.note(scripts.ASIDE, seq, _encoded(reason), when)

    def list_set_aside(self) -> List[SetAside]:
        """Return the requests that were set aside, oldest first."""
        return [aside for _, aside in self._list_aside()]

    def take_set_aside(self, client_id: Optional[str], message_id: str, put_back: bool) -> None:
        """Delete the oldest such request that was set aside, and store it again if ``put_back``."""
        for seq, aside in self._list_aside():
            if (aside.client_id, aside.message_id) == (client_id, message_id):
                if self._store.run_one(Call(scripts.TAKE_ASIDE, (seq, "1" if put_back else ""))) == 1:
                    return
        raise UsageError(f"no request {message_id!r} of client {client_id!r} was set aside in {self.path}")

    def _list_aside(self) -> List[Tuple[int, SetAside]]:
        self._removals.write_all()
        found = self._store.ask("HGETALL", self._store.keys.aside)
        listed = []
        for seq, text in sorted(zip(map(int, found[::2]), found[1::2])):
            try:
                value, reason, when = parsed(text)
                row = self._row(seq, value.encode("utf-8"), 0.0)
                moment = datetime.fromisoformat(when)
            except (ValueError, TypeError, AttributeError):
                row = None
            if row is not None:
                data = row.data
                aside = SetAside(row.client_id, row.message_id, action_of(data), row.version, data, str(reason), moment)
                listed.append((seq, aside))
        return listed

    def _gone(self) -> Set[int]:
        """Return the numbers of the rows that have ended here."""
        detached = self._detached.rows()  # first: `settle` moves a row from one to the other
        return detached | self._removals.numbers()


def _row_of(insert: PendingInsert) -> bytes:
    """Return a row as Redis has it. Raises `ValueError` for a text that cannot be in it."""
    return json.dumps(insert.fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _encoded(text: Optional[str]) -> bytes:
    """Return the bytes of a text. One that Redis cannot hold becomes another."""
    return (text or "").encode("utf-8", "backslashreplace")
