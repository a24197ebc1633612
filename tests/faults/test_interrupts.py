"""KeyboardInterrupt at each bytecode of the thread that calls: the endpoints go on, and end, as if nothing had been.

``OCPPJ_INTERRUPTS`` is at how many points each piece of work is interrupted at most.
"""

import ast
import dis
import os
import signal
import sys
import threading
from pathlib import Path
from types import CodeType

import pytest

import ocppj
from ocppj import (
    Client,
    ConnectionLost,
    DefaultClientDispatcher,
    DefaultServerDispatcher,
    FIFOClientQueue,
    OcppjError,
    Server,
    TransportError,
    v16,
)
from ocppj.budget import MemoryBudget
from ocppj.dispatch.queues import RequestBundle
from ocppj.durable import SQLiteQueue, SQLiteQueueMap
from ocppj.exchange.connection import Connection
from ocppj.exchange.waiting import WaitingCalls
from ocppj.rpc.messages import Call
from ocppj.ws.memory import MemoryNetwork
from tests.faults.interrupts import Injector
from tests.fixtures import BEAT, HEARTBEAT, RESET, RESET_DONE
from tests.helpers import eventually, seconds
from tests.inside.endpoints import is_pending, open_calls, queued

MOST = int(os.environ.get("OCPPJ_INTERRUPTS", "150"))
AUTHORIZE = v16.AuthorizeRequest(id_tag="x")
AUTHORIZED = v16.AuthorizeResponse(id_tag_info=v16.IdTagInfo(status="Accepted"))

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.implementation.name != "cpython", reason="it is about CPython's bytecodes"),
]


class Pair:
    """A server and a connected client."""

    def __init__(self, folder, tcp=False, stored=False, observed=False):
        network = MemoryNetwork()
        ours = {} if tcp else {"ws_server": network.server()}
        theirs = {} if tcp else {"ws_client": network.client()}
        if stored:
            ours["dispatcher"] = DefaultServerDispatcher(SQLiteQueueMap(folder / "server.db"))
            theirs["dispatcher"] = DefaultClientDispatcher(SQLiteQueue(folder / "client.db"))
            theirs["boot_first"] = False
        self.asked = []  # the ids of CALLs that wait for an answer
        self.server = Server(profiles=v16.PROFILES, timeout=seconds(10), **ours)
        self.server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
        self.server.on(v16.AuthorizeRequest, pass_id=True)(lambda client_id, request, id: self.asked.append(id))
        self.client = Client("CP_1", profiles=v16.PROFILES, timeout=seconds(10), **theirs)
        self.client.on(v16.ResetRequest)(lambda request: RESET_DONE)
        if observed:
            self.server.add_observer(lambda frame: None)
            self.client.add_observer(lambda frame: None)
        self.server.listen(host="127.0.0.1")
        self.client.connect(self.server.url)
        eventually(lambda: self.server.client_ids() == ["CP_1"])
        self.futures = []

    def close(self):
        self.client.stop()
        self.server.stop()

    def goes_on(self):
        """Check that the next requests of both sides are answered at once, and that nothing is left."""
        for call in (lambda: self.client.call(HEARTBEAT, seconds(3)), lambda: self.server.call("CP_1", RESET)):
            eventually(lambda call=call: self.try_to(call), timeout=5)
        for what in (open_calls, queued, is_pending):
            eventually(lambda what=what: not what(self.client), timeout=3)
            eventually(lambda what=what: not what(self.server), timeout=3)

    def try_to(self, call):
        try:
            return call()
        except (ConnectionLost, TransportError):
            return None  # the write was interrupted, and the client connects again

    # What is prepared, done, and done after it

    def send(self):
        self.client.send_request(HEARTBEAT).result(seconds(10))

    def ask(self):
        """Send two requests of which the first is not answered yet."""
        self.asked.clear()
        self.futures = [self.client.send_request(AUTHORIZE) for _ in range(2)]
        eventually(lambda: self.futures[0].message_id in self.asked)  # one of the last time may come, too

    def answer(self):
        self.server.send_response("CP_1", self.futures[0].message_id, AUTHORIZED)

    def cancel(self):
        for future in self.futures:
            future.cancel()

    def cancel_and_answer(self):
        """Cancel all, and answer what has come, so that the server does not keep it."""
        self.cancel()
        while self.asked:
            self.try_to(lambda: self.server.send_response("CP_1", self.asked.pop(), AUTHORIZED))

    def answer_all(self):
        self.futures[1].cancel()
        self.try_to(self.answer)
        try:
            self.futures[0].result(seconds(3))
        except OcppjError:
            pass  # the making of the answer was interrupted, and the peer was told that it failed


