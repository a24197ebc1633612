import pytest

from ocppj.errors import UsageError
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
    with pytest.raises(UsageError):
        KeepAlive(-1, 5, 0)
    with pytest.raises(UsageError):
        KeepAlive(1, 5, 0).interval = -0.1


def test_a_peer_that_sends_nothing_is_idle():
    keepalive = KeepAlive(None, 5, 0, idle_timeout=100)
    assert keepalive.due == 100
    assert keepalive.judge(99.9) is Verdict.NOTHING
    assert keepalive.judge(100) is Verdict.IDLE


def test_each_message_puts_idleness_off_but_the_deadline_moves_only_when_it_comes():
    keepalive = KeepAlive(None, 5, 0, idle_timeout=100)
    for now in (10, 60, 90):
        keepalive.heard(now)
        assert keepalive.due == 100
    assert keepalive.judge(100) is Verdict.NOTHING
    assert keepalive.due == 190
    assert keepalive.judge(189) is Verdict.NOTHING
    assert keepalive.judge(190) is Verdict.IDLE


def test_a_peer_can_be_idle_though_it_is_pinged():
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


def test_an_interval_that_another_thread_sets_while_due_is_computed_counts():
    """It is set just before the reading thread stores the ``due`` of the old interval."""

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


def test_a_message_after_a_ping_is_life():
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


def test_setting_an_interval_sets_due():
    keepalive = KeepAlive(None, 5, 0)
    keepalive.interval = 10
    assert keepalive.due == 10
    keepalive.interval = None
    assert keepalive.due is None


def test_another_ping_puts_the_next_one_off():
    keepalive = KeepAlive(10, 5, 0)
    keepalive.pinged(7)
    assert keepalive.due == 17
    assert keepalive.judge(16) is Verdict.NOTHING
    assert keepalive.judge(17) is Verdict.PING


def test_the_error_names_the_limit():
    error = PeerSilent("no life", "ping_timeout")
    assert (str(error), error.limit) == ("no life", "ping_timeout")
