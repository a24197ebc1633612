"""What a Close says about the frames before it."""

import pytest

from ocppj import ManualClock
from ocppj.exchange.connection import Connection
from ocppj.exchange.refusals import Refusals
from ocppj.ws.base import Close

REFUSING = [1002, 1007, 1008, 1009]


def by_peer(code):
    return Close(code, "", by_peer=True)


def connection(request=None, answer=None, last=None, client_id="CP_1"):
    """Return a connection over which these were written, ``last`` as the last, if nothing came since."""
    made = Connection(client_id, None, None, None)
    made.last_request, made.last_answer, made.last_written = request, answer, last
    return made


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def refusals(clock):
    return Refusals(clock)


@pytest.mark.parametrize("code", REFUSING)
def test_the_request_that_was_written_last_is_meant(refusals, code):
    assert refusals.note_end(connection(request="1", last="1"), by_peer(code)) == "1"


@pytest.mark.parametrize(("code", "meant"), [(1007, "1"), (1009, "1"), (1002, None), (1008, None)])
def test_if_something_came_or_went_since_two_codes_are_not_about_it(refusals, code, meant):
    assert refusals.note_end(connection(request="1"), by_peer(code)) == meant
    assert refusals.note_end(connection(request="1", answer="2", last="2"), by_peer(code)) == meant


@pytest.mark.parametrize(
    "close", [by_peer(1000), by_peer(1001), by_peer(1011), by_peer(4000), Close(1009), Close(1006)]
)
def test_other_ends_mean_nothing(refusals, close):
    assert refusals.note_end(connection(request="1", last="1"), close) is None
    assert refusals.note_end(connection(answer="1", last="1"), close) is None
    assert not refusals.answers


def test_without_a_frame_there_is_none(refusals):
    assert refusals.note_end(connection(), by_peer(1009)) is None
    assert not refusals.answers


@pytest.mark.parametrize("code", REFUSING)
def test_an_answer_is_refused_after_three(refusals, code):
    for _ in range(3):
        assert not refusals.is_refused("CP_1", "1")
        assert refusals.note_end(connection(answer="1", last="1"), by_peer(code)) is None
    assert not refusals.is_refused("CP_1", "2")
    assert not refusals.is_refused("CP_2", "1")
    assert refusals.is_refused("CP_1", "1")
    assert not refusals.is_refused("CP_1", "1"), "it gets the error once"
    assert not refusals.answers


def test_when_the_same_answer_is_refused_again_the_request_is_not(refusals):
    """An answer that ends each connection, while a request waits for its answer."""
    meant = [refusals.note_end(connection(request="1", answer="2", last="2"), by_peer(1009)) for _ in range(3)]
    assert meant == ["1", None, None]
    assert refusals.is_refused("CP_1", "2")


def test_when_each_time_another_answer_was_written_the_request_is(refusals):
    ends = [refusals.note_end(connection(request="1", answer=each, last=each), by_peer(1009)) for each in "abc"]
    assert ends == ["1", "1", "1"]


def test_ids_of_both_sides_may_be_the_same(refusals):
    request, answer = "17", str(int("17"))
    assert request == answer
    assert request is not answer
    made = connection(request=request, answer=answer, last=answer)
    assert refusals.note_end(made, by_peer(1008)) is None
    assert refusals.answers


def test_refusals_are_forgotten_after_an_hour(refusals, clock):
    for _ in range(2):
        refusals.note_end(connection(answer="1", last="1"), by_peer(1009))
    clock.advance(3600)
    refusals.note_end(connection(answer="1", last="1"), by_peer(1009))
    assert not refusals.is_refused("CP_1", "1")


def test_no_more_than_a_thousand_are_remembered(refusals):
    for number in range(3000):
        refusals.note_end(connection(answer=str(number), last=str(number)), by_peer(1009))
    assert len(refusals.answers) == 1000
