import itertools

import pytest

from ocppj.errors import UsageError
from ocppj.ws.backoff import Backoff


def first(count, backoff):
    return list(itertools.islice(backoff.waits(), count))


def test_waits_double_with_fresh_randomness_and_then_hold():
    numbers = iter([0.5, 0.0, 1.0, 0.25, 0.75])
    backoff = Backoff(10, 4, 2, random=lambda: next(numbers))
    assert first(5, backoff) == [12, 24, 52, 52, 52]
    assert first(2, backoff) == [11, 25]


def test_never_doubling():
    assert first(3, Backoff(3, 0, 0)) == [3, 3, 3]


def test_the_defaults_are_spread():
    waits = [first(1, Backoff())[0] for _ in range(20)]
    assert len(set(waits)) > 10
    assert all(1 <= wait <= 3 for wait in waits)


def test_negative_times():
    for arguments in [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]:
        with pytest.raises(UsageError):
            Backoff(*arguments)
