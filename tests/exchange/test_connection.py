"""One connection as OCPP sees it."""

import threading

import pytest

from ocppj import Call, PendingRequestState
from ocppj.exchange.connection import Connection
from ocppj.rpc.dialect import V16


@pytest.fixture
def connection():
    return Connection("CP_1", None, V16, PendingRequestState())


def test_a_call_is_unanswered_from_begin_to_finish(connection):
    call = Call("1", "Heartbeat", {})
    assert connection.begin(call) is call
    assert len(connection.unanswered) == 1
    assert connection.finish("1") is call
    assert not connection.finish_call(call)
    assert connection.finish("1") is None
    assert len(connection.unanswered) == 0


def test_an_id_that_is_being_handled_is_refused_until_it_is_answered(connection):
    first, second = Call("1", "Heartbeat", {}), Call("1", "Heartbeat", {})
    assert connection.begin(first) is first
    assert connection.begin(second) is first
    assert not connection.finish_call(second), "equal, but another one"
    assert connection.finish_call(first)
    assert not connection.finish_call(first)
    assert connection.begin(second) is second


def test_of_many_threads_one_begins(connection):
    barrier, begun = threading.Barrier(8), []

    def begin():
        barrier.wait(10)
        call = Call("1", "Heartbeat", {})
        begun.append(connection.begin(call) is call)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(begun) == [False] * 7 + [True]
