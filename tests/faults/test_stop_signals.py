"""``stop()`` from real signal handlers, finalizers, log handlers and at the end of the process."""

import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from ocppj import Client, OcppjError, Server, handover, v16
from ocppj.ws.memory import MemoryNetwork
from tests.faults.injected import at_bytecode, count_bytecodes, some_points
from tests.fixtures import BEAT, HEARTBEAT
from tests.helpers import Recorder, eventually, seconds

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parent.parent.parent
#: How often a signal comes into a loop of calls.
ROUNDS = int(os.environ.get("OCPPJ_STOP_SIGNALS", "25"))

BEGIN = f"""
import atexit, faulthandler, logging, random, signal, sys, threading, time
from datetime import datetime, timezone
from ocppj import Client, OcppjError, Server, SQLiteQueue, Stopped, v16
from ocppj.ws.memory import MemoryNetwork

faulthandler.dump_traceback_later({seconds(45)}, exit=True)  # before the time limit of the test
HEARTBEAT = v16.HeartbeatRequest()
network = MemoryNetwork()

def make(tcp=True, **options):
    server = Server(profiles=v16.PROFILES, **({{}} if tcp else {{"ws_server": network.server()}}))
    server.on(v16.HeartbeatRequest)(lambda id, request: v16.HeartbeatResponse(datetime.now(timezone.utc)))
    options.update({{}} if tcp else {{"ws_client": network.client()}})
    client = Client("CP_1", profiles=v16.PROFILES, boot_first=False, **options)
    return server, client

def left():
    return [each.name for each in threading.enumerate() if each.name.startswith("ocppj-")]

def wait_until(condition):
    end = time.monotonic() + {seconds(20)}
    while not condition():
        assert time.monotonic() < end, left()
        threading.Event().wait(0.002)
"""


