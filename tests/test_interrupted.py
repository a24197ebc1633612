"""What tells a call by the program from a call by what interrupted the library on its own thread."""

import concurrent.futures
import logging
import sys
import threading

import pytest

from ocppj import Backoff, CallFuture, Client, MessageType, Server, WouldDeadlock, set_logger, v16
from ocppj.interrupted import FREE, INSIDE, LOGGING, called_by_program, calls_program, place_of
from ocppj.rpc.signing import sign_payload
from ocppj.ws.memory import MemoryNetwork
from tests.faults.injected import at_bytecode
from tests.fixtures import BEAT, HEARTBEAT, RESET
from tests.helpers import Recorder, seconds


def here():
    return place_of(sys._getframe(1))


def library(source, **names):
    """Return the function ``f`` of ``source``, as a module of the library has it."""
    namespace = {"__name__": "ocppj.made", "here": here, **names}
    exec(source, namespace)  # code of our own
    return namespace["f"]


CALLS = "def f(act): return act()"


def test_a_program_is_free():
    assert here() == FREE
    assert place_of(None) == FREE


def test_code_without_a_module_is_the_programs():
    namespace = {"here": here}
    exec("result = here()", namespace)
    assert namespace["result"] == FREE


def test_the_library_was_interrupted():
    assert library(CALLS)(here) == INSIDE
    assert library(CALLS)(lambda: library("def f(): return here()")()) == INSIDE


@pytest.mark.parametrize("name", ["ocppj.testing.x", "ocppj.cli.serve", "ocppj.load.visits", "ocppj.proxy"])
def test_rooms_above_the_library_are_programs(name):
    assert library(CALLS, __name__=name)(here) == FREE
    assert library(CALLS)(lambda: library(CALLS, __name__=name)(here)) == INSIDE


def test_a_function_that_calls_the_program_holds_nothing():
    free = calls_program(library(CALLS))
    assert free(here) == FREE
    assert library(CALLS)(lambda: free(here)) == FREE, "the innermost function decides"
    assert free(lambda: library(CALLS)(here)) == INSIDE


def test_a_public_method_that_calls_another_is_passed_over():
    method = called_by_program(library(CALLS))
    assert method(here) == FREE
    assert library(CALLS)(lambda: method(here)) == INSIDE


class Handler(logging.Handler):
    def __init__(self, act):
        super().__init__()
        self.act, self.seen = act, []

    def emit(self, record):
        self.seen.append(self.act())


@pytest.fixture
def logger():
    logger = logging.getLogger("test_interrupted")
    logger.propagate = False
    yield logger
    logger.handlers.clear()


def test_a_log_call(logger):
    handler = Handler(here)
    logger.addHandler(handler)
    logger.warning("by the program")
    library("def f(log): log('by the library')")(logger.warning)
    calls_program(library(CALLS))(lambda: logger.warning("by a handler"))
    assert handler.seen == [LOGGING] * 3


def test_a_log_call_under_a_function_that_may_hold_a_lock(logger):
    handler = Handler(here)
    logger.addHandler(handler)
    library(CALLS)(lambda: logger.warning("by the program, which the library called"))
    assert handler.seen == [INSIDE]


def test_a_future_whose_lock_is_held():
    future = concurrent.futures.Future()
    seen = Recorder()
    future.add_done_callback(lambda each: seen(here()))
    future.set_result(None)
    assert seen.calls == [(FREE,)], "callbacks run without it"
    interrupted = []
    before = sys.gettrace()
    code = concurrent.futures.Future.result.__code__
    sys.settrace(lambda frame, event, argument: interrupted.append(place_of(frame)) if frame.f_code is code else None)
    try:
        future.result()
    finally:
        sys.settrace(before)
    assert interrupted == [INSIDE]


def test_the_first_function_of_a_thread_is_free():
    class Own(threading.Thread):
        def run(self):
            seen(here())

    seen = Recorder()
    for thread in (threading.Thread(target=lambda: seen(here())), Own(), threading.Timer(0, lambda: seen(here()))):
        thread.start()
        thread.join()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        seen(pool.submit(here).result())
    assert seen.calls == [(FREE,)] * 4


def test_a_callback_of_a_future_that_is_done_runs_without_its_lock():
    """`add_done_callback` calls it at once."""
    future, seen = concurrent.futures.Future(), Recorder()
    future.set_result(None)
    future.add_done_callback(lambda each: seen(here()))
    assert seen.calls == [(FREE,)]


def test_a_future_that_takes_a_callback_holds_its_lock():
    class Interrupting(list):
        def append(self, each):
            seen(here())

    future, seen = concurrent.futures.Future(), Recorder()
    future._done_callbacks = Interrupting()
    future.add_done_callback(print)
    assert seen.calls == [(INSIDE,)]


def test_a_thread_that_a_program_has_instrumented_is_free():
    """Packages that trace programs replace ``Thread.run``. What they replace it with has any name."""
    seen = Recorder()
    thread = threading.Thread()
    thread.run = lambda: seen(here())
    thread.start()
    thread.join()
    assert seen.calls == [(FREE,)]


def test_a_function_for_what_threads_raise_is_free(monkeypatch):
    seen = Recorder()
    monkeypatch.setattr(threading, "excepthook", lambda arguments: seen(here()))
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    assert seen.calls == [(FREE,)]


def test_a_thread_that_is_being_started_holds_locks():
    seen, code = [], threading.Thread.start.__code__
    before = sys.gettrace()
    sys.settrace(lambda frame, event, argument: seen.append(place_of(frame)) if frame.f_code is code else None)
    try:
        thread = threading.Thread(target=lambda: None)
        thread.start()
    finally:
        sys.settrace(before)
    thread.join()
    assert seen == [INSIDE]


