"""Random traffic between clients and a server whose handlers call each other: nothing moves once all is quiet.

Each schedule is drawn from a seed: the kind of readers, handlers that answer, that ask the other side first, that wait,
and that answer later; connections that are cut, and regained after a wait. The clock is held.
"""

import contextlib
import itertools
import os
import random
import sys
import threading

import pytest

from ocppj import Backoff, Client, ManualClock, OcppjError, Server, v16
from ocppj.errors import NotConnected
from ocppj.events import Event
from ocppj.ws.memory import MemoryNetwork
from tests.helpers import seconds

SCHEDULES = int(os.environ.get("OCPPJ_QUIET_SCHEDULES", "300"))
PARTS = 4  # so that several processes may share the work
LONG = seconds(30)
STEPS = 2
GRACE = 0.0005  # seconds in which something could happen that has begun
MOST_TIMERS = 4
DATA = ["", "", "ask", "ask ask", "wait", "later", "ask later", "ask wait", "send", "send ask", "wait ask send"]
READERS = ["per-connection", "shared", "auto"]


class Ledger:
    """What has happened, and what must have happened when all is quiet."""

    def __init__(self):
        self._lock = threading.Lock()
        self.happened = 0
        self.running = 0  # handlers that run, but do not wait
        self.shown = {}  # frames by (client id, which side, direction)

    def note(self, running=0):
        with self._lock:
            self.happened += 1
            self.running += running

    def show(self, side, frame):
        with self._lock:
            self.happened += 1
            key = frame.client_id, side, frame.direction
            self.shown[key] = self.shown.get(key, 0) + (1 if frame.sent else 0)


class Traffic:
    """A server and its clients, with handlers that do what the data of a DataTransfer says: ``"ask wait answer"``."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.clock = ManualClock()
        self.network = MemoryNetwork()
        readers = self.random.choice(READERS)
        self.futures = []
        self.over = Event()
        self._delays = itertools.cycle([self.random.uniform(0, 200) for _ in range(7)])
        self._pauses = itertools.cycle([self.random.choice([0, 0, 0, 0.0001, 0.0005]) for _ in range(11)])
        options = {"profiles": v16.PROFILES, "clock": self.clock, "timeout": 100.0, "answer_timeout": None}
        self.server = Server(ws_server=self.network.server(readers=readers), **options)
        self._add_handlers(self.server, self.server.call)
        self.server.listen(0)
        self.clients = [self._make_client(f"CP_{number}", options) for number in range(self.random.randint(1, 3))]

    def _make_client(self, name, options):
        readers, wait = self.random.choice(READERS), self.random.uniform(1, 50)
        transport = self.network.client(readers=readers, clock=self.clock, backoff=Backoff(wait, 0, 0))
        client = Client(name, ws_client=transport, **options)
        self._add_handlers(client, lambda client_id, request: client.call(request))
        client.add_observer(lambda frame: self.ledger.show("client", frame))
        return client.connect(self.server.url)

    def _add_handlers(self, side, call):
        if side is self.server:
            side.add_observer(lambda frame: self.ledger.show("server", frame))
            side.on(v16.DataTransferRequest, pass_id=True)(
                lambda client_id, request, message_id: self._handle(side, call, client_id, request, message_id)
            )
        else:
            side.on(v16.DataTransferRequest, pass_id=True)(
                lambda request, message_id: self._handle(side, call, None, request, message_id)
            )

    def _handle(self, side, call, client_id, request, message_id):
        self.ledger.note(running=1)
        try:
            words = (request.data or "").split()
            self._pause()
            for position, word in enumerate(words):
                rest = " ".join(words[position + 1 :])
                if word == "ask":
                    self.ledger.note(running=-1)
                    with contextlib.suppress(OcppjError):
                        call(client_id, v16.DataTransferRequest(vendor_id="V", data=rest))
                    self.ledger.note(running=1)
                elif word == "wait":
                    self.ledger.note(running=-1)
                    self.clock.wait(self.over, next(self._delays))
                    self.ledger.note(running=1)
                elif word == "send":
                    self._send(side, client_id, rest)
                elif word == "later":
                    ids = [message_id] if client_id is None else [client_id, message_id]
                    self.clock.call_later(next(self._delays), lambda ids=ids: self._answer(side, ids), "later")
                    return None
            self._pause()
            return v16.DataTransferResponse(status="Accepted")
        finally:
            self.ledger.note(running=-1)

    def _answer(self, side, ids):
        self.ledger.note()
        with contextlib.suppress(OcppjError):
            side.send_response(*ids, v16.DataTransferResponse(status="Accepted"))

    def _pause(self):
        pause = next(self._pauses)
        if pause:
            threading.Event().wait(pause)

    def _send(self, side, client_id, data):
        with contextlib.suppress(NotConnected, OcppjError):
            ids = [] if client_id is None else [client_id]
            future = side.send_request(*ids, v16.DataTransferRequest(vendor_id="V", data=data))
            future.add_done_callback(lambda future: self.ledger.note())
            self.futures.append(future)

    def draw_data(self):
        kinds = [
            "",
            "",
            "ask",
            "ask ask",
            "wait",
            "later",
            "ask later",
            "ask wait",
            "send",
            "send ask",
            "wait ask send",
        ]
        return self.random.choice(kinds)

    def step(self):
        """Begin something, perhaps on two threads at once."""
        burst = [self._draw_act() for _ in range(self.random.randint(1, 5))]
        threads = [threading.Thread(target=act, daemon=True) for act in burst[3:]]
        for thread in threads:
            thread.start()
        for act in burst[:3]:
            act()
        for thread in threads:
            thread.join(LONG)

    def _draw_act(self):
        client, data, kind = self.random.choice(self.clients), self.draw_data(), self.random.random()
        if kind < 0.4:
            return lambda: self._send(client, None, data)
        if kind < 0.8:
            return lambda: self._send(self.server, client.id, data)
        if kind < 0.9:
            return lambda: self._cut(client)
        seconds_ = self.random.uniform(0, 120)
        return lambda: self.clock.advance(seconds_)

    def _cut(self, client):
        with contextlib.suppress(OcppjError):
            self.server.abort(client.id)

    def check_quiet(self):
        """Fail if anything is under way, or begins by itself."""
        assert self.network.wait_until_quiet(LONG), self.network.activity.under_way()
        ledger = self.ledger
        before = ledger.happened
        assert ledger.running == 0, "a handler runs"
        threading.Event().wait(GRACE)
        assert ledger.happened == before, "something has happened after all was quiet"

    def stop(self):
        self.over.set()
        for client in self.clients:
            client.stop()
        self.server.stop()
        assert self.network.wait_until_quiet(LONG), self.network.activity.under_way()


@pytest.fixture
def many_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_moves_once_all_is_quiet(part, many_switches):
    for seed in range(part, SCHEDULES, PARTS):
        traffic = Traffic(seed)
        try:
            for _ in range(STEPS):
                traffic.step()
                traffic.check_quiet()
            for _ in range(MOST_TIMERS):
                due = traffic.clock.next_due()
                if due is None:
                    break
                traffic.clock.advance(due)
                traffic.check_quiet()
        except BaseException:
            print(f"the schedule of seed {seed}")
            raise
        finally:
            traffic.stop()
        assert all(future.done() for future in traffic.futures)
