"""Open calls and their futures: each ends once."""

import gc
import sys
import threading
import weakref
from concurrent.futures import CancelledError, wait
from contextlib import suppress
from functools import partial

import pytest

from ocppj import CallFuture, CallTimeout, Client, OCPPError, Server, Stopped, v16
from ocppj.dispatch.futures import AwaitedCall, OpenCall, OpenCalls
from ocppj.durable import SQLiteQueue
from tests.helpers import Recorder, seconds
from tests.peers import Memory, RawClient, RawServer


def make(message_id="1", connection=None, withdraw=lambda message_id: None):
    return OpenCall("request", CallFuture(message_id, withdraw), connection)


def test_a_future_carries_the_id_and_the_answer():
    call = make("7")
    assert call.future.message_id == "7"
    call.answer("response")
    assert call.future.result(0) == "response"
    assert not call.future.cancel()


def test_a_future_carries_the_error():
    call = make()
    call.fail(OCPPError("GenericError"))
    with pytest.raises(OCPPError):
        call.future.result(0)


@pytest.mark.parametrize("end", [lambda call: call.answer("x"), lambda call: call.fail(Stopped("x"))])
def test_a_canceled_future_is_withdrawn_and_stays_canceled(end):
    withdrawn = []
    call = make("7", withdraw=withdrawn.append)
    assert call.future.cancel()
    assert withdrawn == ["7"]
    end(call)
    with pytest.raises(CancelledError):
        call.future.result(0)


def test_waiting_for_several_futures_ends_for_a_canceled_one():
    """Even if it is canceled after another thread has taken it to answer it."""
    call, other = make("7"), make("8")
    assert call.future.cancel()
    call.answer("x")
    other.answer("y")
    assert wait([call.future, other.future], seconds(10)).not_done == set()


def awaited(message_id="1"):
    return AwaitedCall("request", message_id)


def waited_for(call):
    """Have a thread wait for ``call``; return what records the end."""
    ends = Recorder()

    def run():
        try:
            ends(call.wait())
        except Exception as error:
            ends(error)

    threading.Thread(target=run, daemon=True).start()
    return ends


def test_an_awaited_call_carries_the_answer_whenever_it_comes():
    before, after = awaited(), awaited()
    before.answer("response")
    assert before.wait() == "response"
    ends = waited_for(after)
    after.answer("response")
    assert ends.wait(1) == [("response",)]


def test_an_awaited_call_carries_the_error_whenever_it_comes():
    before, after, error = awaited(), awaited(), Stopped("x")
    before.fail(error)
    with pytest.raises(Stopped) as caught:
        before.wait()
    assert caught.value is error
    ends = waited_for(after)
    after.fail(error)
    assert ends.wait(1) == [(error,)]


def test_nothing_holds_the_error_of_an_awaited_call():
    """Its traceback has the frames that waited: there is no reference cycle."""

    def fail():
        call = awaited()
        call.fail(Stopped("x"))
        try:
            call.wait()
        except Stopped as error:
            return weakref.ref(error)

    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()


class Cancelable:
    canceled = 0

    def cancel(self):
        self.canceled += 1


@pytest.mark.parametrize("kind", [make, awaited])
@pytest.mark.parametrize(
    "end", [lambda call: call.answer("x"), lambda call: call.fail(Stopped("x")), lambda call: call.give_up()]
)
def test_the_deadline_of_a_call_goes_with_it(kind, end):
    before, after = Cancelable(), Cancelable()
    call, late = kind(), kind()
    if kind is make:
        call.future.cancel()
        late.future.cancel()
    call.expire_by(before)
    assert not before.canceled
    end(call)
    assert before.canceled
    end(late)
    late.expire_by(after)
    assert after.canceled


@pytest.mark.parametrize("kind", [make, awaited])
def test_a_call_knows_whether_the_peer_ended_it(kind):
    answered, refused, failed = kind(), kind(), kind()
    answered.answer("x")
    refused.fail(OCPPError("GenericError"))
    failed.fail(CallTimeout("x"))
    assert [call.unanswered for call in (answered, refused, failed)] == [False, False, True]


