"""`SteadyWriter`: adds lines to a file. A disk that is slow or full holds nobody up.

A line is written on the thread that has it. So it is with the operating system when `SteadyWriter.write` returns. A
thread that finds another one writing waits for it, `_PATIENCE` at most. Once a write takes longer than that, lines
wait in a queue, which a thread of the writer empties. Its length is bounded. The thread ends when the disk is quick
again, or when nothing has come for a while. Then lines are written as before.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from datetime import datetime, timezone
from typing import Deque, List, Optional

from ..events import Event, Thread, acquire, releasing
from ..forks import register
from ..log_limit import safe_log
from .linefile import LineFile
from .recorded import Recorded, format_line

__all__ = ["SteadyWriter"]

_PATIENCE = 0.1  # seconds that a frame waits for the disk
_MOST = 8 * 1024 * 1024  # bytes of lines that wait for a slow disk
_BATCH = 256 * 1024  # bytes that are written at once, when lines wait
_LOOK = 1.0  # seconds
_LOOKS = 30  # so many looks without a line end the thread
_RETRY = 1.0  # seconds between two attempts on a disk that fails
_QUIET = 60.0  # seconds between two log lines about losses
_CLOSING = 5.0  # seconds that `close` waits for the disk


class SteadyWriter:
    """Thread-safe. The arguments are those of `LineFile`.

    Attributes:
        written: How many lines were written.
        lost: How many lines were left out.
    """

    def __init__(self, path: str, max_bytes: Optional[int], keep: int) -> None:
        self._file = LineFile(path, max_bytes, keep)
        self._batch = _BATCH if max_bytes is None else min(_BATCH, max_bytes)  # bytes that are written at once
        self._disk = threading.Lock()  # held while the file is used
        self._lock = threading.Lock()  # guards what follows; held for moments
        self.written: int = 0
        self.lost: int = 0
        self._unsaid = 0  # lost lines that the file does not tell of yet
        self._waiting: Deque[bytes] = deque()
        self._waiting_bytes = 0
        self._thread: Optional[Thread] = None  # empties `_waiting`; while it is there, nobody else writes
        self._slow = False  # the last write was slow
        self._failing = False  # it was logged that lines are lost, and nothing was written since
        self._quiet_until = 0.0  # until then no further loss is logged
        self._retry_at = 0.0
        self._closed = False
        self._more = Event()
        register(self)

    def write(self, line: bytes) -> None:
        """Add a line that ends with a line end. Raises nothing."""
        if not self._write_directly(line):
            self._leave(line)

    def _write_directly(self, line: bytes) -> bool:
        """Write a line on this thread, unless the disk is slow. Return whether that was done."""
        if self._thread is not None or self._closed:
            return False
        taken: List[bool] = []
        release = releasing(self._disk)
        try:
            taken.extend(map(self._disk.acquire, (True,), (_PATIENCE,)))  # one step: an interrupt leaves no lock taken
            if taken == [False] or self._thread is not None or self._closed:
                return False
            self._write_waiting()  # there is something only if no thread could be started
            self._write_now([line])
        finally:
            if taken == [True]:
                taken[:] = release
        if self._slow:
            self._leave(None)
        return True

    def close(self) -> None:
        """Write what waits, within `_CLOSING` seconds, and close the file."""
        with self._lock:
            self._closed = True
            thread = self._thread
        deadline = time.monotonic() + _CLOSING
        self._more.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSING)
        if not acquire(self._disk, max(0.0, deadline - time.monotonic())):
            safe_log.error("%s: the disk hangs; the recording is not closed", self._file.path)
            return
        try:
            if thread is None:
                self._write_waiting()
            self._drop_waiting()
            self._file.close()
        finally:
            self._disk.release()

    def _drop_waiting(self) -> None:
        """Leave out what was not written in time, so that the thread does not open the file again."""
        with self._lock:
            self.lost += len(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0

    def _after_fork(self) -> None:
        """Forget the lines and the thread of the parent: see `ocppj.forks`. The file goes on."""
        self._file.close()
        self._waiting.clear()
        self._waiting_bytes = self._unsaid = self.lost = self.written = 0
        self._thread = None
        self._more = Event()

    def _leave(self, line: Optional[bytes]) -> None:
        """Leave a line to the thread, and start that. ``None``: have it take over, because the disk is slow."""
        with self._lock:
            if self._closed:
                self.lost += line is not None
                return
            full = line is not None and self._waiting_bytes + len(line) > _MOST
            if line is not None and not full:
                self._waiting.append(line)
                self._waiting_bytes += len(line)
            thread, starts = self._thread, self._thread is None
            if thread is None:
                thread = self._thread = Thread(target=self._run, name="ocppj-recorder", daemon=True)
        if full:
            self._lose(1, "the disk is too slow")
        if starts:
            self._start(thread)
        self._more.set()

    def _start(self, thread: Thread) -> None:
        try:
            thread.start()
        except RuntimeError:  # no more threads: the next line tries again
            with self._lock:
                self._thread = None

    def _run(self) -> None:
        """Write what waits, until the disk is quick again."""
        idle = 0
        while True:
            idle = 0 if self._more.wait(_LOOK) else idle + 1
            self._more.clear()
            with self._disk:
                self._write_waiting()
            if self._ends(idle):
                return

    def _ends(self, idle: int) -> bool:
        """Tell whether the thread ends, and note that. ``idle``: how many looks have found nothing."""
        with self._lock:
            if self._waiting or (self._slow and not self._closed and idle < _LOOKS):
                return False
            self._thread = None
            return True

    def _write_waiting(self) -> None:
        """Write all that waits; for the thread that holds `_disk`."""
        while True:
            lines = self._take()
            if not lines:
                return
            self._write_now(lines)

    def _take(self) -> List[bytes]:
        """Take lines that wait."""
        lines: List[bytes] = []
        with self._lock:
            self._waiting_bytes -= _move(self._waiting, lines, self._batch)
        return lines

    def _write_now(self, lines: List[bytes]) -> None:
        """Write lines; for the thread that holds `_disk`."""
        begun = time.monotonic()
        if begun < self._retry_at:
            self._lose(len(lines), "")
            return
        missing = self._unsaid
        try:
            self._file.add(b"".join([*_gap(missing), *lines]) if missing else b"".join(lines))
        except OSError as error:
            self._retry_at = begun + _RETRY
            self._lose(len(lines), str(error))
        else:
            self._note_written(len(lines), missing)
        self._slow = time.monotonic() - begun >= _PATIENCE

    def _note_written(self, count: int, missing: int) -> None:
        with self._lock:
            self.written += count
            self._unsaid -= missing
            said, self._failing = self._failing, False
        if said:
            safe_log.warning("%s: the recording goes on; %d lines are missing so far", self._file.path, self.lost)

    def _lose(self, count: int, why: str) -> None:
        now = time.monotonic()
        with self._lock:
            self.lost += count
            self._unsaid += count
            silent = self._failing or now < self._quiet_until
            if not silent:
                self._failing, self._quiet_until = True, now + _QUIET
        if not silent:
            safe_log.error("%s: lines are left out of the recording: %s", self._file.path, why)


def _move(waiting: Deque[bytes], lines: List[bytes], most: int) -> int:
    """Move lines from the one to the other, as many as ``most`` bytes have, but one at least. Return their bytes."""
    size = 0
    while waiting and (not lines or size + len(waiting[0]) <= most):
        lines.append(waiting.popleft())
        size += len(lines[-1])
    return size


def _gap(missing: int) -> List[bytes]:
    """Return the line that says that lines are missing here."""
    return [format_line(Recorded(datetime.now(timezone.utc), event="lost", reason=f"{missing} lines"))]