def nothing(pair):
    """Do nothing."""


def surely(function):
    """Call ``function`` on another thread, so that it may hang; raise what it raises."""
    ends = []

    def run():
        try:
            ends.append(function())
        except BaseException as error:
            ends.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds(20))
    assert ends, "it hangs"
    if isinstance(ends[0], BaseException):
        raise ends[0]


def some(points):
    return points[:: max(1, -(-len(points) // MOST))]


@pytest.fixture
def make_pair(tmp_path):
    pairs = []

    def make(**options):
        folder = tmp_path / str(len(pairs))
        folder.mkdir()
        pairs.append(Pair(folder, **options))
        return pairs[-1]

    yield make
    for pair in pairs:
        surely(pair.close)


WORK = {
    "call": ({}, nothing, lambda pair: pair.client.call(HEARTBEAT), nothing),
    "observed": ({"observed": True}, nothing, lambda pair: pair.client.call(HEARTBEAT), nothing),
    "network": ({"tcp": True}, nothing, lambda pair: pair.client.call(HEARTBEAT), nothing),
    "server": ({}, nothing, lambda pair: pair.server.call("CP_1", RESET), nothing),
    "future": ({}, nothing, lambda pair: pair.client.send_request(HEARTBEAT).result(seconds(10)), nothing),
    "stored": (
        {"stored": True},
        nothing,
        lambda pair: pair.client.send_request(HEARTBEAT).result(seconds(10)),
        nothing,
    ),
    "stored command": ({"stored": True}, nothing, lambda pair: pair.server.call("CP_1", RESET), nothing),
    "broadcast": ({}, nothing, lambda pair: pair.server.broadcast(RESET)["CP_1"].result(seconds(10)), nothing),
    "answer": ({}, Pair.ask, Pair.answer, Pair.answer_all),
    "cancel": ({}, Pair.ask, Pair.cancel, Pair.cancel_and_answer),
    "stored cancel": ({"stored": True}, Pair.ask, Pair.cancel, Pair.cancel_and_answer),
}


@pytest.mark.parametrize("name", list(WORK))
def test_an_interrupt_anywhere_leaves_endpoints_that_go_on(make_pair, name):
    options, prepare, work, after = WORK[name]
    pair, injector = make_pair(**options), Injector()

    def whole():
        prepare(pair)
        work(pair)
        after(pair)

    whole()
    points = injector.points(whole)
    interrupted = 0
    if prepare is not nothing:  # only the work itself is interrupted
        prepare(pair)
        points = injector.points(lambda: work(pair), times=1)
        after(pair)
    for at in some(points):
        prepare(pair)
        interrupted += injector.interrupt(lambda: work(pair), at)
        try:
            after(pair)
            surely(pair.goes_on)
        except BaseException as error:
            raise AssertionError(f"after an interrupt at {injector.raised}") from error
    assert interrupted > len(some(points)) / 4, "many points are there in each run"


ENDS = {
    "client": ({}, lambda pair: pair.client.stop()),
    "network": ({"tcp": True}, lambda pair: pair.client.stop()),
    "stored": ({"stored": True}, lambda pair: pair.client.stop()),
    "server": ({}, lambda pair: pair.server.stop()),
    "disconnect": ({}, lambda pair: pair.server.disconnect("CP_1")),
}


@pytest.mark.parametrize("name", list(ENDS))
def test_an_interrupt_anywhere_in_an_end_leaves_one_that_can_be_ended(make_pair, name):
    options, end = ENDS[name]
    injector = Injector()

    for _ in range(2):  # the first time much is done that comes once in a process
        pair = make_pair(**options)
        points = injector.points(lambda pair=pair: end(pair), times=1)
        pair.close()
    for at in some(points)[::4]:  # each needs endpoints of its own
        pair = make_pair(**options)
        injector.interrupt(lambda pair=pair: end(pair), at)
        try:
            surely(pair.close)
            assert not [
                each.name for each in threading.enumerate() if each.name.startswith("ocppj-reader") and each.ident
            ]
        except BaseException as error:
            raise AssertionError(f"after an interrupt at {injector.raised}") from error


def test_an_interrupt_anywhere_loses_no_byte_of_the_account():
    """What was cut off is made good by the next that is counted, or by the end."""
    budget, queue, injector = MemoryBudget(), FIFOClientQueue(), Injector()
    queue.count_in(budget)
    waiting = WaitingCalls(budget, 1000, threading.Lock())
    waiting.resume = lambda connection: None
    connection = Connection("CP_1", None, None, None)

    def work():
        queue.push(RequestBundle(Call("1", "Heartbeat", HEARTBEAT), "x" * 10_000))
        queue.pop()
        waiting.let_go(waiting.hold(connection, "x" * 1000))

    points = injector.points(work)
    for at in some(points):
        injector.interrupt(work, at)
        while queue.pop() is not None:
            pass
        work()
        assert "queued" not in budget.held(), injector.raised
    assert budget.held().get("waiting", 0) < 10 * 1600, "those that were held, and not let go"
    waiting.clear()
    assert budget.held() == {}


def test_a_signal_is_raised_where_python_looks_for_signals():
    """The harness itself: an interrupt at each point, and what a ``with`` has taken is released."""
    lock, injector = threading.Lock(), Injector()
    before = signal.getsignal(signal.SIGINT)

    def work():
        for _ in range(2):
            injector.watched(lock)

    points = injector.points(work)
    assert len(points) >= 4
    assert sum(injector.interrupt(work, at) for at in points) >= len(points) / 2
    assert not lock.locked()
    assert signal.getsignal(signal.SIGINT) is before


#: Where only threads of the library come, which no signal interrupts.
OWN_THREADS = {"_look", "_recover", "_run_out"}


def codes_of(code):
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from codes_of(each)


def jumps_out_of_locks(path):
    """Yield where Python looks for signals with a lock held, and would not release it."""
    text = path.read_text(encoding="utf-8")
    held = set()  # lines
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.With) and any("lock" in ast.unparse(item.context_expr) for item in node.items):
            held.update(range(node.body[0].lineno, node.body[-1].end_lineno + 1))
    for code in codes_of(compile(text, str(path), "exec")):
        covered = [range(entry.start, entry.end) for entry in dis.Bytecode(code).exception_entries]
        for each in dis.get_instructions(code):
            if each.opname == "JUMP_BACKWARD" and each.positions.lineno in held and code.co_name not in OWN_THREADS:
                inside = [any(offset in part for part in covered) for offset in (each.offset, each.argval)]
                if inside == [False, True] and not code.co_name.startswith("<"):
                    yield f"{path.name}:{each.positions.lineno} {code.co_name}"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="only newer compilers leave jumps out of blocks")
def test_no_block_with_a_lock_has_a_conditional_jump_back():
    """Python 3.12 and 3.13 do not count it to the block: an interrupt there leaves the lock taken."""
    root = Path(ocppj.__path__[0])
    rooms = [path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in ("v16", "v201", "v21")]
    assert [place for path in rooms for place in jumps_out_of_locks(path)] == []
