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


def test_what_is_set_counts_from_the_next_outage_on():
    backoff = Backoff(
        retry_back_off_wait_minimum=1, retry_back_off_random_range=0, retry_back_off_repeat_times=1, random=lambda: 0.5
    )
    outage = backoff.waits()
    assert next(outage) == 1
    backoff.retry_back_off_wait_minimum = 10
    backoff.retry_back_off_random_range = 2.0
    backoff.retry_back_off_repeat_times = 2
    assert [next(outage) for _ in range(3)] == [2, 2, 2]
    assert first(4, backoff) == [11, 23, 47, 47]


def settings(backoff):
    names = ["wait_minimum", "random_range", "repeat_times"]
    return [getattr(backoff, f"retry_back_off_{name}") for name in names]


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("value", [-1, float("inf"), float("nan"), "5", None, True])
def test_values_that_cannot_be(position, value):
    name = ["wait_minimum", "random_range", "repeat_times"][position]
    arguments = [1, 1, 1]
    arguments[position] = value
    with pytest.raises(UsageError, match=f"retry_back_off_{name}"):
        Backoff(*arguments)
    backoff = Backoff()
    before = settings(backoff)
    with pytest.raises(UsageError):
        setattr(backoff, f"retry_back_off_{name}", value)
    assert settings(backoff) == before


def test_repeat_times_is_whole():
    with pytest.raises(UsageError, match="a whole number"):
        Backoff(1, 1, 1.5)
