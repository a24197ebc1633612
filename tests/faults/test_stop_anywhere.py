"""``stop()`` and ``disconnect()`` at any bytecode of the library, on the thread that runs it.

So may a signal handler, or a finalizer that the garbage collector calls, come in between. Neither may wait for a lock
that its own thread holds.
"""

import contextlib
import threading
import time
from functools import partial

import pytest

from ocppj import Client, OcppjError, Server, SQLiteQueue, SQLiteQueueMap, Stopped, handover, v16
from ocppj.ws.memory import MemoryNetwork
from tests.faults.injected import at_bytecode, count_bytecodes, some_points
from tests.fixtures import BEAT, HEARTBEAT, RESET
from tests.helpers import Recorder, eventually, seconds
from tests.ws.support import NO_WAIT

pytestmark = pytest.mark.alone

#: Seconds that a piece of work may take with a stop in between. A lock that is never released takes for ever.
LIMIT = seconds(8)


@pytest.fixture(autouse=True)
def little_patience(monkeypatch):
    """An interrupted thread waits for a moment: it may hold a lock at many of these bytecodes."""
    monkeypatch.setattr(handover, "PATIENCE", 0.02)


class Site:
    """A server and its client, over a memory network or TCP, with queues in memory or in files."""

    def __init__(self, tcp, folder):
        self.folder = folder
        network = None if tcp else MemoryNetwork()
        self.server = Server(
            profiles=v16.PROFILES,
            queues=SQLiteQueueMap(folder / "server.db") if folder else None,
            **({} if tcp else {"ws_server": network.server()}),
        )
        self.server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
        self.client = Client(
            "CP_1",
            profiles=v16.PROFILES,
            boot_first=False,
            queue=SQLiteQueue(folder / "client.db") if folder else None,
            **({"backoff": NO_WAIT} if tcp else {"ws_client": network.client(backoff=NO_WAIT)}),
        )
        self.client.on(v16.ResetRequest)(lambda request: v16.ResetResponse("Accepted"))
        self.url = None

    def listen(self):
        self.server.listen(port=0, host="127.0.0.1")
        self.url = self.server.url

    def connect(self):
        self.client.connect(self.url)

    def connect_again_and_again(self):
        self.client.connect(self.url, retry=True)

    def call(self):
        self.client.call(HEARTBEAT, timeout=seconds(5))

    def send_request(self):
        self.client.send_request(HEARTBEAT).result(seconds(5))

    def ask(self):
        self.server.call("CP_1", RESET, timeout=seconds(5))

    def wait_until_disconnected(self):
        eventually(lambda: not self.client.is_connected())

    def close(self):
        self.client.stop()
        self.server.stop()


def prepare(site, work):
    """Bring ``site`` to where ``work`` can be done."""
    if work != "listen":
        site.listen()
    if work not in ("listen", "connect", "connect_again_and_again"):
        site.connect()
        eventually(lambda: site.server.client_ids())


def settled():
    """Wait for what another thread does for one that was interrupted."""
    eventually(lambda: not [each for each in threading.enumerate() if each.name in ("ocppj-stop", "ocppj-disconnect")])


def in_time(work, what):
    begun = time.monotonic()
    with contextlib.suppress(OcppjError):
        work()
    assert time.monotonic() - begun < LIMIT, what


KINDS = {"memory": (False, False), "memory, files": (False, True), "tcp": (True, False)}
WORK = {
    "call": "client",
    "send_request": "client",
    "connect": "client",
    "connect_again_and_again": "client",
    "ask": "server",
    "listen": "server",
}


@pytest.fixture(params=KINDS)
def make_site(request, tmp_path):
    tcp, files = KINDS[request.param]
    numbers = iter(range(1_000_000))
    with contextlib.ExitStack() as stack:

        def make():
            folder = tmp_path / str(next(numbers)) if files else None
            if folder is not None:
                folder.mkdir()
            site = Site(tcp, folder)
            stack.callback(site.close)
            return site

        yield make


@pytest.mark.parametrize("work", WORK)
def test_stop_in_the_middle(make_site, work):
    for _ in range(2):  # the first time much is done that comes once in a process
        site = make_site()
        prepare(site, work)
        count = count_bytecodes(getattr(site, work))
        site.close()
    assert count > 100
    for point in some_points(count):
        site = make_site()
        prepare(site, work)
        stopped = getattr(site, WORK[work])
        in_time(partial(at_bytecode, point, getattr(site, work), stopped.stop), point)
        in_time(stopped.stop, point)  # again, as a program may do at its end
        site.wait_until_disconnected()
        # Nothing is left behind that is in the way of the next session.
        if WORK[work] == "server":
            site.client.stop()
            site.listen()
        site.connect()
        site.call()
        site.close()


