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
import threading
import time
import uuid
from collections import deque
from datetime import datetime, timezone
from functools import partial
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from ...errors import ClusterUnavailable, NotRunning, QueueFailed, UsageError
from ...events import Event, Thread
from ...forks import register
from ...log_limit import LimitedLog, part_log
from ...settings import LoggerLike, get_part_logger
from ...storage.database import Row, SetAside, action_of
from ...storage.detached import Detached
from ...storage.group_commit import PendingInsert
from ...storage.stored_queues import StoredQueue
from . import queue_scripts as scripts
from .connection import Links, ResponseFault
from .store import Call, run_calls

__all__ = ["News", "RedisRequests"]

#: How long Redis keeps the sign of a node, and how often the node renews it, in seconds.
_LIFE, _RENEWAL = 60, 5.0
#: How long a node waits for news at a time, and after a fault of Redis, in seconds.
_WAIT, _PAUSE = 1.0, 0.5
#: So many removals, or requests, are written at once.
_MOST = 200
#: Differences between two clocks that are no longer than this, in seconds, are the time that a command takes.
_NOISE = 0.5


class News(NamedTuple):
    """What another node has changed. See `queue_scripts`.

    ``kind`` is "new" (of that client), "ended" or "canceled" (the request of the number ``about``), "over" (that of the
    message id ``about``, which this node has stored), or "all": look at everything.
    """

    kind: str
    client_id: str
    about: str


