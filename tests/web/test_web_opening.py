"""A mounted server begins once, however many requests ask for that."""

import threading
from typing import List

import pytest

from ocppj import NotRunning
from ocppj.web.opening import Opening
from ocppj.ws.handshake.http import BadRequest
from tests.helpers import eventually, seconds


class Session:
    """Begins when it is let, and fails when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_begin = threading.Event()
        self.error: List[Exception] = []
        self.open = False
        self.stopping = False
        self.opening = Opening(self.begin, self.end, lambda: self.open, lambda: self.stopping)

    def begin(self) -> None:
        self.begun += 1
        self.open = not self.error
        assert self.may_begin.wait(seconds(10))
        if self.error:
            raise self.error[0]

    def end(self) -> None:
        self.open = False


def results_of(session: Session, count: int) -> List[object]:
    """Have ``count`` threads ask at a time; return ``None`` or the error of each."""
    results: List[object] = []

    def ask() -> None:
        try:
            results.append(session.opening.open_for_request())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    eventually(lambda: session.begun)
    assert results == []  # nobody goes on before all parts have begun
    session.may_begin.set()
    for thread in threads:
        thread.join(seconds(10))
    return results


def test_requests_that_come_together_wait_for_the_first() -> None:
    session = Session()
    assert results_of(session, 4) == [None] * 4
    assert session.begun == 1


def test_all_that_wait_get_the_error_and_the_next_one_tries_again() -> None:
    session = Session()
    session.error.append(OSError("the file is held"))
    errors = results_of(session, 2)
    assert {type(error) for error in errors} <= {OSError, NotRunning}
    assert all("the file is held" in str(error) for error in errors)
    session.error.clear()
    session.opening.open_for_request()
    assert session.open


def test_requests_do_not_open_what_the_program_has_stopped() -> None:
    session = Session()
    session.may_begin.set()
    session.opening.stopped = True
    with pytest.raises(BadRequest) as refused:
        session.opening.open_for_request()
    assert refused.value.status == 503
    session.opening.open()
    assert (session.open, session.begun) == (True, 1)
    session.opening.open()
    assert session.begun == 1


def test_what_stops_while_a_request_opens_it_ends_what_has_begun() -> None:
    session = Session()
    results: List[object] = []

    def ask() -> None:
        try:
            results.append(session.opening.open_for_request())
        except BadRequest as error:
            results.append(error.status)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: session.begun)
    session.opening.stopped = True
    session.may_begin.set()
    for thread in threads:
        thread.join(seconds(10))
    assert (results, session.open) == ([503, 503], False)


def test_the_program_does_not_open_what_is_being_stopped() -> None:
    session = Session()
    session.may_begin.set()
    session.open = session.stopping = session.opening.stopped = True
    with pytest.raises(NotRunning, match="being stopped"):
        session.opening.open()
    assert session.opening.stopped
    session.stopping = False  # Ctrl-C has ended the stop
    session.opening.open()
    assert (session.opening.stopped, session.begun) == (True, 0)
    session.open = False
    session.opening.open()
    assert (session.opening.stopped, session.begun) == (False, 1)


def test_nothing_opens_it_when_the_process_ends() -> None:
    session = Session()
    errors: List[Exception] = []

    def ask() -> None:
        try:
            session.opening.open()
        except NotRunning as error:
            errors.append(error)

    opener = threading.Thread(target=ask)
    opener.start()
    eventually(lambda: session.begun)
    session.opening.for_good = True
    session.may_begin.set()
    opener.join(seconds(10))
    assert (len(errors), session.open) == (1, False)
    with pytest.raises(NotRunning, match="process ends"):
        session.opening.open()
    with pytest.raises(BadRequest):
        session.opening.open_for_request()
    assert session.begun == 1
