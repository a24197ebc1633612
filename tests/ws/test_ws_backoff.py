import pytest

from ocppj.errors import UsageError
from ocppj.ws.backoff import Backoff


def test_waits_double_with_fresh_randomness_and_then_hold():
    numbers = iter([0.5, 0.0, 1.0, 0.25, 0.75])
    backoff = Backoff(10, 4, 2, random=lambda: next(numbers))
    assert [backoff.next_wait() for _ in range(5)] == [12, 24, 52, 52, 52]
    backoff.reset()
    assert [backoff.next_wait() for _ in range(2)] == [11, 25]


def test_never_doubling():
    backoff = Backoff(3, 0, 0)
    assert [backoff.next_wait() for _ in range(3)] == [3, 3, 3]


def test_the_defaults_are_spread():
    assert len({Backoff().next_wait() for _ in range(20)}) > 10
    assert all(1 <= Backoff().next_wait() <= 3 for _ in range(20))


def test_negative_times():
    for arguments in [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]:
        with pytest.raises(UsageError):
            Backoff(*arguments)
