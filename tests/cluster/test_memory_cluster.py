"""`MemoryCluster` beyond what each kind of cluster promises: what a test can break."""

import threading

import pytest

from ocppj import ClusterUnavailable, EncodingError, MemoryCluster, MemoryHub, NotRunning, UsageError
from tests.cluster.support import Recording
from tests.helpers import Recorder, eventually, seconds


@pytest.fixture
def hub():
    return MemoryHub()


@pytest.fixture
def make(hub):
    """Return a function that makes a node, which has joined with a member that is returned, too."""
    made = []

    def join(member=None):
        member, cluster = member or Recording(), MemoryCluster(hub)
        cluster.join(member)
        made.append(cluster)
        return cluster, member

    yield join
    for cluster in made:
        cluster.leave()


@pytest.mark.parametrize("most", [0, -1, "x", None])
def test_a_hub_checks_its_option(most):
    with pytest.raises(UsageError, match="max_inbox"):
        MemoryHub(max_inbox=most)


def test_it_takes_a_hub():
    for wrong in (None, "redis://localhost", MemoryHub):
        with pytest.raises(UsageError):
            MemoryCluster(wrong)


def test_one_node_alone_is_away(hub, make):
    (here, member), (there, other) = make(), make()
    there.claim("CP_1", {})
    there.away = True
    assert here.available
    assert not there.available
    assert there.away
    with pytest.raises(ClusterUnavailable):
        there.nodes()
    assert here.post("CP_1", {"text": 1}) == there.node_id  # nobody knows yet
    there.away = False
    eventually(lambda: other.messages == [{"text": 1}])
    assert other.changes == [False, True]
    assert (member.changes, member.gone) == ([], [])


def test_the_lease_of_a_node_runs_out(hub, make):
    (here, member), (there, other) = make(), make()
    there.claim("CP_1", {})
    there.away = True
    here.post("CP_1", {"text": 1})
    hub.expire()
    eventually(lambda: member.gone == [there.node_id])
    assert here.holder_of("CP_1") is None
    hub.expire()  # it is told once
    there.away = False
    assert here.holder_of("CP_1").node_id == there.node_id
    here.post("CP_1", {"text": 2})
    eventually(lambda: other.messages == [{"text": 2}])  # what waited for it is lost
    assert member.gone == [there.node_id]


def test_a_node_that_was_killed(hub, make):
    (here, member), (there, _) = make(), make()
    there.claim("CP_1", {})
    there.kill()
    eventually(lambda: member.gone == [there.node_id])
    assert here.nodes() == [here.node_id]
    with pytest.raises(ClusterUnavailable):
        there.post("CP_1", {})
    there.claim("CP_2", {})
    there.leave()
    assert here.holders() == []
    MemoryCluster(hub).kill()


def test_a_node_that_was_away_hears_of_those_that_have_gone(hub, make):
    (here, member), (there, _), (third, _) = make(), make(), make()
    here.away = True
    gone = there.node_id
    there.leave()
    assert member.gone == []
    here.away = False
    eventually(lambda: member.gone == [gone])
    assert third.nodes() == [here.node_id, third.node_id]


def test_replies_that_wait_are_bounded(make):
    hub = MemoryHub(max_inbox=10)
    asking, answering = Recording(), MemoryCluster(hub)
    here = MemoryCluster(hub)
    here.join(asking)
    answering.join(Recording())
    answering.away = True
    for number in range(25):
        answering.reply(here.node_id, {"number": number})
    answering.away = False
    eventually(lambda: len(asking.got) == 10)
    assert [message["number"] for message in asking.messages] == list(range(15, 25))
    here.leave()
    answering.leave()


def test_what_is_no_json_is_refused(make):
    (here, _), (there, _) = make(), make()
    there.claim("CP_1", {})
    for wrong in ({"text": b"bytes"}, {"text": float("nan")}, {"text": object()}):
        with pytest.raises(EncodingError):
            here.post("CP_1", wrong)
        with pytest.raises(EncodingError):
            here.claim("CP_2", wrong)


def test_a_message_is_a_copy(make):
    (here, _), (there, other) = make(), make()
    about, message = {"values": {"a": "1"}}, {"list": [1]}
    there.claim("CP_1", about)
    here.post("CP_1", message)
    about["values"]["a"] = "2"
    message["list"].append(2)
    eventually(lambda: other.messages == [{"list": [1]}])
    assert here.holder_of("CP_1").about == {"values": {"a": "1"}}


def test_before_join(hub):
    cluster = MemoryCluster(hub)
    assert cluster.available
    assert cluster.holders() == []
    with pytest.raises(NotRunning):
        cluster.post("CP_1", {})
    claim = cluster.claim("CP_1", {})
    cluster.release("CP_1", claim)
    cluster.reply("nobody", {})
    assert cluster.holders() == []


def test_events_are_missed_while_a_node_is_away(hub, make):
    (here, _), (there, _) = make(), make()
    seen = Recorder()
    subscription = here.subscribe(connected=seen)
    here.away = True
    there.publish("connected", "CP_1", {})
    assert subscription.dropped == 1
    here.away = False
    there.publish("connected", "CP_2", {})
    ((event,),) = seen.wait()
    assert event.client_id == "CP_2"
    subscription.close()
    subscription.close()


def test_a_handler_that_hangs_does_not_hold_the_others_up(make):
    (here, _), (there, _) = make(), make()
    held, seen = threading.Event(), Recorder()
    slow = here.subscribe(connected=lambda event: held.wait(seconds(20)))
    quick = here.subscribe(connected=seen)
    for _ in range(3):
        there.publish("connected", "CP_1", {})
    seen.wait(3)
    held.set()
    slow.close()
    quick.close()
