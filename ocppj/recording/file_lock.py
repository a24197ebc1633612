"""A lock that processes which put files aside, and those that read them, hold meanwhile: that of their directory."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import Any, Iterator

__all__ = ["is_at", "locked"]


@contextmanager
def locked(path: str, shared: bool = False) -> Iterator[None]:
    """Hold the lock of the directory of a file, alone or with others.

    Where there is no such lock, nothing is held: on Windows, in a file system without locks, in a directory that may
    not be read.
    """
    try:
        import fcntl

        locks: Any = fcntl  # a module of systems without it has no such names, for mypy
        directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with suppress(OSError):
            locks.flock(directory, locks.LOCK_SH if shared else locks.LOCK_EX)
        yield
    finally:
        with suppress(OSError):  # a process that was forked meanwhile has a copy: to close ours is not enough
            locks.flock(directory, locks.LOCK_UN)
        os.close(directory)


def is_at(file: int, path: str) -> bool:
    """Tell whether an open file is the one at ``path``."""
    try:
        status, there = os.fstat(file), os.stat(path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (there.st_dev, there.st_ino)
