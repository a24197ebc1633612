"""The table of shared readers: whose turn it is."""

import selectors

from ocppj.ws.readers.scheduler import Agenda, Seat
from tests.ws.sources import FakeSource


def nothing():
    """Be a job."""


def backlogged(count):
    """Return an agenda that lets one job run, the seat whose job that is, and ``count`` seats that wait for it."""
    agenda = Agenda(selectors.DefaultSelector, 1)
    running, *waiting = [Seat(FakeSource(f"CP_{number}"), None) for number in range(count + 1)]
    for seat in [running, *waiting]:
        seat.jobs.append((nothing, False))
    assert agenda.begin_job(running, 1) is nothing
    assert [agenda.begin_job(seat, 2) for seat in waiting] == [None] * count
    assert all(seat.backlogged for seat in waiting)
    return agenda, running, waiting


def test_a_place_among_those_that_run_goes_to_who_still_wants_it():
    agenda, running, (first, second) = backlogged(2)
    first.discard()
    agenda.forget_discarded()
    agenda.end_job(running)
    assert agenda.pop(1, False) is second


def test_a_place_that_is_not_taken_is_given_to_the_next_when_the_line_is_served():
    agenda, running, (first, second) = backlogged(2)
    agenda.end_job(running)
    first.discard()
    assert agenda.pop(1, False) is second


def test_a_place_that_is_not_taken_is_given_to_the_next_when_it_is_found_out_late():
    agenda, running, (first, second) = backlogged(2)
    agenda.end_job(running)
    assert agenda.pop(1, False) is first
    first.discard()
    assert agenda.begin_job(first, 1) is None
    assert agenda.pop(1, False) is second


def test_those_whose_jobs_are_discarded_wait_for_nothing():
    agenda, running, (first, second) = backlogged(2)
    for seat in (first, second):
        seat.discard()
    agenda.forget_discarded()
    assert agenda.over
    assert not first.backlogged