class RedisRequests:
    """The requests of one cluster on Redis. See `ocppj.storage.stored_queues.Requests`.

    Args:
        links: The connections. Others may use them, too.
        prefix: The prefix of all keys.
        on_news: Is called for what other nodes have changed, on a thread of its own.
    """

    def __init__(self, links: Links, prefix: str, on_news: Callable[[News], None]) -> None:
        self.path = f"Redis ({prefix})"
        self._keys = scripts.QueueKeys(prefix)
        self._links = links
        self._on_news = on_news
        self._open = False
        self._node = ""  # another one after each `open`
        self._counter = itertools.count(1)
        self._lost: Optional[ClusterUnavailable] = None  # why Redis cannot be reached, as far as it is known
        self._registered = False  # Redis has the sign of this node, and all news since were read
        self._ended = Event()
        self._threads: List[Thread] = []
        self._detached = Detached()
        self._lock = threading.Lock()  # guards the two lists of removals
        self._noted: Deque[Call] = deque()
        self._writing: List[Call] = []
        self._work = Event()  # there is something in them
        self._turn = threading.Lock()  # one thread writes removals
        self.safe_log = part_log("queue")
        self._limited_log = LimitedLog(partial(get_part_logger, "queue"), lines=1)
        register(self)

    def _after_fork(self) -> None:
        """Forget all: it is the parent's. See `ocppj.forks`."""
        self._open, self._threads, self._lost, self._registered = False, [], None, False
        self._noted.clear()
        self._writing = []
        self._detached._after_fork()

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str]) -> None:
        """Log to ``logger``; see `RequestQueue.set_logger`."""
        self.safe_log.use(logger, client_id)
        self._limited_log.use(logger, client_id)

    def is_open(self) -> bool:
        """Tell whether `open` was called, and `close` was not since."""
        return self._open

    def is_lost(self, error: Optional[BaseException]) -> bool:
        """Tell whether ``error`` says that Redis cannot be reached."""
        while error is not None:
            if isinstance(error, ClusterUnavailable):
                return True
            error = error.__cause__
        return False

    # Begin and end

    def open(self) -> None:
        """Begin as a new node. It begins although Redis cannot be reached: then it tries again by itself."""
        if self._open:
            return
        self._node, self._ended = uuid.uuid4().hex, Event()
        self._lost, self._registered = None, False
        self._open = True
        try:
            self._register()
            self._registered = True  # nothing was read before: there is nothing to look at again
        except ClusterUnavailable as error:
            self._note_loss(error)
        self._threads = [
            Thread(target=self._watch, args=(self._ended,), name="ocppj-queue-news", daemon=True),
            Thread(target=self._write_for_ever, args=(self._ended,), name="ocppj-queue-writer", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads, and write the removals that wait, if Redis is there. It may be opened again."""
        if not self._open:
            return
        self._ended.set()
        self._work.set()
        self._farewell()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(2 * self._links.timeout)  # so long it may wait for Redis; a handler may take longer
        self._open, self._threads = False, []
        with self._lock:
            left = len(list(_numbers_of([*self._writing, *self._noted])))
            self._writing = []
            self._noted.clear()
        unsettled = self._detached.clear()
        self._limited_log.report(last=True)
        if left:
            words = "%s: %d requests were dealt with, and could not be deleted: they may be sent again"
            self.safe_log.error(words, self.path, left)
        if unsettled:
            words = "%s: %d requests that were answered are sent again after the next start: handlers have not returned"
            self.safe_log.warning(words, self.path, unsettled)

    def _farewell(self) -> None:
        """Write the removals, take the sign of this node away, and wake the thread that waits for news."""
        try:
            if self._lost is None:
                self._write_all(time.monotonic() + self._links.timeout)
            node = self._node
            news = self._keys.news + node
            self._links.run(("DEL", self._keys.node + node, news), ("ZADD", news, 0, "[]"), ("EXPIRE", news, 5))
        except (ClusterUnavailable, QueueFailed):
            pass  # the sign ends by itself

    def _register(self) -> None:
        self._run_anyway([Call(scripts.ALONE, (self._node, _LIFE))])

    # The thread that reads news

    def _watch(self, ended: Event) -> None:
        link = self._links.new()
        renewal = time.monotonic() + _RENEWAL
        news = self._keys.news + self._node
        wait = max(0.1, min(_WAIT, self._links.timeout / 2))
        try:
            while not ended.is_set():
                try:
                    if not self._registered:
                        self._register()
                        self._registered = True
                        self._note_return()
                        self._hear(News("all", "", ""))
                    if time.monotonic() >= renewal:
                        renewal = time.monotonic() + _RENEWAL
                        self._registered = link.run(("EXPIRE", self._keys.node + self._node, _LIFE))[0] == 1
                        continue
                    found = link.run(("BZPOPMIN", news, f"{wait:.3f}"))[0]
                except ClusterUnavailable as error:
                    self._registered = False  # news may be lost: Redis takes them out before they arrive
                    self._note_loss(error)
                    ended.wait(_PAUSE)
                else:
                    self._hear_of(found, ended)
        finally:
            self._links.end(link)

    def _hear_of(self, found: Any, ended: Event) -> None:
        if isinstance(found, ResponseFault):
            self._limited_log.error("%s: news cannot be read: %s", self.path, found.code, client_id=None)
            ended.wait(_PAUSE)
            return
        if not found or ended.is_set():
            return
        try:
            kind, client_id, about = _parsed(found[1])
            news = News(str(kind), str(client_id), str(about))
        except (ValueError, TypeError):
            self._limited_log.warning("%s: news of an unknown format are ignored", self.path, client_id=None)
            return
        self._hear(news)

    def _hear(self, news: News) -> None:
        try:
            self._on_news(news)
        except ClusterUnavailable:
            raise
        except Exception as error:
            if self.is_lost(error):
                self._registered = False
            else:
                self._limited_log.exception("%s: news of other nodes: %s", self.path, error, client_id=None)

    def _note_loss(self, error: ClusterUnavailable) -> None:
        before, self._lost = self._lost, error
        if before is None:
            words = "%s cannot be reached: no requests are stored until it is back: %s"
            self.safe_log.error(words, self.path, error)

    def _note_return(self) -> None:
        before, self._lost = self._lost, None
        if before is not None:
            self.safe_log.warning("%s can be reached again", self.path)
        self._work.set()

    # Store

    def insert(self, *inserts: PendingInsert) -> None:
        """Store the requests. Then each has ended, with an ``error`` or without."""
        for i in range(0, len(inserts), _MOST):
            self._insert(inserts[i : i + _MOST])

    def _insert(self, inserts: Sequence[PendingInsert]) -> None:
        origins = [f"{each.place or self._node + '.0'}/{next(self._counter)}" for each in inserts]
        ready: List[Tuple[PendingInsert, str, Call]] = []
        try:
            for each, origin in zip(inserts, origins):
                if each.begin():
                    call = self._call_of(each, origin)
                    if call is not None:
                        ready.append((each, origin, call))
            try:
                results = self._run([call for _, _, call in ready])
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
            row = json.dumps(insert.fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
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
                self._note(Call(scripts.REFUSE, (origin, insert.bundle.message_id)))
            insert.end(None, None if error is None else self._failure(insert, error))

    def _failure(self, insert: PendingInsert, why: object) -> QueueFailed:
        failure = QueueFailed(f"{self.path}: request {insert.bundle.message_id!r} could not be written: {why}")
        if isinstance(why, Exception):
            failure.__cause__ = why
        return failure

    # Read

    def load(self, queue: StoredQueue, client_id: Optional[str]) -> List[Row]:
        """Return the rows of that client, as `rows`. Other nodes tell of new ones, until `unload`."""
        if not queue.place:
            queue.place = f"{self._node}.{next(self._counter)}"
        return self._read(Call(scripts.LOAD, (self._node, _encoded(client_id), queue.place)))

    def unload(self, queue: StoredQueue, client_id: Optional[str]) -> None:
        """Note that ``queue`` is no copy of the rows any more. Never waits."""
        if queue.place:
            self._note(Call(scripts.UNLOAD, (_encoded(client_id), queue.place)))

    def rows(self, client_id: Optional[str]) -> List[Row]:
        """Return the rows of that client, oldest first, without those that have ended."""
        return self._read(Call(scripts.OF_CLIENT, (self._node, _encoded(client_id))))

    def rows_of_message(self, message_id: str) -> List[Row]:
        """Return the rows of that message id, of all clients, as `rows`."""
        rows = self._read(Call(scripts.OF_MESSAGE, (self._node, _encoded(message_id))))
        return [row for row in rows if row.message_id == message_id]

    def all_rows(self) -> List[Row]:
        """Return the rows of all clients, as `rows`."""
        gone, cursor = self._gone(), b"0"
        values: Dict[bytes, bytes] = {}
        ((seconds, micros),) = self._ask("TIME")
        while True:
            ((cursor, found),) = self._ask("HSCAN", self._keys.rows, cursor, "COUNT", 1000)
            values.update(zip(found[::2], found[1::2]))
            if cursor == b"0":
                break
        elsewhere = self._taken_elsewhere()
        flat = [part for pair in values.items() if pair[0] not in elsewhere for part in pair]
        return self._rows_of(flat, int(seconds) + int(micros) / 1e6, gone)

    def _taken_elsewhere(self) -> Set[bytes]:
        """Return the numbers of rows that other living nodes have ended."""
        (found,) = self._ask("HGETALL", self._keys.taken)
        takers = dict(zip(found[::2], found[1::2]))
        others = sorted({*takers.values()} - {self._node.encode()})
        living = {each for each in others if self._ask("EXISTS", self._keys.node.encode() + each) == [1]}
        return {seq for seq, node in takers.items() if node in living}

    def expired_rows(self, now: float) -> List[Row]:
        """Return rows that have expired by ``now``, as `rows`: of many, the first."""
        return self._read(Call(scripts.EXPIRED, (self._node, repr(now), repr(time.time()), 1000)))

    def next_expiry(self, now: float) -> Optional[float]:
        """Return when the next row after ``now`` expires, or ``None``."""
        (found,) = self._run([Call(scripts.NEXT_EXPIRY, (repr(now), repr(time.time())))])
        return None if self._checked(found) is None else now + float(found)

    def _read(self, call: Call) -> List[Row]:
        gone = self._gone()  # before: a removal that is written meanwhile is in no list afterwards
        (found,) = self._run([call])
        self._checked(found)
        return self._rows_of(found[1:], float(found[0]), gone)

    def _rows_of(self, flat: Sequence[Any], redis_time: float, gone: Set[int]) -> List[Row]:
        """Return the rows of pairs of a number and a value, oldest first, without those that have ended."""
        shift = redis_time - time.time()
        shift = shift if abs(shift) > _NOISE else 0.0
        rows = [self._row(int(seq), value, shift) for seq, value in zip(flat[::2], flat[1::2])]
        gone = gone | self._gone()
        return sorted(row for row in rows if row is not None and row.seq not in gone)

    def _row(self, seq: int, value: bytes, shift: float) -> Optional[Row]:
        """Return the row of that value, its times by the clock of this process; ``None``: of another format."""
        try:
            written, origin, text = value.decode("utf-8").split(" ", 2)
            ahead = float(written) - shift
            client_id, message_id, version, data, since, expires, offline = _parsed(text)
            texts = (client_id, message_id, version, data)
            if not all(isinstance(each, str) for each in texts):
                raise ValueError("it has a text that is none")
            since, expires = (None if each is None else float(each) + ahead for each in (since, expires))
            place = origin.partition("/")[0]
            return Row(seq, client_id, message_id, version, data, since, expires, int(offline), place)
        except (ValueError, TypeError, OverflowError):
            words = "%s: request %d has an unknown format, and is not sent"
            self._limited_log.error(words, self.path, seq, kind=f"{words}{seq}", client_id=None)
            return None

    # Remove

    def delete(self, seq: int) -> None:
        """Delete that row soon. Never waits, never raises."""
        self._note(Call(scripts.DELETE, (seq,)))

    def detach(self, seq: int, client_id: Optional[str], message_id: str) -> None:
        """Leave that row on Redis until `settle`, but out of `rows`. Never waits."""
        self._detached.add(seq, client_id, message_id)

    def settle(self, client_id: Optional[str], message_id: str, told: bool = True) -> None:
        """Delete the oldest detached row of that request, if there is one. As `delete`. Unless ``told``, it stays."""
        seq = self._detached.settle(client_id, message_id, told, self.delete)
        if seq is not None and not told:
            self._note(Call(scripts.KEEP, (seq,)))

    def detached_rows(self) -> Set[int]:
        """Return the numbers of the rows that are detached."""
        return self._detached.rows()

    def withdraw(self, row: Row) -> bool:
        """Detach a row of a client without a queue here. Other nodes do not send it. Return whether it was there."""
        (found,) = self._run([Call(scripts.TAKE, (self._node, row.seq, _encoded(row.client_id)))])
        if self._checked(found) != 1:
            return False
        self.detach(row.seq, row.client_id, row.message_id)
        return True

    def set_aside(self, seq: int, reason: str) -> None:
        """Set that row aside soon. As `delete`."""
        when = datetime.now(timezone.utc).isoformat()
        self._note(Call(scripts.ASIDE, (seq, _encoded(reason), when)))

    def list_set_aside(self) -> List[SetAside]:
        """Return the requests that were set aside, oldest first."""
        return [aside for _, aside in self._list_aside()]

    def take_set_aside(self, client_id: Optional[str], message_id: str, put_back: bool) -> None:
        """Delete the oldest such request that was set aside, and store it again if ``put_back``."""
        for seq, aside in self._list_aside():
            if (aside.client_id, aside.message_id) == (client_id, message_id):
                (found,) = self._run([Call(scripts.TAKE_ASIDE, (seq, "1" if put_back else ""))])
                if self._checked(found) == 1:
                    return
        raise UsageError(f"no request {message_id!r} of client {client_id!r} was set aside in {self.path}")

    def _list_aside(self) -> List[Tuple[int, SetAside]]:
        self._write_all()
        (found,) = self._ask("HGETALL", self._keys.aside)
        listed = []
        for seq, text in sorted(zip(map(int, found[::2]), found[1::2])):
            try:
                value, reason, when = _parsed(text)
                row = self._row(seq, value.encode("utf-8"), 0.0)
                moment = datetime.fromisoformat(when)
            except (ValueError, TypeError, AttributeError):
                row = None
            if row is not None:
                data = row.data
                aside = SetAside(row.client_id, row.message_id, action_of(data), row.version, data, str(reason), moment)
                listed.append((seq, aside))
        return listed

    # The thread that writes removals

    def _note(self, call: Call) -> None:
        if self._open:
            self._noted.append(call)  # in one step
            self._work.set()

    def _gone(self) -> Set[int]:
        """Return the numbers of the rows that have ended here."""
        detached = self._detached.rows()  # first: `settle` moves a row from one to the other
        with self._lock:
            return detached | set(_numbers_of([*self._writing, *list(self._noted)]))

    def _write_for_ever(self, ended: Event) -> None:
        while not ended.is_set():
            self._work.wait()
            self._work.clear()
            try:
                if not ended.is_set() and self._lost is None:
                    self._write_all()
            except QueueFailed as error:
                words = "%s: could not delete or set aside requests that were dealt with, it is tried again: %s"
                self._limited_log.error(words, self.path, error, kind=words[:-2], client_id=None)
                ended.wait(_PAUSE)
                self._work.set()

    def _write_all(self, deadline: Optional[float] = None) -> None:
        """Write the removals that wait. Raises `QueueFailed`."""
        while (self._noted or self._writing) and (deadline is None or time.monotonic() < deadline):
            with self._turn:
                self._write_some()

    def _write_some(self) -> None:
        with self._lock:
            self._writing += [self._noted.popleft() for _ in range(min(len(self._noted), _MOST - len(self._writing)))]
            calls = list(self._writing)
        if not calls:
            return
        results = self._run([Call(each.script, (self._node, *each.arguments)) for each in _joined(calls)])
        with self._lock:
            self._writing = []
        faults = [each.code for each in results if isinstance(each, ResponseFault)]
        if faults:
            words = "%s has refused to delete or set aside requests that were dealt with, they may be sent again: %s"
            self._limited_log.error(words, self.path, faults[0], kind=f"{words[:-2]}{faults[0]}", client_id=None)

    # Commands

    def _run(self, calls: Sequence[Call]) -> List[Any]:
        """Run scripts, and return their results, or faults. Raises `QueueFailed` if Redis cannot be reached."""
        return self._ask_with(lambda: self._run_anyway(calls))

    def _ask(self, *command: Any) -> List[Any]:
        """Run one command, and return its result in a list. Raises `QueueFailed`, also if Redis refuses it."""
        return [self._checked(each) for each in self._ask_with(lambda: self._links.run(command))]

    def _ask_with(self, ask: Callable[[], List[Any]]) -> List[Any]:
        lost = self._lost
        if not self._open:
            raise NotRunning(f"{self.path} is not open: init() comes first")
        try:
            if lost is not None:
                raise ClusterUnavailable(lost.description)
            return ask()
        except ClusterUnavailable as error:
            raise QueueFailed(f"{self.path} cannot be used: {error}") from error

    def _run_anyway(self, calls: Sequence[Call]) -> List[Any]:
        """Do what `_run` does, also if Redis could not be reached a moment ago. Raises `ClusterUnavailable`."""
        if not calls:
            return []
        with self._links.use() as link:
            return run_calls(self._keys, calls, link)

    def _checked(self, result: Any) -> Any:
        if isinstance(result, ResponseFault):
            raise QueueFailed(f"{self.path} refuses it: {result.code}")
        return result


def _encoded(text: Optional[str]) -> bytes:
    """Return the bytes of a text. One that Redis cannot hold becomes another."""
    return (text or "").encode("utf-8", "backslashreplace")


def _parsed(text: Any) -> Any:
    """Return what JSON says. Raises `ValueError`."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _joined(calls: Iterable[Call]) -> Iterator[Call]:
    """Yield calls that do the same in fewer calls: one for all deletions in a row, and for all copies in a row."""
    for script, group in itertools.groupby(calls, key=lambda call: call.script):
        if script in (scripts.DELETE, scripts.UNLOAD):
            yield Call(script, tuple(part for call in group for part in call.arguments))
        else:
            yield from group


def _numbers_of(calls: Iterable[Call]) -> Iterator[int]:
    """Yield the numbers of the rows that are removed."""
    for call in calls:
        if call.script in (scripts.DELETE, scripts.ASIDE):
            yield int(call.arguments[0])
