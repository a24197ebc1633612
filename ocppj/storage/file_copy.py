"""`copied`: a copy of a request database that another process may have open and may be writing just now.

The process that has the file holds its locks for as long as it runs, so SQLite cannot read it meanwhile. But the copy
of the database and its WAL can be told to be whole:

* What is in the WAL stays there until the WAL begins anew, which changes its header. So if the header is the same after
  the copy as before it, the WAL of the copy has all that the copy of the database may lack. The end of the WAL may be
  torn: SQLite reads it up to the last commit that is whole.
* Without a WAL, the database itself must not have changed meanwhile.

If neither holds, the copy is made again.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from shutil import copyfile as copy_file
from typing import Iterator, Optional, Tuple

from ..errors import QueueFailed

__all__ = ["copied"]

_TRIES = 20
_HEADER = 32  # bytes of that of a WAL


@contextmanager
def copied(path: str) -> Iterator[str]:
    """Return the path of a copy, with its WAL beside it, in a folder that is removed afterwards.

    This must not be a process that has the database open: to close a file would end its locks.

    Raises:
        QueueFailed: The file changes too fast.
        OSError: It cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="ocppj-queue-") as folder:
        copy = os.path.join(folder, "requests.db")
        for _ in range(_TRIES):
            if _copy(path, copy):
                yield copy
                return
        raise QueueFailed(f"{path} cannot be read: it changes all the time. Try again")


def _copy(path: str, copy: str) -> bool:
    """Copy the database, then its WAL. Return whether they belong together."""
    before = _mark(path)
    copy_file(path, copy)
    try:
        copy_file(path + "-wal", copy + "-wal")
    except FileNotFoundError:
        if os.path.exists(copy + "-wal"):
            os.unlink(copy + "-wal")  # of a try before
    return before == _mark(path)


def _mark(path: str) -> Tuple[bytes, Optional[Tuple[int, int, int]]]:
    """Return what is the same as long as the WAL goes on, or, without one, as long as the database is not written."""
    try:
        with open(path + "-wal", "rb") as file:
            header = file.read(_HEADER)
    except FileNotFoundError:
        header = b""
    if header:
        return header, None
    status = os.stat(path)
    return b"", (status.st_mtime_ns, status.st_size, status.st_ino)
