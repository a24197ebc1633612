"""One connection as OCPP sees it, and the memory of answers."""

import threading

import pytest

from ocppj import Call, PendingRequestState
from ocppj.exchange.connection import AnswerMemory, Connection
from ocppj.rpc.dialect import V16


@pytest.fixture
def connection():
    return Connection("CP_1", None, V16, PendingRequestState())


def test_a_call_is_unanswered_from_begin_to_finish(connection):
    call = Call("1", "Heartbeat", {})
    assert connection.begin(call)
    assert connection.unanswered() == 1
    assert connection.finish("1") is call
    assert not connection.finish_call(call)
    assert connection.finish("1") is None
    assert connection.unanswered() == 0


def test_an_id_that_is_being_handled_is_refused_until_it_is_answered(connection):
    first, second = Call("1", "Heartbeat", {}), Call("1", "Heartbeat", {})
    assert connection.begin(first)
    assert not connection.begin(second)
    assert not connection.finish_call(second), "equal, but another one"
    assert connection.finish_call(first)
    assert not connection.finish_call(first)
    assert connection.begin(second)


def test_of_many_threads_one_begins(connection):
    barrier, begun = threading.Barrier(8), []

    def begin():
        barrier.wait(10)
        begun.append(connection.begin(Call("1", "Heartbeat", {})))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(begun) == [False] * 7 + [True]


def test_answers_are_remembered_by_client_and_id():
    memory = AnswerMemory(10)
    memory.put("A", "1", "of A")
    memory.put("B", "1", "of B")
    assert (memory.get("A", "1"), memory.get("B", "1"), memory.get("A", "2")) == ("of A", "of B", None)
    memory.put("A", "1", "anew")
    assert memory.get("A", "1") == "anew"


def test_the_memory_is_bounded_and_forgets_the_oldest():
    memory = AnswerMemory(2)
    memory.put("A", "1", "1")
    memory.put("A", "2", "2")
    memory.put("A", "1", "1")
    memory.put("A", "3", "3")
    assert [memory.get("A", each) for each in "123"] == ["1", None, "3"]


def test_no_memory():
    memory = AnswerMemory(0)
    memory.put("A", "1", "1")
    assert memory.get("A", "1") is None
    with pytest.raises(ValueError, match="negative"):
        AnswerMemory(-1)
