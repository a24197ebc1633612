import pytest

from ocppj.ws.connection.keepalive import KeepAlive, PeerSilent, Verdict


def test_no_pings():
    for interval in (None, 0):
        keepalive = KeepAlive(interval, 5, 0)
        assert keepalive.due is None
        assert keepalive.judge(1e9) is Verdict.NOTHING


def test_a_ping_each_interval_while_there_is_life():
    keepalive = KeepAlive(10, 30, 0)
    for now in (10, 20, 30, 40, 50, 60):
        assert keepalive.due == now
        assert keepalive.judge(now - 1) is Verdict.NOTHING
        assert keepalive.judge(now) is Verdict.PING
        keepalive.heard(now)


def test_silence_after_a_ping_is_death():
    keepalive = KeepAlive(10, 15, 0)
    assert keepalive.judge(10) is Verdict.PING
    assert keepalive.due == 20
    assert keepalive.judge(20) is Verdict.PING  # counted from the first ping that got no answer
    assert keepalive.due == 25
    assert keepalive.judge(25) is Verdict.DEAD


def test_switching_off_forgets_the_silence():
    keepalive = KeepAlive(10, 5, 0)
    keepalive.judge(10)
    keepalive.interval = 0
    assert keepalive.judge(100) is Verdict.NOTHING
    keepalive.interval = 10
    assert keepalive.judge(100) is Verdict.PING


def test_negative_intervals():
    with pytest.raises(ValueError):
        KeepAlive(-1, 5, 0)
    with pytest.raises(ValueError):
        KeepAlive(1, 5, 0).interval = -0.1


def test_nothing_received_for_so_long_is_idleness():
    keepalive = KeepAlive(None, 5, 0, idle_timeout=100)
    assert keepalive.due == 100
    assert keepalive.judge(99.9) is Verdict.NOTHING
    assert keepalive.judge(100) is Verdict.IDLE


def test_what_is_heard_puts_idleness_off_and_moves_the_deadline_once():
    keepalive = KeepAlive(None, 5, 0, idle_timeout=100)
    for now in (10, 60, 90):
        keepalive.heard(now)
        assert keepalive.due == 100
    assert keepalive.judge(100) is Verdict.NOTHING
    assert keepalive.due == 190
    assert keepalive.judge(189) is Verdict.NOTHING
    assert keepalive.judge(190) is Verdict.IDLE


def test_idleness_beside_pings():
    keepalive = KeepAlive(10, 1000, 0, idle_timeout=25)
    assert keepalive.judge(10) is Verdict.PING
    keepalive.heard(11)
    assert keepalive.judge(20) is Verdict.PING
    assert keepalive.due == 25
    assert keepalive.judge(25) is Verdict.NOTHING
    assert keepalive.due == 30
    assert keepalive.judge(30) is Verdict.PING
    assert keepalive.due == 36
    assert keepalive.judge(36) is Verdict.IDLE


def test_an_interval_that_is_set_while_the_next_look_is_decided_counts():
    """Another thread sets it just before the reading one writes down what it made of the old."""

    class Late(KeepAlive):
        meanwhile = None

        def __setattr__(self, name, value):
            if name == "due" and Late.meanwhile is not None:
                meanwhile, Late.meanwhile = Late.meanwhile, None
                meanwhile()
            super().__setattr__(name, value)

    keepalive = Late(None, 5, 0, idle_timeout=1000)
    Late.meanwhile = lambda: setattr(keepalive, "interval", 10)
    assert keepalive.judge(1) is Verdict.NOTHING
    assert keepalive.due == 10


def test_what_is_heard_after_a_ping_puts_the_end_off():
    keepalive = KeepAlive(100, 5, 0)
    assert keepalive.judge(100) is Verdict.PING
    assert keepalive.due == 105
    keepalive.heard(101)
    assert keepalive.due == 200


def test_another_interval_does_not_forget_the_silence():
    keepalive = KeepAlive(10, 15, 0)
    assert keepalive.judge(10) is Verdict.PING
    keepalive.interval = 5
    assert keepalive.due == 15
    assert keepalive.judge(15) is Verdict.PING
    assert keepalive.judge(25) is Verdict.DEAD


def test_an_interval_that_is_set_says_when_to_look():
    keepalive = KeepAlive(None, 5, 0)
    keepalive.interval = 10
    assert keepalive.due == 10
    keepalive.interval = None
    assert keepalive.due is None


def test_a_ping_of_somebody_else_puts_the_next_off():
    keepalive = KeepAlive(10, 5, 0)
    keepalive.pinged(7)
    assert keepalive.due == 17
    assert keepalive.judge(16) is Verdict.NOTHING
    assert keepalive.judge(17) is Verdict.PING


def test_who_is_given_up_is_told_why():
    error = PeerSilent("no life", "ping_timeout")
    assert (str(error), error.limit) == ("no life", "ping_timeout")
