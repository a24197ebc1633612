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
        self.opening = Opening(self.begin, lambda: self.open)

    def begin(self) -> None:
        self.begun += 1
        self.open = not self.error
        assert self.may_begin.wait(seconds(10))
        if self.error:
            raise self.error[0]


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
