"""`RedisClock`: what counts of the times that Redis says."""

import pytest

from ocppj.cluster.redis.redis_clock import RedisClock


@pytest.fixture
def clock():
    """A clock that knows, by a fast round trip at 100 s, that Redis is 1000 s ahead."""
    made = RedisClock()
    assert made.offset == 0.0
    made.measure(now=1100.0005, began=100.0, ended=100.001)
    assert made.offset == pytest.approx(1000.0)
    return made


def test_a_slow_round_trip_does_not_spoil_it(clock):
    clock.measure(now=1101.0, began=101.0, ended=103.0)  # the answer was late
    clock.measure(now=1106.0, began=104.0, ended=106.0)  # the question was late
    assert clock.offset == pytest.approx(1000.0)


def test_a_fast_round_trip_counts(clock):
    clock.measure(now=1101.0025, began=101.0, ended=101.001)
    assert clock.offset == pytest.approx(1000.002)


def test_the_clock_of_redis_was_set(clock):
    clock.measure(now=1151.0, began=101.0, ended=103.0)
    assert clock.offset == pytest.approx(1049.0)


def test_what_was_known_gets_old(clock):
    clock.measure(now=2200.0, began=1199.5, ended=1200.0)
    assert clock.offset == pytest.approx(1000.25)
