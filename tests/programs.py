"""Programs that tests start: each in a process of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

from tests.helpers import seconds

ROOT = Path(__file__).resolve().parent.parent

BEGIN = f"""
import atexit, faulthandler, os, signal, sys, threading, time
from datetime import datetime, timezone
from ocppj import Client, NotRunning, OcppjError, QueueFailed, Server, SQLiteQueueMap, SharedReaders, v16

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
if hasattr(signal, "SIGALRM"):
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm({int(seconds(25))})
HEARTBEAT, RESET = v16.HeartbeatRequest(), v16.ResetRequest(type="Soft")

def make(server_options={{}}, **client_options):
    server = Server(profiles=v16.PROFILES, **server_options)
    server.on(v16.HeartbeatRequest)(lambda id, request: v16.HeartbeatResponse(datetime.now(timezone.utc)))
    client = Client("CP_1", profiles=v16.PROFILES, **client_options)
    client.on(v16.ResetRequest)(lambda request: v16.ResetResponse("Accepted"))
    return server, client

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # at once: several threads say something

def wait_until(condition):
    end = time.monotonic() + {seconds(10)}
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.002)

def listening(server):
    try:
        return server.url != ""
    except OcppjError:
        return False

def in_child(work):
    '''Run the function in a forked process, which ends as a program does. Return its status, 0 if all is well.'''
    number = os.fork()
    if number:
        return os.WEXITSTATUS(os.waitpid(number, 0)[1])
    signal.alarm({int(seconds(15))})
    try:
        work()
    except BaseException:
        import traceback
        traceback.print_exc()
        sys.exit(1)
    sys.exit(0)
"""


def environment() -> Dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run(source: str, folder: Path, *arguments: Any) -> List[str]:
    """Run a program that begins with `BEGIN`, in ``folder``, and return the lines that it printed."""
    program = folder / "program.py"
    program.write_text(BEGIN + source, "utf-8")
    done = subprocess.run(
        [sys.executable, str(program), *map(str, arguments)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=seconds(60),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines()


def silent_peer(url: str, identity: str = "CP_9") -> socket.socket:
    """Connect a client that never answers a Close, and return its socket."""
    host, _, port = url.split("/")[2].rpartition(":")
    sock = socket.create_connection((host, int(port)), timeout=seconds(10))
    head = (
        f"GET /{identity} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Protocol: ocpp1.6\r\n"
    )
    sock.sendall(f"{head}\r\n".encode())
    assert b" 101 " in sock.recv(1000)
    return sock