def run(source, folder, *arguments):
    """Run a program in a process of its own, and return what it printed."""
    program = folder / "program.py"
    program.write_text(BEGIN + source, "utf-8")
    done = subprocess.run(
        [sys.executable, str(program), *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=seconds(90),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.split()


unix = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")

LOOP = """
which, tcp, rounds, stored = sys.argv[1], sys.argv[2] == "tcp", int(sys.argv[3]), sys.argv[4] == "stored"
server, _ = make(tcp)
took = []
for number in range(rounds):
    if not server._lifecycle.started:
        server.listen(port=0, host="127.0.0.1")
    options = {"queue": SQLiteQueue("requests.db")} if stored else {}
    options.update({} if tcp else {"ws_client": network.client()})
    client = Client("CP_1", profiles=v16.PROFILES, boot_first=False, **options).connect(server.url)
    stopped = client if which == "client" else server

    def handle(number, frame):
        begun = time.monotonic()
        stopped.stop()
        took.append(time.monotonic() - begun)

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.002 + random.random() / 50)
    try:
        while len(took) <= number:
            if stored:
                client.send_request(HEARTBEAT).result(5)
            else:
                client.call(HEARTBEAT, timeout=5)
    except OcppjError:
        pass
    wait_until(lambda: len(took) > number and "ocppj-stop" not in left())
    client.stop()
server.stop()
wait_until(lambda: not left())
print("done" if max(took) < 5 else took)
"""


@unix
@pytest.mark.parametrize(
    ("which", "transport", "queue"),
    [
        ("client", "tcp", "memory"),
        ("client", "memory", "memory"),
        ("client", "tcp", "stored"),
        ("server", "tcp", "memory"),
        ("server", "memory", "memory"),
    ],
)
def test_a_signal_handler_stops_a_loop_of_calls(tmp_path, which, transport, queue):
    """It froze within 21 stops: the handler waited for the lock of the stream that the call was written to."""
    assert run(LOOP, tmp_path, which, transport, ROUNDS, queue) == ["done"]


@unix
@pytest.mark.parametrize("method", ["start", "start_with_retries", "server.start", "result"])
def test_a_signal_handler_ends_a_wait(tmp_path, method):
    source = """
server, client = make()
method = sys.argv[1]
if method != "server.start":
    server.listen(port=0, host="127.0.0.1")
stopped = server if method == "server.start" else client
signal.signal(signal.SIGTERM, lambda number, frame: stopped.stop())
threading.Timer(0.3, signal.raise_signal if sys.platform == "win32" else __import__("os").kill,
                (__import__("os").getpid(), signal.SIGTERM)).start()
if method == "server.start":
    server.start(0, host="127.0.0.1")
elif method == "result":
    server.on(v16.HeartbeatRequest, pass_id=True)(lambda id, request, message_id: None)
    client.connect(server.url)
    try:
        client.send_request(HEARTBEAT).result(30)
    except Stopped:
        print("Stopped")
else:
    getattr(client, method)(server.url)
print("returned")
wait_until(lambda: "ocppj-stop" not in left())
server.stop()
client.stop()
wait_until(lambda: not left())
"""
    assert run(source, tmp_path, method) == [*(["Stopped"] if method == "result" else []), "returned"]


def test_at_the_end_of_the_process(tmp_path):
    source = """
server, client = make()
server.listen(port=0, host="127.0.0.1")
client.connect(server.url)
client.call(HEARTBEAT)
atexit.register(print, "end")
atexit.register(server.stop)
atexit.register(client.stop)
client.set_disconnected_handler(lambda close: print("disconnected", close.code, flush=True))
"""
    assert run(source, tmp_path) == ["disconnected", "1000", "end"]


def test_a_finalizer_at_the_end_of_the_process(tmp_path):
    """The other threads are gone by then, perhaps with locks of ours."""
    source = """
class Owner:
    def __init__(self, **parts):
        self.parts = parts
        self.me = self

    def __del__(self):
        for each in self.parts.values():
            each.stop()
        sys.__stdout__.write("finalized\\n")

server, client = make()
server.listen(port=0, host="127.0.0.1")
sys.owner = Owner(server=server, client=client.connect(server.url))
client.call(HEARTBEAT)
"""
    assert run(source, tmp_path) in ([], ["finalized"])


class Owner:
    """Stops its client when the garbage collector finds it, wherever that is."""

    def __init__(self, client, told):
        self.client, self.told = client, told
        self.me = self  # so that it is found by the collector alone

    def __del__(self):
        self.client.stop()
        self.told()


@pytest.fixture
def server():
    server = Server(profiles=v16.PROFILES)
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    with server.listen(host="127.0.0.1"):
        yield server


@pytest.fixture
def collect():
    """The garbage collector comes when it is called, and at no other time."""
    gc.collect()
    gc.disable()
    gc.freeze()  # what is there is not looked at again
    yield gc.collect
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("own", [True, False], ids=["its own client", "another client"])
def test_a_finalizer_in_the_middle_of_a_call(server, collect, monkeypatch, own):
    monkeypatch.setattr(handover, "PATIENCE", 0.02)  # it may hold a lock at many of these bytecodes
    told = Recorder()
    with Client("other", profiles=v16.PROFILES).connect(server.url) as other:
        count = count_bytecodes(lambda: other.call(HEARTBEAT))
        for number, point in enumerate(some_points(count)):
            client = Client("CP_1", profiles=v16.PROFILES).connect(server.url)
            caller = client if own else other
            Owner(client, told)
            with contextlib.suppress(OcppjError):
                at_bytecode(point, partial(caller.call, HEARTBEAT, seconds(5)), collect)
            collect()  # if the call had fewer bytecodes than the first one
            told.wait(number + 1)
            eventually(partial(_is_gone, client))


def _is_gone(client):
    return not client.is_connected()


def test_a_log_handler_stops_what_logs():
    """Whatever thread logs: here it is the one that reads the connection, inside the library."""
    network = MemoryNetwork()
    server = Server(profiles=v16.PROFILES, ws_server=network.server())
    client = Client("CP_1", profiles=v16.PROFILES, ws_client=network.client())
    stopped = Recorder()

    class Stopper(logging.Handler):
        def emit(self, record):
            if "nobody handles" in record.getMessage():
                begun = time.monotonic()
                server.stop()
                stopped(time.monotonic() - begun)

    handler = Stopper()
    logging.getLogger("ocppj").addHandler(handler)
    try:
        with server.listen(), client.connect(server.url):
            with pytest.raises(OcppjError):
                client.call(HEARTBEAT, timeout=seconds(5))
            assert stopped.wait()[0][0] < seconds(3)
            eventually(lambda: "ocppj-stop" not in [each.name for each in threading.enumerate()])
            server.listen()
    finally:
        logging.getLogger("ocppj").removeHandler(handler)


@unix
def test_a_signal_in_a_log_call(server):
    """The handler of the signal runs while its thread has the lock of the log handler, which others need."""
    client = Client("CP_1", profiles=v16.PROFILES).connect(server.url)
    took = []

    class Slow(logging.Handler):
        def emit(self, record):
            if record.getMessage() == "now":
                signal.raise_signal(signal.SIGUSR1) if hasattr(signal, "raise_signal") else None

    def handle(number, frame):
        begun = time.monotonic()
        client.stop()
        took.append(time.monotonic() - begun)

    handler, before = Slow(), signal.signal(signal.SIGUSR1, handle)
    logging.getLogger("ocppj").addHandler(handler)
    try:
        logging.getLogger("ocppj").warning("now")
        assert took and took[0] < seconds(3)
        eventually(lambda: not client.is_connected())
    finally:
        logging.getLogger("ocppj").removeHandler(handler)
        signal.signal(signal.SIGUSR1, before)
        client.stop()
