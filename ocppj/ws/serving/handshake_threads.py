"""The threads of handshakes: leader and followers.

One thread, the *leader*, runs one handshake after another from the queue. Before it waits (for the peer, for a handler,
for another connection of the same identity) it calls `HandshakeThreads.hand_over`. Then, if handshakes are queued,
another thread becomes the leader and goes on with them at once. So no handshake waits for another one. Handshakes that
need not wait share a few threads, since many running threads compete for the interpreter lock.

A thread that has ended its handshake becomes the leader if there is none. Otherwise it is idle, and ends after a while.

`submit` waits a moment while the queue is full, so a crowd waits in the backlog of the system. In the queue it would
count as handshakes in progress, and pass the limit of these.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from typing import Callable, Deque, List, Optional

from ...events import Condition, Event
from ...log_limit import SafeLog, part_log
from ...loops import log_failure, run_loop
from ..threads import Threads

__all__ = ["HandshakeThreads"]

_IDLE_NAME = "ocppj-idle-handshake"


def _nothing() -> None:
    """Do nothing."""


class _Handshake:
    __slots__ = ("address", "begun", "end", "run", "taken")

    def __init__(self, address: str, run: Callable[[], None], end: Callable[[], None]) -> None:
        self.address = address
        self.run = run
        self.end = end
        self.taken = False  # out of the queue by a thread, or just about to be
        self.begun = False


class _Worker:
    def __init__(self) -> None:
        self.ident: Optional[int] = None  # set by the thread itself
        self.started = False  # whether its thread was started, or is about to be
        self.bell = Event()  # wakes it while it is idle
        self.handshake: Optional[_Handshake] = None  # taken out of the queue, and not ended


class HandshakeThreads:
    """Runs the handshakes of one server on ``threads``. Thread-safe.

    `submit` waits for ``submit_timeout`` seconds at most: there may be no thread that empties the queue.
    """

    def __init__(
        self,
        threads: Threads,
        log: Optional[SafeLog] = None,
        *,
        queue_size: int = 1,
        submit_timeout: float = 0.1,
        idle_timeout: float = 2.0,
    ) -> None:
        self._log = part_log("ws") if log is None else log
        self._threads = threads
        self._queue_size = queue_size
        self._submit_timeout = submit_timeout
        self._idle_timeout = idle_timeout
        self._lock = threading.Lock()  # guards the fields below
        self._queue: Deque[_Handshake] = deque()
        self._emptied = Condition(self._lock)
        self._leader: Optional[_Worker] = None  # there is one while the queue is not empty
        self._idle: List[_Worker] = []
        self._stopping = False

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def idle(self) -> int:
        return len(self._idle)

    def submit(self, address: str, run: Callable[[], None], end: Callable[[], None] = _nothing) -> None:
        """Call ``run``, and then ``end``, on one of the threads. Raises ``RuntimeError`` when the system gives none.

        ``end`` is called whatever ``run`` raises, and again if it raises itself. When this raises, neither is called.
        """
        handshake = _Handshake(address, run, end)
        try:
            with self._lock:
                if len(self._queue) >= self._queue_size:
                    self._emptied.wait(self._submit_timeout)
                self._queue.append(handshake)
                leader = self._new_leader() if self._leader is None else None
            if leader is None or self._wake(leader, address, None):
                return
            failure = RuntimeError("no thread for a handshake can be started")
        except Exception as error:
            failure = RuntimeError(f"no thread for a handshake can be started: {error or type(error).__name__}")
            failure.__cause__ = error
        if self._withdraw(handshake):
            raise failure

    def hand_over(self) -> None:
        """Let another thread go on with the queue, since this one may wait from now on. May be called again."""
        with self._lock:
            me = self._leader
            if me is None or me.ident != threading.get_ident():
                return
            self._leader = None
            if not self._queue:
                return
        try:
            with self._lock:
                if self._leader is not None or not self._queue:
                    return
                leader, address = self._new_leader(), self._queue[0].address
            handed_over = self._wake(leader, address, me)
        except Exception:
            self._drop_unstarted_leader()
            handed_over = False
        if not handed_over:
            self._log.error("cannot start a thread: handshakes wait for one another")

    def stop(self) -> None:
        """Let the threads end once the queue is empty. Join them by their `Threads`."""
        with self._lock:
            self._stopping = True
            idle = list(self._idle)
        for worker in idle:
            worker.bell.set()

    def _new_leader(self) -> _Worker:
        """Choose an idle worker or a new one as the leader. The caller must `_wake` it. Lock held."""
        self._leader = self._idle.pop() if self._idle else _Worker()
        return self._leader

    def _wake(self, leader: _Worker, address: str, before: Optional[_Worker]) -> bool:
        """Wake the new leader, or start its thread. If that fails, ``before`` is the leader again; return false."""
        if leader.started:
            leader.bell.set()
            return True
        try:
            leader.started = True
            self._threads.start(_name(address), self._run, leader)
        except Exception:
            leader.started = False
            with self._lock:
                if self._leader is leader:
                    self._leader = before
            return False
        return True

    def _withdraw(self, handshake: _Handshake) -> bool:
        """Take ``handshake`` out of the queue; return false if a thread has taken it."""
        self._drop_unstarted_leader()
        with self._lock:
            if handshake in self._queue and not handshake.taken:
                self._queue.remove(handshake)
            return not handshake.taken

    def _drop_unstarted_leader(self) -> None:
        """Have no leader if it has no thread. If its thread is just being started, it becomes the leader all the same.

        Called when something was raised between the choice of a leader and its start.
        """
        with self._lock:
            if self._leader is not None and not self._leader.started:
                self._leader = None

    def _run(self, me: _Worker) -> None:
        """Run handshakes: the thread of ``me``."""
        me.ident = threading.get_ident()
        thread = threading.current_thread()
        run_loop("a thread of handshakes", partial(self._step, me, thread), partial(self._repair, me), self._log)

    def _step(self, me: _Worker, thread: threading.Thread) -> bool:
        """Run one handshake, or end the one that an interrupted step has begun; return false to end the thread."""
        handshake = me.handshake
        if handshake is None:
            if not self._next(me, thread):
                return False
            handshake = me.handshake
        if handshake is None:
            return True
        if not handshake.begun:
            handshake.begun = True
            try:
                thread.name = _name(handshake.address)
                handshake.run()
            except BaseException:  # handshakes log their own errors; but this thread must go on with the queue
                log_failure("%s: the handshake failed", handshake.address, log=self._log)
        handshake.end()
        me.handshake = None  # which drops the connection, while this thread is idle
        return True

    def _repair(self, me: _Worker) -> None:
        with self._lock:
            if self._leader is me and me.handshake is None:
                self._leader = None
            if me in self._idle:
                self._idle.remove(me)

    def _next(self, me: _Worker, thread: threading.Thread) -> bool:
        """Wait for the next handshake, and take it; return false when the thread must end."""
        while True:
            with self._lock:
                if self._leader is None:
                    self._leader = me
                if self._leader is me:
                    if self._queue:
                        self._queue[0].taken = True
                        me.handshake = self._queue.popleft()
                        if not self._queue:
                            self._emptied.notify()
                        return True
                    self._leader = None
                if self._stopping:
                    return False
                self._idle.append(me)
            thread.name = _IDLE_NAME
            woken = me.bell.wait(self._idle_timeout)
            me.bell.clear()
            with self._lock:
                if me in self._idle:  # not chosen: timed out, or woken by a ring from the time before
                    self._idle.remove(me)
                    if not woken:
                        return False


def _name(address: str) -> str:
    return f"ocppj-handshake-{address}"
