"""`SocketFile`: a listening Unix socket for one user, at a path that no other server has."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import Any, Iterator, Optional, Tuple

from ..errors import AddressInUse, TransportError, UsageError
from ..events import Event
from .address import check_support

__all__ = ["SocketFile"]

_BACKLOG = 64
_MODE = 0o600
_PATIENCE = 2.0  # seconds in which another process replaces or removes the socket
_LOOK = 0.01  # seconds between two looks meanwhile


class SocketFile:
    """A Unix socket that listens at ``path``. It has the mode 0600 from the first moment on.

    It is made in a folder of its own, which only this user can enter, and moved to its place when it listens. So there
    is never a socket with another mode, nor one that does not listen yet.

    Args:
        path: An absolute path.

    Attributes:
        socket: The socket, which does not block.

    Raises:
        AddressInUse: Another process listens there.
        TransportError: The socket cannot be made.
        UsageError: Something else than a socket is there, or this system has no Unix sockets.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._family = check_support()
        self._place: Optional[Tuple[int, int]] = None  # of the file: what stands there may be another one's later
        folder = os.path.dirname(path)
        try:
            with _locked(folder):
                self._check_place()
                self.socket: socket.socket = self._listen(folder)
        except OSError as error:
            if isinstance(error, TransportError):
                raise
            story = f"cannot listen on unix:{path}: {error}"
            raise TransportError(story) from None

    def _check_place(self) -> None:
        """Raise an error if the path is taken. A socket at which nothing listens any more is not in the way."""
        is_live = self._is_live()
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(status.st_mode):
            raise UsageError(f"{self.path} is there already, and is no socket")
        if is_live:
            held = AddressInUse(f"another process listens on unix:{self.path}")
            held.address = f"unix:{self.path}"
            raise held

    def _is_live(self) -> bool:
        with socket.socket(self._family) as peer:
            peer.setblocking(False)
            with _short_enough():
                code = peer.connect_ex(self.path)
        return code not in (errno.ECONNREFUSED, errno.ENOENT)

    def _listen(self, folder: str) -> socket.socket:
        own = tempfile.mkdtemp(prefix=".", dir=folder)  # with the mode 0700
        made = socket.socket(self._family)
        try:
            made.setblocking(False)
            temporary = os.path.join(own, "s")
            with _short_enough():
                made.bind(temporary)
            os.chmod(temporary, _MODE)
            made.listen(_BACKLOG)
            status = os.stat(temporary)
            os.rename(temporary, self.path)
            self._place = status.st_dev, status.st_ino
            return made
        except BaseException:
            made.close()
            raise
        finally:
            shutil.rmtree(own, ignore_errors=True)

    def close(self) -> None:
        """Listen no more, and remove the file, unless it is another one's by now."""
        with suppress(OSError):
            self.socket.close()
        place, self._place = self._place, None
        if place is not None:
            with suppress(OSError), _locked(os.path.dirname(self.path)):
                self._remove(place)

    def _remove(self, place: Tuple[int, int]) -> None:
        status = os.lstat(self.path)
        if (status.st_dev, status.st_ino) == place:
            os.unlink(self.path)


@contextmanager
def _short_enough() -> Iterator[None]:
    """Say so in plain words if a path is too long for a Unix socket."""
    try:
        yield
    except OSError as error:
        if error.errno in (None, errno.ENAMETOOLONG):  # the first one is Python's own: "AF_UNIX path too long"
            raise OSError("the path is too long for a Unix socket: take a shorter one") from None
        raise


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Hold the lock of a folder: two processes do not look, and replace, at the same time."""
    import fcntl

    locks: Any = fcntl  # a module of systems without it has no such names, for mypy
    handle = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + _PATIENCE
        while not _lock(locks, handle) and time.monotonic() < deadline:
            Event().wait(_LOOK)
        yield
    finally:
        os.close(handle)  # that gives up the lock


def _lock(locks: Any, handle: int) -> bool:
    try:
        locks.flock(handle, locks.LOCK_EX | locks.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
