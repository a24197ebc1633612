"""Several server processes on one port, each like `ours.py`: forked before any of them listens.

    ours_forked.py --processes 2

It writes the port and the ids of the processes when all of them listen. They end when this process ends.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from typing import Tuple

from harness import ROOT, obey

sys.path.insert(0, str(ROOT))

from ceiling import Pause
from ours import NO_LIMITS, answer_all

from ocppj import Server, v16


def reserve() -> Tuple[socket.socket, int]:
    """Return a socket that keeps a port, and does not listen, and the port."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


def serve(port: int, ready: int, end: int) -> None:
    """Listen, until the other side of ``end`` is closed."""
    server = Server(profiles=v16.PROFILES, **NO_LIMITS)
    answer_all(server, Pause())
    server.listen(port, host="127.0.0.1", reuse_port=True)
    os.write(ready, b".")
    os.read(end, 1)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    kept, port = reserve()
    ready_read, ready_write = os.pipe()
    end_read, end_write = os.pipe()
    pids = []
    for _ in range(chosen.processes):
        pid = os.fork()
        if pid == 0:
            os.close(end_write)
            serve(port, ready_write, end_read)
        pids.append(pid)
    for _ in pids:
        os.read(ready_read, 1)
    kept.close()
    obey({"port": port, "pids": pids})


if __name__ == "__main__":
    main()
