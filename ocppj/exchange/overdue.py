"""`OverdueAnswers`: the CALLs of the peers that this side does not answer, and handlers that do not end.

Theory of operation. There is no timer for a CALL: most are answered in a moment, and a timer would cost more than they
do. The first CALL, or another job of a connection, arranges a look over all connections, one period later. A CALL that
is unanswered at one look, and still after a timeout, is overdue: a warning says so. After ``answer_timeout`` it
expires: it is answered with InternalError. A handler that has run for so long is released: the next jobs of its
connection run, on another thread. While any CALL is unanswered, or any job runs, the next look is arranged. Else the
next CALL does that.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, Iterable, List, Optional, Protocol, Tuple

from ..dispatch.timeouts import Timeouts
from ..log_limit import LimitedLog
from ..rpc.messages import Call
from ..ws.base import RunningJob
from .connection import Connection

__all__ = ["Jobs", "OverdueAnswers"]

_WORDS = (
    "%s: the answer to %s (message %r) is overdue: there was none within %g s. Its handler still runs, or waits for "
    "its turn, or returned None, and neither send_response() nor send_error() was called"
)
_RELEASED = "%s: the handler of %s has run for more than %g s. The next messages of this peer do not wait for it"
_EARLY = 0.001  # seconds by which a look may come early
_LOOKS = 4  # within ``answer_timeout``, at least


class Jobs(Protocol):
    """The running jobs of the connections: a transport's. One of the program's own may know of none."""

    def running_jobs(self) -> List[RunningJob]: ...

    def release_job(self, job: RunningJob) -> bool: ...


class OverdueAnswers:
    """Looks for CALLs that stay unanswered, and for handlers that do not end. Thread-safe.

    Args:
        timeouts: Runs the looks, on its timer's thread.
        seconds: The timeout after which an answer is overdue.
        connections: Returns the present connections.
        log: Returns the logger.
        answer_timeout: After so many seconds a CALL expires, and a handler is released. ``None``: never.
        expire: Answers a CALL that has expired.
        jobs: The transport.
        name_of: Returns for the log what a job handles.
    """

    def __init__(
        self,
        timeouts: Timeouts,
        seconds: float,
        connections: Callable[[], Iterable[Connection]],
        log: Callable[[], LimitedLog],
        answer_timeout: Optional[float] = None,
        expire: Callable[[Connection, Call], None] = lambda connection, call: None,
        jobs: Optional[Jobs] = None,
        name_of: Callable[[RunningJob], str] = lambda job: "a message",
    ) -> None:
        self._timeouts = timeouts
        self._seconds = seconds
        self._connections = connections
        self._log = log
        self._answer_timeout = answer_timeout
        self._expire = expire
        self._running_jobs: Callable[[], List[RunningJob]] = getattr(jobs, "running_jobs", list)
        self._release_job: Callable[[RunningJob], bool] = getattr(jobs, "release_job", lambda job: False)
        self._name_of = name_of
        self._period = seconds if answer_timeout is None else min(seconds, answer_timeout / _LOOKS)
        self._lock = threading.Lock()
        #: No look is arranged. A thread that notes a CALL looks here after that, and `_look` sets it before it looks at
        #: the CALLs: so none is overlooked.
        self.idle: bool = True
        # When each was first seen. By the id of the object: a peer may use the id of a message again. The object is
        # kept, so that its id stays.
        self._seen: Dict[int, Tuple[Call, float]] = {}
        self._told: Dict[int, Call] = {}
        self._jobs: Dict[Any, float] = {}  # when each job was first seen

    def reset(self) -> None:
        """Forget all. The deadlines of the session before are gone."""
        with self._lock:
            self.idle = True
            self._seen, self._told, self._jobs = {}, {}, {}

    def _after_fork(self) -> None:
        """Forget all: see `ocppj.forks`."""
        self.idle = True
        self._seen, self._told, self._jobs = {}, {}, {}

    def watch(self, call: Optional[Call] = None) -> None:
        """Arrange a look, unless one is. ``call`` is unanswered from now on."""
        if call is not None:
            with self._lock:
                self._seen[id(call)] = call, self._timeouts.monotonic()
        self._arrange()

    def _arrange(self) -> None:
        with self._lock:
            arranged, self.idle = not self.idle, False
        if not arranged:
            self._timeouts.add(self._period, self._look)

    def _look(self) -> None:
        with self._lock:
            self.idle = True
            seen, self._seen = self._seen, {}
        now = self._timeouts.monotonic()
        unanswered = {
            id(call): (connection, call)
            for connection in self._connections()
            if connection.unanswered
            for call in connection.unanswered_calls()
        }
        since = {key: seen[key][1] if key in seen else now for key in unanswered}
        expired = [unanswered.pop(key) for key, then in since.items() if self._is_over(now - then)]
        with self._lock:
            told = {key: call for key, call in self._told.items() if key in unanswered}
            due = now - self._seconds + _EARLY
            overdue = [each for key, each in unanswered.items() if since[key] <= due and key not in told]
            self._told = {**told, **{id(call): call for _, call in overdue}}
            for key, (_, call) in unanswered.items():
                self._seen.setdefault(key, (call, since[key]))
        for connection, call in overdue:
            self._log().warning(_WORDS, connection.client_id, call.action, call.unique_id, self._seconds, call=call)
        for connection, call in expired:
            self._expire(connection, call)
        if self._look_at_jobs(now) or unanswered:
            self._arrange()

    def _look_at_jobs(self, now: float) -> bool:
        """Release the jobs that have run for too long; return whether any job runs that is not released."""
        if self._answer_timeout is None:
            return False
        running = [job for job in self._running_jobs() if not job.released]
        before, self._jobs = self._jobs, {}
        for job in running:
            since = self._jobs[job.key] = before.get(job.key, now)
            name = self._name_of(job)
            if self._is_over(max(now - since, job.seconds)) and self._release_job(job):
                self._log().error(_RELEASED, job.client_id, name, self._answer_timeout)
        return bool(running)

    def _is_over(self, seconds: float) -> bool:
        return self._answer_timeout is not None and seconds >= self._answer_timeout - _EARLY
