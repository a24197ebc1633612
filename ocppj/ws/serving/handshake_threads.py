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
from typing import Callable, Deque, List, Optional, Tuple

from ...settings import get_logger
from ..threads import Threads

__all__ = ["HandshakeThreads"]

_IDLE_NAME = "ocppj-idle-handshake"

#: The peer's address, and what runs the handshake.
_Handshake = Tuple[str, Callable[[], None]]


class _Worker:
    def __init__(self) -> None:
        self.ident: Optional[int] = None  # set by the thread itself
        self.started = False  # whether its thread was started, or is about to be
        self.bell = threading.Event()  # wakes it while it is idle


class HandshakeThreads:
    """Runs the handshakes of one server on ``threads``. Thread-safe.

    `submit` waits for ``submit_timeout`` seconds at most: there may be no thread that empties the queue.
    """

    def __init__(
        self, threads: Threads, *, queue_size: int = 1, submit_timeout: float = 0.1, idle_timeout: float = 2.0
    ) -> None:
        self._threads = threads
        self._queue_size = queue_size
        self._submit_timeout = submit_timeout
        self._idle_timeout = idle_timeout
        self._lock = threading.Lock()  # guards the fields below
        self._queue: Deque[_Handshake] = deque()
        self._emptied = threading.Condition(self._lock)
        self._leader: Optional[_Worker] = None  # there is one while the queue is not empty
        self._idle: List[_Worker] = []
        self._stopping = False

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def idle(self) -> int:
        return len(self._idle)

    def submit(self, address: str, run: Callable[[], None]) -> None:
        """Call ``run`` on one of the threads. Raises ``RuntimeError`` when the system gives no more threads."""
        handshake = (address, run)
        with self._lock:
            if len(self._queue) >= self._queue_size:
                self._emptied.wait(self._submit_timeout)
            self._queue.append(handshake)
            leader = self._new_leader() if self._leader is None else None
        if leader is None or self._wake(leader, address, None):
            return
        with self._lock:
            if handshake not in self._queue:
                return
            self._queue.remove(handshake)
        raise RuntimeError("no thread for a handshake can be started")

    def hand_over(self) -> None:
        """Let another thread go on with the queue, since this one may wait from now on. May be called again."""
        with self._lock:
            me = self._leader
            if me is None or me.ident != threading.get_ident():
                return
            self._leader = None
            if not self._queue:
                return
            leader, address = self._new_leader(), self._queue[0][0]
        if not self._wake(leader, address, me):
            get_logger().error("cannot start a thread: handshakes wait for one another")

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
        leader.started = True
        try:
            self._threads.start(_name(address), self._run, leader)
        except RuntimeError:
            with self._lock:
                self._leader = before
            return False
        return True

    def _run(self, me: _Worker) -> None:
        me.ident = threading.get_ident()
        thread = threading.current_thread()
        while True:
            handshake = self._next(me, thread)
            if handshake is None:
                return
            address, run = handshake
            thread.name = _name(address)
            try:
                run()
            except BaseException:  # handshakes log their own errors; but this thread must go on with the queue
                get_logger().exception("%s: the handshake failed", address)
            del handshake, run  # and the connection, while this thread is idle

    def _next(self, me: _Worker, thread: threading.Thread) -> Optional[_Handshake]:
        """Return the next handshake, after waiting for one; ``None`` when the thread must end."""
        while True:
            with self._lock:
                if self._leader is None:
                    self._leader = me
                if self._leader is me:
                    if self._queue:
                        handshake = self._queue.popleft()
                        if not self._queue:
                            self._emptied.notify()
                        return handshake
                    self._leader = None
                if self._stopping:
                    return None
                self._idle.append(me)
            thread.name = _IDLE_NAME
            woken = me.bell.wait(self._idle_timeout)
            me.bell.clear()
            with self._lock:
                if me in self._idle:  # not chosen: timed out, or woken by a ring from the time before
                    self._idle.remove(me)
                    if not woken:
                        return None


def _name(address: str) -> str:
    return f"ocppj-handshake-{address}"
