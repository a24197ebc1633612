"""Sockets that systemd hands over (socket activation, ``sd_listen_fds``)."""

from __future__ import annotations

import os
import socket
from typing import List, Optional

__all__ = ["systemd_sockets"]

_FIRST = 3  # descriptors 0 to 2 are the standard streams


def systemd_sockets(name: Optional[str] = None) -> List[socket.socket]:
    """Return the sockets of the ``.socket`` units that started this process: ``server.listen(sock=systemd_sockets())``.

    systemd listens on them before this process starts and after it has ended. So no client is refused while the service
    starts again. Each call returns new socket objects, which may be closed.

    Args:
        name: Those of the units with this ``FileDescriptorName=``. ``None``: all.

    Returns:
        A list, empty if systemd has handed none over to this process. It hands them to the process that it starts, not
        to that one's children.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    socks = []
    for position in range(_count()):
        descriptor = _FIRST + position
        os.set_inheritable(descriptor, False)  # programs that this one starts do not get it
        if name is None or names[position : position + 1] == [name]:
            socks.append(socket.socket(fileno=os.dup(descriptor)))
    return socks


def _count() -> int:
    try:
        return max(0, int(os.environ.get("LISTEN_FDS", "0")))
    except ValueError:
        return 0