def test_a_back_off_and_a_signer_of_the_program_are_called_with_no_lock():
    seen = Recorder()

    class Own:
        def sign(self, header, payload):
            seen(here())
            return {}

    sign_payload(Own(), {}, "Heartbeat", MessageType.CALL)
    assert next(Backoff(0, 1, random=lambda: seen(here()) or 0.5).waits()) == 0.5
    assert seen.calls == [(FREE,)] * 2


# What is refused where the library was interrupted -------------------------------------------------------------------


@pytest.fixture
def site():
    network = MemoryNetwork()
    server = Server(profiles=v16.PROFILES, ws_server=network.server())
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    client = Client("CP_1", profiles=v16.PROFILES, ws_client=network.client())
    client.on(v16.ResetRequest)(lambda request: v16.ResetResponse("Accepted"))
    with server.listen(), client.connect(server.url):
        yield client, server


REFUSED = {
    "call": lambda client, server: client.call(HEARTBEAT),
    "send_request": lambda client, server: client.send_request(HEARTBEAT),
    "send": lambda client, server: client.send(HEARTBEAT),
    "send_response": lambda client, server: client.send_response("1", BEAT),
    "send_error": lambda client, server: client.send_error("1", "GenericError"),
    "connect": lambda client, server: client.connect(server.url),
    "start": lambda client, server: client.start(server.url),
    "set_ping_interval": lambda client, server: client.set_ping_interval(5),
    "reconnect_now": lambda client, server: client.reconnect_now(),
    "server.call": lambda client, server: server.call("CP_1", RESET),
    "server.send_request": lambda client, server: server.send_request("CP_1", RESET),
    "server.broadcast": lambda client, server: server.broadcast(RESET),
    "server.send": lambda client, server: server.send("CP_1", RESET),
    "server.send_response": lambda client, server: server.send_response("CP_1", "1", BEAT),
    "server.send_error": lambda client, server: server.send_error("CP_1", "1", "GenericError"),
    "server.listen": lambda client, server: server.listen(),
    "server.start": lambda client, server: server.start(0),
    "server.set_ping_interval": lambda client, server: server.set_ping_interval("CP_1", 5),
    "server.stats": lambda client, server: server.stats(),
    "server.client_ids": lambda client, server: server.client_ids(),
    "server.connection": lambda client, server: server.connection("CP_1"),
    "server.connections": lambda client, server: server.connections(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_wait_for_its_own_thread_raises_at_once(site, name):
    client, _ = site
    errors = []

    def act():
        try:
            REFUSED[name](*site)
        except WouldDeadlock as error:
            errors.append(str(error))

    assert at_bytecode(400, lambda: client.call(HEARTBEAT), act)
    words = "where this library was interrupted (signal handler, finalizer) would wait for its own thread"
    assert len(errors) == 1 and words in errors[0], errors
    assert client.call(HEARTBEAT) == BEAT


@pytest.mark.parametrize("wait", [CallFuture.result, CallFuture.exception])
def test_a_future_that_has_not_ended_is_not_waited_for(site, wait):
    client, server = site
    hold = threading.Event()
    server.on(v16.HeartbeatRequest)(lambda client_id, request: hold.wait(seconds(20)) and BEAT)
    future, errors = client.send_request(HEARTBEAT), []

    def act():
        try:
            wait(future)
        except WouldDeadlock as error:
            errors.append(error)

    timer = threading.Timer(seconds(5), hold.set)  # else it would wait for ever
    timer.start()
    assert at_bytecode(300, lambda: client.send_request(HEARTBEAT), act)
    timer.cancel()
    assert len(errors) == 1 and not hold.is_set()
    hold.set()
    assert future.result(seconds(5)) == BEAT


@pytest.mark.parametrize("name", ["send_request", "server.client_ids"])
def test_a_handler_may_do_that(site, name):
    client, server = site
    done = Recorder()
    client.on(v16.ResetRequest)(lambda request: done(REFUSED[name](*site)) or v16.ResetResponse("Accepted"))
    assert server.call("CP_1", RESET).status == "Accepted"
    done.wait()


def test_a_log_handler_may_send_but_not_wait(site):
    client, _ = site
    errors, futures = [], []

    class Logger(logging.Handler):
        def emit(self, record):
            if record.getMessage() != "go":
                return
            futures.append(client.send_request(HEARTBEAT))
            try:
                client.call(HEARTBEAT)
            except WouldDeadlock as error:
                errors.append(str(error))

    logger = logging.getLogger("test_interrupted.site")
    logger.propagate = False
    handler = Logger()
    logger.addHandler(handler)
    logger.warning("go")
    logger.removeHandler(handler)
    assert futures[0].result(seconds(5)) == BEAT
    assert "call() in a log call would wait for its own thread" in errors[0]
    assert set_logger is not None


def test_a_future_is_canceled_by_another_thread(site):
    client, _ = site
    hold = threading.Event()
    _, server = site
    server.on(v16.HeartbeatRequest)(lambda client_id, request: hold.wait(seconds(5)) and BEAT)
    future = client.send_request(HEARTBEAT)
    waiting = client.send_request(HEARTBEAT)
    assert at_bytecode(400, lambda: client.send_request(HEARTBEAT), waiting.cancel)
    hold.set()
    assert future.result(seconds(5)) == BEAT
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result(seconds(5))
