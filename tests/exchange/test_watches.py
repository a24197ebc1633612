"""`add_watch`: what is told where a call or a handler begins and ends."""

import threading

import pytest

from ocppj import CallCanceled, CallFailed, ErrorCode, OCPPError, UsageError, Watched, v16
from tests.fixtures import (  # noqa: F401
    BEAT,
    RESET,
    cleanup,
    make_client,
    make_server,
    make_side,
    raw_client,
    raw_server,
    transport,
)
from tests.helpers import Recorder, seconds

DONE = {"status": "Accepted"}


class Notes:
    """A watch that notes what it is told, and on which thread."""

    def __init__(self):
        self.began, self.ended = Recorder(), Recorder()

    def call_began(self, watched):
        self.began("call", watched, threading.get_ident())
        return lambda error: self.ended("call", watched, error)

    def handler_began(self, watched):
        self.began("handler", watched, threading.get_ident())
        return lambda error: self.ended("handler", watched, error, threading.get_ident())


@pytest.fixture
def side(make_side):
    return make_side(timeout=seconds(20)).connect()


@pytest.fixture
def notes(side):
    notes = Notes()
    side.endpoint.add_watch(notes)
    return notes


def test_a_call_is_told_of_where_it_is_made_and_where_it_ends(side, notes):
    future = side.send_request(RESET)
    watched = Watched("CP_1", "1.6", "Reset", future.message_id)
    assert notes.began.calls == [("call", watched, threading.get_ident())]
    side.raw.send([3, side.raw.receive()[1], DONE])
    assert notes.ended.wait() == [("call", watched, None)]

    refused = side.send_request(RESET)
    side.raw.send([4, side.raw.receive()[1], "InternalError", "", {}])
    error = notes.ended.wait(2)[1][2]
    assert isinstance(error, OCPPError) and error.code is ErrorCode.INTERNAL_ERROR
    assert refused.exception(seconds(10)) is error


def test_each_end_of_a_call_is_told_once(side, notes):
    canceled = side.send_request(RESET)
    queued = side.send_request(RESET, message_id="twice")
    with pytest.raises(UsageError):
        side.send_request(RESET, message_id="twice")
    canceled.cancel()
    assert isinstance(notes.ended.wait(2)[1][2], CallCanceled)
    side.endpoint.stop()
    assert isinstance(queued.exception(seconds(10)), CallFailed)
    ends = [(watched.message_id, type(error).__name__) for _, watched, error in notes.ended.wait(3)]
    assert sorted(ends) == sorted(
        [(canceled.message_id, "CallCanceled"), ("twice", "UsageError"), ("twice", "Stopped")]
    )
    assert len(notes.began.calls) == 3


def test_a_call_that_waits(side, notes):
    def answer():
        side.raw.send([3, side.raw.receive()[1], DONE])

    threading.Thread(target=answer, daemon=True).start()
    assert side.call(RESET).status == "Accepted"
    ((kind, watched, error),) = notes.ended.wait()
    assert (kind, watched.action, error) == ("call", "Reset", None)


def test_a_handler_is_told_of_on_its_thread(side, notes):
    threads, faults = [], [OCPPError(ErrorCode.SECURITY_ERROR), ValueError("a fault")]

    @side.endpoint.on(v16.HeartbeatRequest)
    def handle(*arguments):
        threads.append(threading.get_ident())
        if len(threads) > 1:
            raise faults[len(threads) - 2]
        return BEAT

    for message_id in "123":
        side.raw.send([2, message_id, "Heartbeat", {}])
        side.raw.receive()
    ends = notes.ended.wait(3)
    assert [watched for _, watched, *_ in ends] == [Watched("CP_1", "1.6", "Heartbeat", number) for number in "123"]
    assert [error for *_, error, _ in ends] == [None, *faults]
    assert [thread for *_, thread in ends] == [thread for *_, thread in notes.began.calls] == threads


def test_a_watch_that_fails_changes_nothing(side, notes, caplog):
    class Broken:
        def call_began(self, watched):
            raise ValueError("no beginning")

        def handler_began(self, watched):
            return lambda error: 1 / 0

    broken = Broken()
    side.endpoint.add_watch(broken)
    side.endpoint.on(v16.HeartbeatRequest)(lambda *arguments: BEAT)
    side.raw.send([2, "1", "Heartbeat", {}])
    assert side.raw.receive()[0] == 3
    future = side.send_request(RESET)
    side.raw.send([3, side.raw.receive()[1], DONE])
    assert future.result(seconds(10)).status == "Accepted"
    notes.ended.wait(2)
    assert "no beginning" in caplog.text and "ZeroDivisionError" in caplog.text


def test_what_is_taken_away_is_not_told(side, notes):
    side.endpoint.remove_watch(notes)
    future = side.send_request(RESET)
    side.raw.send([3, side.raw.receive()[1], DONE])
    future.result(seconds(10))
    assert notes.began.calls == []
    with pytest.raises(UsageError, match="is not registered"):
        side.endpoint.remove_watch(notes)
    with pytest.raises(UsageError, match=r"call_began\(\) and handler_began\(\)"):
        side.endpoint.add_watch(object())