@pytest.mark.parametrize(
    ("kind", "end"), [(make, "answer"), (make, "fail"), (make, "give_up"), (awaited, "answer"), (awaited, "fail")]
)
def test_ctrl_c_in_a_watch_leaves_nobody_waiting(kind, end):
    """A watch is told of the end on the main thread, where signal handlers run."""

    def interrupt(error):
        raise KeyboardInterrupt

    call = kind()
    call.on_end = interrupt
    with pytest.raises(KeyboardInterrupt):
        getattr(call, end)(*{"answer": ["x"], "fail": [Stopped("x")]}.get(end, []))
    assert call.future.done() if kind is make else call.has_ended(0)


def test_calls_are_taken_once():
    calls, call = OpenCalls(), make()
    assert calls.add("A", call)
    assert calls.take("A", "2") is None
    assert calls.take("B", "1") is None
    assert len(calls) == 1
    assert calls.take("A", "1") is call
    assert calls.take("A", "1") is None
    assert len(calls) == 0


def test_an_id_is_open_once_per_client():
    calls, first = OpenCalls(), make()
    assert calls.add("A", first)
    assert not calls.add("A", make())
    assert calls.add("B", make())
    assert calls.take("A", "1") is first
    assert calls.add("A", make())


def test_taking_all():
    calls = OpenCalls()
    mine, yours = [make("1"), make("2")], make("1")
    for each in mine:
        calls.add("A", each)
    calls.add("B", yours)
    assert calls.take_all() == [*mine, yours]
    assert len(calls) == 0
    assert calls.take_all() == []


def test_calls_that_end_with_a_connection_are_named():
    calls, one, other = OpenCalls(), object(), object()
    for client_id, message_id, connection in (("A", "1", None), ("A", "2", one), ("B", "3", one), ("B", "4", other)):
        calls.add(client_id, make(message_id, connection))
    assert calls.over(one) == [("A", "2"), ("B", "3")]
    assert calls.over(None) == []
    assert len(calls) == 4


class Race:
    """Rounds in which several threads want to end the same call."""

    def __init__(self, rounds):
        self.calls, self.lock = OpenCalls(), threading.Lock()
        self.ends, self.failures = [0] * rounds, []
        self.open = [make(str(n), withdraw=self.withdraw) for n in range(rounds)]
        for n, call in enumerate(self.open):
            call.future.add_done_callback(partial(self.count, n))
            self.calls.add("A", call)

    def count(self, n, future):
        with self.lock:
            self.ends[n] += 1

    def withdraw(self, message_id):
        call = self.calls.take("A", message_id)
        if call is not None:
            call.give_up()

    def answer(self, n):
        call = self.calls.take("A", str(n))
        if call is not None:
            call.answer("response")

    def fail(self, n):
        call = self.calls.take("A", str(n))
        if call is not None:
            call.fail(Stopped("x"))

    def cancel(self, n):
        self.open[n].future.cancel()

    def wait(self, n):
        with suppress(Stopped, CancelledError):
            assert self.open[n].future.result(seconds(20)) == "response"

    def run(self):
        acts = (self.answer, self.fail, self.cancel, self.wait)
        barrier = threading.Barrier(len(acts))
        threads = [threading.Thread(target=self.each, args=(act, barrier), daemon=True) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds(40))
        assert not self.failures

    def each(self, act, barrier):
        try:
            for n in range(len(self.ends)):
                barrier.wait(seconds(20))
                act(n)
        except Exception as error:
            self.failures.append(error)
            barrier.abort()


def test_the_first_of_several_threads_ends_the_call_alone():
    """An answer, a timeout, a cancellation and a thread that waits, at once, many times."""
    race = Race(300)
    race.run()
    assert race.ends == [1] * 300
    assert len(race.calls) == 0


