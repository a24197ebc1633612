"""Where a control socket is: ``unix:/run/ocppj.sock``, and the place that `ocppj serve` and `ocppj call` agree on."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from ..errors import UsageError

__all__ = ["check_support", "default_address", "path_of"]

_SCHEME = "unix:"
_NAME = "ocppj.sock"


def path_of(address: str) -> str:
    """Return the absolute path of an address such as ``unix:/run/ocppj.sock``. Raises `UsageError` if it is none."""
    if not isinstance(address, str) or not address.startswith(_SCHEME):
        raise UsageError(f"a control socket has an address such as unix:/run/ocppj.sock, not {address!r}")
    path = address[len(_SCHEME) :]
    if path.startswith("//"):  # unix:///run/ocppj.sock
        path = path[2:]
    if not path or "\0" in path:
        raise UsageError(f"{address!r} has no path: write unix:/run/ocppj.sock")
    return os.path.abspath(path)


def check_support() -> Any:
    """Return the family of Unix sockets. Raises `UsageError` on a system without them."""
    family = getattr(socket, "AF_UNIX", None)
    if family is None or not hasattr(os, "getuid"):
        raise UsageError("a control socket needs Unix sockets, which this system (or its Python) does not have")
    return family


def default_address() -> str:
    """Return where ``ocppj serve`` of this user has its control socket.

    It is ``ocppj.sock`` in the folder XDG_RUNTIME_DIR, if that is this user's; else in a folder of this user alone in
    the folder for temporary files.

    Raises:
        UsageError: There are no Unix sockets here, or the folder belongs to another user, or others may use it.
    """
    check_support()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and _is_private(Path(runtime)):
        return f"{_SCHEME}{os.path.join(runtime, _NAME)}"
    folder = Path(tempfile.gettempdir()) / f"ocppj-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise UsageError(f"the folder of the control socket cannot be made: {error}") from None
    if not _is_private(folder):
        raise UsageError(f"{folder} is not this user's alone: remove it, or give another address of a control socket")
    return f"{_SCHEME}{folder / _NAME}"


def _is_private(folder: Path) -> bool:
    """Tell whether it is a folder, and no link, of this user, in which others may not write."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
