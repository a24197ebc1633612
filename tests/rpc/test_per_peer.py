"""A setting that a function chooses for each peer."""

import threading

import pytest

from ocppj.rpc.per_peer import PerPeer
from tests.helpers import Recorder, seconds


class Log:
    def __init__(self):
        self.lines = []

    def exception(self, text, *arguments, client_id):
        self.lines.append(text % arguments)


def make(function, log=None):
    return PerPeer("size", function, int, -1, lambda: log or Log())


def test_it_is_asked_once_until_the_peer_is_forgotten():
    asked = Recorder("7")
    setting = make(asked)
    assert [setting.get("A"), setting.get("A"), setting.get("B")] == [7, 7, 7]
    assert asked.calls == [("A",), ("B",)]
    setting.forget("A")
    setting.forget("nobody")
    setting.get("A")
    setting.get("B")
    assert asked.calls == [("A",), ("B",), ("A",)]


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1), KeyboardInterrupt()])
def test_a_function_that_raises_gives_the_default_and_an_error(error):
    def fail(client_id):
        raise error

    log = Log()
    setting = make(fail, log)
    assert [setting.get("A"), setting.get("A")] == [-1, -1]
    assert log.lines == ["A: the function for size failed: -1 applies to this connection"]


def test_a_slow_choice_for_the_connection_before_is_not_that_of_the_next():
    inside, leave, answers = threading.Event(), threading.Event(), iter([1, 2, 3])

    def choose(client_id):
        answer = next(answers)
        if answer == 1:
            inside.set()
            assert leave.wait(seconds(10))
        return answer

    setting, before = make(choose), Recorder()
    thread = threading.Thread(target=lambda: before(setting.get("A")))
    thread.start()
    assert inside.wait(seconds(10))
    setting.forget("A")
    assert setting.get("A") == 2
    leave.set()
    thread.join(seconds(10))
    assert len(before.calls) == 1
    assert setting.get("A") == 2


def test_what_cannot_be_used_gives_the_default():
    log = Log()
    assert make(lambda client_id: "x", log).get("A") == -1
    assert len(log.lines) == 1


def test_a_function_that_blocks_delays_its_own_peer_alone():
    inside, leave = threading.Event(), threading.Event()

    def choose(client_id):
        if client_id == "slow":
            inside.set()
            leave.wait(seconds(10))
        return 1

    setting = make(choose)
    thread = threading.Thread(target=setting.get, args=("slow",))
    thread.start()
    try:
        assert inside.wait(seconds(10))
        assert setting.get("quick") == 1
    finally:
        leave.set()
        thread.join(seconds(10))
    assert not thread.is_alive()