@pytest.mark.parametrize("failure", [SystemExit(3), GeneratorExit(), ValueError()])
def test_an_exception_of_a_callback_harms_neither_the_ending_thread_nor_other_callbacks(failure, caplog):
    seen = []

    def fail(future):
        raise failure

    call, canceled = make("7"), make("8", withdraw=seen.append)
    for each in (call, canceled):
        each.future.add_done_callback(fail)
        each.future.add_done_callback(seen.append)
    call.answer("x")
    assert seen == [call.future]
    assert "'7'" in caplog.text
    assert canceled.future.cancel()
    assert seen[1:] == ["8", canceled.future], "it is withdrawn first"
    call.future.add_done_callback(fail)  # it has ended: called at once


@pytest.mark.filterwarnings("error")
def test_a_coroutine_of_a_callback_is_logged(caplog):
    async def store(future):
        """Do nothing."""

    call = make("7")
    call.future.add_done_callback(lambda future: store(future))
    call.answer("x")
    assert "a callback of the future of request '7' failed" in caplog.text
    assert "returned a coroutine, which nothing awaits" in caplog.text


def test_a_callback_that_raises_does_not_keep_stop_from_ending_the_other_calls():
    memory = Memory()
    with Server(profiles=v16.PROFILES, ws_server=memory.server()).listen() as server, RawClient(memory, server.url):
        futures = [server.send_request("CP_1", v16.HeartbeatRequest()) for _ in range(3)]
        futures[0].add_done_callback(lambda future: sys.exit(3))
        server.stop()
        assert all(isinstance(future.exception(0), Stopped) for future in futures)


def test_ctrl_c_in_a_watch_does_not_keep_stop_from_ending_the_other_calls():
    class Interrupted:
        def call_began(self, watched):
            return self.end

        def handler_began(self, watched):
            return None

        def end(self, error):
            raise KeyboardInterrupt

    memory, told = Memory(), Recorder()
    with Server(profiles=v16.PROFILES, ws_server=memory.server()).listen() as server, RawClient(memory, server.url):
        server.add_watch(Interrupted())
        server.set_ended_handler(lambda client_id, request, outcome: told(outcome.message_id))
        futures = [server.send_request("CP_1", v16.HeartbeatRequest()) for _ in range(3)]
        with pytest.raises(KeyboardInterrupt):
            server.stop()
        assert all(isinstance(future.exception(0), Stopped) for future in futures)
        assert sorted(message_id for (message_id,) in told.wait(3)) == sorted(each.message_id for each in futures)


def test_a_callback_of_a_canceled_future_may_stop_the_endpoint_and_the_request_is_gone(tmp_path):
    """The request is withdrawn before callbacks run. So the file has it no more, although the queue is closed then."""
    memory, path = Memory(), tmp_path / "q.db"
    with RawServer(memory) as raw:
        options = {"profiles": v16.PROFILES, "boot_first": False, "reconnect": False}
        client = Client("CP_1", queue=SQLiteQueue(path), ws_client=memory.client(), **options).connect(raw.url)
        future = client.send_request(v16.HeartbeatRequest())
        raw.receive()
        future.add_done_callback(lambda future: client.stop())
        assert future.cancel()
        client.stop()
    queue = SQLiteQueue(path)
    queue.set_decoder(lambda version, text: text)
    queue.init()
    assert len(queue) == 0
    queue.close()


def test_ctrl_c_in_a_canceled_request_handler_is_raised_where_it_came():
    """It came from a signal handler, not from the handler that it interrupted. Its call has ended all the same."""

    def interrupt(*arguments):
        raise KeyboardInterrupt

    memory = Memory()
    options = {"profiles": v16.PROFILES, "ws_client": memory.client(), "reconnect": False}
    with RawServer(memory) as raw, Client("CP_1", **options) as client:
        client.connect(raw.url)
        client.set_canceled_request_handler(interrupt)
        future = client.send_request(v16.HeartbeatRequest())
        with pytest.raises(KeyboardInterrupt):
            future.cancel()
        assert future.cancelled()
