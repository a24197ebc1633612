"""`LineFile`: a file that lines are added to, each whole or not at all. A large one is put aside."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Optional

from .file_lock import is_at, locked

__all__ = ["LineFile"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_MODE = 0o600  # frames tell of people: the file is for its owner alone
#: What a half line of ours begins with: a process was killed in the middle of its write.
_BEGINNING = b'{"time": "'
_LONGEST = 1 << 20  # bytes of a half line that are looked for


class LineFile:
    """Not thread-safe: its owner has a lock. Other processes may add lines to the same file.

    Args:
        path: The file. It is made if it is not there.
        max_bytes: A file that would be larger is put aside: ``path.1`` is the newest of those. ``None``: never.
        keep: How many files are kept aside. Older ones are removed.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: str, max_bytes: Optional[int], keep: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._file: Optional[int] = None
        self._open()

    def add(self, data: bytes) -> None:
        """Add whole lines. Raises ``OSError``: then nothing was added."""
        file = self._open() if self._file is None else self._file
        if self._max_bytes is not None and self._is_full(file, len(data), self._max_bytes):
            self._put_aside(file)
            file = self._open() if self._file is None else self._file
        written = os.write(file, data)
        if written < len(data):  # the disk is full, or a signal came
            self._write_rest(file, data, written)

    def close(self) -> None:
        """Close the file. `add` opens it again."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.close(file)

    def _open(self) -> int:
        file = os.open(self.path, _FLAGS, _MODE)
        try:
            _end_line(file, os.fstat(file).st_size)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return file

    def _is_full(self, file: int, more: int, most: int) -> bool:
        size = os.fstat(file).st_size  # other processes may have added lines
        return size > 0 and size + more > most

    def _write_rest(self, file: int, data: bytes, written: int) -> None:
        """Write the rest of ``data``. If that fails, take back what was written, and raise."""
        try:
            while written < len(data):
                written += os.write(file, data[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(file, os.fstat(file).st_size - written)
            raise

    def _put_aside(self, file: int) -> None:
        """Rename the files, and begin a new one, unless another process has done that already.

        Readers hold the same lock, so they see the files before or after that.
        """
        with locked(self.path):
            if is_at(file, self.path):
                if sys.platform == "win32":  # an open file cannot be renamed there
                    self.close()
                self._rename()
                self._file = None
                self._open()
        if self._file is file:  # another process has
            self._file = None
        if sys.platform != "win32":
            os.close(file)

    def _rename(self) -> None:
        if not self._keep:
            os.unlink(self.path)
            return
        count = 0
        while count < self._keep - 1 and os.path.exists(f"{self.path}.{count + 1}"):
            count += 1
        for number in range(count, 0, -1):
            os.replace(f"{self.path}.{number}", f"{self.path}.{number + 1}")
        os.replace(self.path, f"{self.path}.1")


def _end_line(file: int, size: int) -> None:
    """Have the file end with a whole line. A half line of ours is removed."""
    if not size:
        return
    start = max(0, size - _LONGEST)
    os.lseek(file, start, os.SEEK_SET)
    tail = _read(file, size - start)
    if tail.endswith(b"\n"):
        return
    line_start = tail.rfind(b"\n") + 1
    if (line_start or not start) and tail[line_start:].startswith(_BEGINNING):
        os.ftruncate(file, start + line_start)
    else:
        os.write(file, b"\n")


def _read(file: int, size: int) -> bytes:
    parts = []
    while size > 0:
        part = os.read(file, size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