@pytest.mark.parametrize("work", ["connect", "listen"])
def test_a_new_session_waits_for_a_stop_at_the_end_of_a_beginning(make_site, work):
    for _ in range(2):
        site = make_site()
        prepare(site, work)
        count = count_bytecodes(getattr(site, work))
        site.close()
    for point in range(count - 20, count + 1, 4):
        site = make_site()
        prepare(site, work)
        came = True
        with contextlib.suppress(Stopped):
            came = at_bytecode(point, getattr(site, work), getattr(site, WORK[work]).stop)
        if came:  # a beginning over TCP is sometimes a few bytecodes shorter
            getattr(site, work)()  # at once, and not "is started already"
        site.close()


@pytest.mark.parametrize("side", ["client", "server"])
def test_stop_in_the_middle_of_a_stop(make_site, side):
    site = make_site()
    prepare(site, "call")
    count = count_bytecodes(getattr(site, side).stop)
    site.close()
    for point in some_points(count):
        site = make_site()
        prepare(site, "call")
        stop = getattr(site, side).stop
        in_time(partial(at_bytecode, point, stop, stop), point)
        settled()
        site.wait_until_disconnected()
        site.close()
        site.listen()
        site.connect()
        site.call()
        site.close()


def test_disconnect_in_the_middle_of_a_call(make_site):
    site, ended = make_site(), Recorder()
    site.server.set_disconnected_client_handler(ended)
    prepare(site, "ask")
    count = count_bytecodes(site.ask)
    begun = []

    def disconnect():
        site.server.disconnect("CP_1")
        begun.append(True)

    for point in some_points(count):
        eventually(lambda: site.server.client_ids() and site.client.is_connected())
        in_time(partial(at_bytecode, point, site.ask, disconnect), point)
        ended.wait(len(begun))
        settled()
    assert begun


class Direct:
    """A server's transport without a network: what it receives is handled, and answered, on the thread that calls."""

    url = "direct"
    id = "CP_1"
    subprotocol = "ocpp1.6"
    remote_address = "direct"
    ping_interval = None

    def __init__(self):
        self.sent, self.ended = [], Recorder()

    def set_connected_handler(self, handler):
        self.connected = handler

    def set_message_handler(self, handler):
        self.message = handler

    def set_disconnected_handler(self, handler):
        self.disconnected = handler

    def listen(self, *arguments):
        pass

    def stop(self):
        self.ended()

    def send(self, text, wait=True):
        self.sent.append(text)

    def submit(self, job):
        job()

    def close(self, code=1000, reason=""):
        self.ended()


@pytest.mark.parametrize("what", ["stop", "disconnect"])
def test_in_the_middle_of_a_call_that_is_handled(what):
    ws = Direct()
    server = Server(profiles=v16.PROFILES, ws_server=ws)
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    server.add_observer(lambda frame: None)
    act = server.stop if what == "stop" else partial(server.disconnect, "CP_1")

    def work():
        ws.message(ws, '[2,"1","Heartbeat",{}]')

    server.listen()
    ws.connected(ws)
    work()  # what is done once is done
    for point in some_points(count_bytecodes(work)):
        ended = ws.ended = Recorder()
        in_time(partial(at_bytecode, point, work, act), point)
        ended.wait()
        settled()
        server.stop()
        server.listen()
        ws.connected(ws)
        ws.sent.clear()
        ws.message(ws, '[2,"2","Heartbeat",{}]')
        assert ws.sent[0].startswith('[3,"2"'), point
    server.stop()


def test_a_stop_before_the_session_begins_stops_it(make_site):
    """A signal may come after the first bytecode of ``connect()``, before there is anything to stop."""
    site = make_site()
    site.listen()
    raised = []
    for point in range(41, 241, 20):
        try:
            at_bytecode(point, site.connect, site.client.stop)
        except Stopped as error:
            raised.append(error)
        site.client.stop()
        settled()
        assert not site.client.is_connected()
    assert len(raised) == 10


def test_a_stop_that_needs_the_interrupted_thread_is_not_waited_for(make_site, monkeypatch):
    """It cannot end before ``connect()`` has ended, or the ``stop()`` that it interrupted."""
    monkeypatch.setattr(handover, "PATIENCE", 10 * LIMIT)
    site = make_site()
    site.listen()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        at_bytecode(500, site.connect, site.client.stop)
    assert time.monotonic() - begun < LIMIT
    settled()
    site.connect()
    in_time(lambda: at_bytecode(300, site.client.stop, site.client.stop), "stop")
