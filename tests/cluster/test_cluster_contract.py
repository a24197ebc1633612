"""What each kind of `Cluster` promises: see ocppj/cluster/base.py."""

import os
import threading
import time

import pytest

from ocppj import ClusterUnavailable, UsageError
from tests.cluster.support import MAKERS, SOON, Recording
from tests.helpers import Recorder, eventually, seconds


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.name)
def world(request):
    made = request.param()
    yield made
    made.close()


def joined(world, *members):
    """Return a node for each of ``members``."""
    clusters = [world.make() for _ in members]
    for cluster, member in zip(clusters, members):
        cluster.join(member)
    eventually(lambda: all(cluster.available for cluster in clusters), SOON)
    ids = {cluster.node_id for cluster in clusters}
    eventually(lambda: ids <= set(clusters[0].nodes()), SOON)
    return clusters


def pair(world):
    return joined(world, Recording(), Recording())


def texts(member):
    return [message["text"] for message in member.messages]


# Nodes


def test_a_node_has_an_id_from_join_to_leave(world):
    cluster = world.make()
    assert cluster.node_id == ""
    cluster.join(Recording())
    first = cluster.node_id
    assert first
    eventually(lambda: first in cluster.nodes(), SOON)
    cluster.leave()
    assert cluster.node_id == ""
    cluster.join(Recording())
    assert cluster.node_id not in ("", first)


def test_a_cluster_is_joined_once(world):
    cluster = world.make()
    cluster.join(Recording())
    with pytest.raises(UsageError):
        cluster.join(Recording())


def test_leave_twice_and_without_join_does_nothing(world):
    cluster = world.make()
    cluster.leave()
    cluster.join(Recording())
    cluster.leave()
    cluster.leave()


def test_others_are_told_of_a_node_that_leaves(world):
    member = Recording()
    here, there = joined(world, member, Recording())
    gone = there.node_id
    there.claim("CP_1", {})
    there.leave()
    eventually(lambda: member.gone == [gone], SOON)
    assert here.nodes() == [here.node_id]
    assert here.holder_of("CP_1") is None


def test_others_are_told_of_a_node_that_dies(world):
    member = Recording()
    here, there = joined(world, member, Recording())
    gone = there.node_id
    there.claim("CP_1", {})
    eventually(lambda: here.holder_of("CP_1"), SOON)
    world.cut(there, True)
    world.expire()
    eventually(lambda: member.gone == [gone], SOON)
    assert here.holder_of("CP_1") is None
    assert here.post("CP_1", {"text": "nobody"}) is None
    assert here.nodes() == [here.node_id]


def test_a_member_may_leave(world):
    cluster = world.make()
    left = threading.Event()

    def leave(sender, message):
        cluster.leave()
        left.set()

    cluster.join(Recording(leave))
    here, _ = pair(world)
    cluster.claim("CP_1", {})
    eventually(lambda: here.holder_of("CP_1"), SOON)
    here.post("CP_1", {"text": "leave"})
    assert left.wait(seconds(SOON))
    assert cluster.node_id == ""


# Claims


def test_all_know_a_claim(world):
    here, there = pair(world)
    claim = there.claim("CP_1", {"version": "1.6", "values": {"tenant": "nörth"}})
    for cluster in (here, there):
        holder = eventually(lambda cluster=cluster: cluster.holder_of("CP_1"), SOON)
        assert (holder.client_id, holder.node_id, holder.claim) == ("CP_1", there.node_id, claim)
        assert holder.about == {"version": "1.6", "values": {"tenant": "nörth"}}
    assert here.holder_of("CP_2") is None


def test_holders_are_all_claims_of_all_nodes(world):
    here, there = pair(world)
    here.claim("CP_1", {})
    there.claim("CP_2", {})
    there.claim("CP_3", {})
    expected = {("CP_1", here.node_id), ("CP_2", there.node_id), ("CP_3", there.node_id)}
    eventually(lambda: {(each.client_id, each.node_id) for each in here.holders()} == expected, SOON)


def test_a_released_claim_is_gone(world):
    here, there = pair(world)
    claim = there.claim("CP_1", {})
    eventually(lambda: here.holder_of("CP_1"), SOON)
    there.release("CP_1", claim)
    eventually(lambda: here.holder_of("CP_1") is None, SOON)
    assert here.holders() == []


def test_the_newest_claim_counts(world):
    old, new = Recording(), Recording()
    here, there = joined(world, old, new)
    older = here.claim("CP_1", {})
    eventually(lambda: there.holder_of("CP_1"), SOON)
    newer = there.claim("CP_1", {})
    eventually(lambda: old.lost == [("CP_1", older)], SOON)
    here.release("CP_1", older)
    here.release("CP_1", older)
    here.claim("CP_2", {})
    eventually(lambda: there.holder_of("CP_2"), SOON)  # so the release was done
    assert there.holder_of("CP_1").claim == newer
    assert new.lost == []


def test_a_node_may_claim_a_client_again(world):
    member = Recording()
    here, there = joined(world, member, Recording())
    older = here.claim("CP_1", {"number": 1})
    newer = here.claim("CP_1", {"number": 2})
    here.release("CP_1", older)
    here.claim("CP_2", {})
    eventually(lambda: there.holder_of("CP_2"), SOON)
    holder = there.holder_of("CP_1")
    assert (holder.claim, holder.about) == (newer, {"number": 2})
    assert member.lost == []


# Messages


def test_messages_come_to_the_holder_in_order(world):
    member, other = Recording(), Recording()
    here, there, _ = joined(world, Recording(), member, other)
    there.claim("CP_1", {})
    eventually(lambda: here.holder_of("CP_1"), SOON)
    for number in range(50):
        assert here.post("CP_1", {"text": number}) == there.node_id
    eventually(lambda: texts(member) == list(range(50)), SOON)
    assert {sender for sender, _, _ in member.got} == {here.node_id}
    assert other.got == []


def test_messages_of_several_threads_keep_the_order_of_each(world):
    member = Recording()
    here, there = joined(world, Recording(), member)
    there.claim("CP_1", {})
    eventually(lambda: here.holder_of("CP_1"), SOON)

    def post(name):
        for number in range(20):
            here.post("CP_1", {"text": [name, number]})

    threads = [threading.Thread(target=post, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: len(member.got) == 80, SOON)
    for name in range(4):
        assert [number for who, number in texts(member) if who == name] == list(range(20))


def test_a_message_is_any_json(world):
    member = Recording()
    here, there = joined(world, Recording(), member)
    there.claim("CP_1", {})
    eventually(lambda: here.holder_of("CP_1"), SOON)
    message = {"text": "ä\u2028\ud800", "list": [1, 2.5, None, True, {"a": {}}], "large": 2**70, "ü": "\x00"}
    here.post("CP_1", message)
    eventually(lambda: member.messages == [message], SOON)


def test_nobody_holds_that_client(world):
    here, _ = pair(world)
    assert here.post("CP_1", {"text": "nobody"}) is None


def test_a_reply_goes_to_its_node(world):
    asking = Recording()
    here, there = joined(world, asking, Recording())
    there.claim("CP_1", {})
    for number in range(50):
        there.reply(here.node_id, {"text": number})
    eventually(lambda: texts(asking) == list(range(50)), SOON)
    assert {sender for sender, _, _ in asking.got} == {there.node_id}


def test_a_reply_to_a_node_that_has_gone_is_dropped(world):
    asking = Recording()
    here, there = joined(world, asking, Recording())
    there.reply("0" * 32, {"text": "nobody"})
    there.reply(here.node_id, {"text": "here"})
    eventually(lambda: texts(asking) == ["here"], SOON)


def test_the_age_of_a_message(world):
    held, member = threading.Event(), Recording()
    here, there = joined(world, Recording(), member)
    member.answer = lambda sender, message: held.wait(seconds(SOON))
    there.claim("CP_1", {})
    eventually(lambda: here.holder_of("CP_1"), SOON)
    here.post("CP_1", {"text": "first"})
    eventually(lambda: member.got, SOON)
    here.post("CP_1", {"text": "second"})
    began = time.monotonic()
    threading.Event().wait(0.6)
    held.set()
    eventually(lambda: len(member.got) == 2, SOON)
    first, second = (age for _, _, age in member.got)
    assert -0.05 <= first <= SOON
    # What waits in the reader of a cluster may have been read before: then its age is that of the reading.
    assert -0.05 <= second <= time.monotonic() - began + 0.5


def test_an_inbox_is_bounded(world):
    held, member = threading.Event(), Recording()
    here, there = joined(world, Recording(), member)
    member.answer = lambda sender, message: held.wait(seconds(SOON))
    there.claim("CP_1", {})
    eventually(lambda: here.holder_of("CP_1"), SOON)
    accepted = 0
    with pytest.raises(ClusterUnavailable) as caught:
        for _ in range(10_000):
            here.post("CP_1", {"text": accepted})
            accepted += 1
    assert accepted >= 100
    assert caught.value.maybe_sent is False
    held.set()
    eventually(lambda: texts(member) == list(range(accepted)), SOON)
    assert here.available
    here.post("CP_1", {"text": "again"})
    eventually(lambda: texts(member)[-1] == "again", SOON)


# Away


def test_a_cluster_that_is_away_says_so(world):
    member = Recording()
    here, there = joined(world, member, Recording())
    here.claim("CP_1", {})
    assert here.available
    world.set_away(True)
    eventually(lambda: member.changes == [False], SOON)
    assert not here.available
    for question in (here.holders, here.nodes, lambda: here.holder_of("CP_1"), lambda: here.post("CP_1", {})):
        with pytest.raises(ClusterUnavailable):
            question()
    world.set_away(False)
    eventually(lambda: member.changes == [False, True], SOON)
    eventually(lambda: here.available and there.available, SOON)
    eventually(lambda: there.holder_of("CP_1"), SOON)


def test_what_never_raises_is_done_later(world):
    asking, answering = Recording(), Recording()
    here, there = joined(world, asking, answering)
    first = there.claim("CP_1", {})
    eventually(lambda: here.holder_of("CP_1"), SOON)
    world.set_away(True)
    eventually(lambda: answering.changes == [False], SOON)
    began = time.monotonic()
    second = there.claim("CP_2", {})
    there.release("CP_1", first)
    there.reply(here.node_id, {"text": "late"})
    there.publish("connected", "CP_2", {})
    assert isinstance(there.wants("request"), bool)
    assert time.monotonic() - began < seconds(2)
    world.set_away(False)
    eventually(lambda: here.available and there.available, SOON)
    eventually(lambda: here.holder_of("CP_1") is None, SOON)
    assert eventually(lambda: here.holder_of("CP_2"), SOON).claim == second
    eventually(lambda: texts(asking) == ["late"], SOON)


def test_a_node_joins_a_cluster_that_is_away(world):
    here = joined(world, Recording())[0]
    world.set_away(True)
    member = Recording()
    late = world.make()
    late.join(member)
    claim = late.claim("CP_1", {})
    with pytest.raises(ClusterUnavailable):
        late.holders()
    world.set_away(False)
    assert eventually(lambda: here.available and here.holder_of("CP_1"), SOON).claim == claim
    eventually(lambda: late.available, SOON)


def test_a_node_leaves_a_cluster_that_is_away(world):
    member = Recording()
    (cluster,) = joined(world, member)
    cluster.claim("CP_1", {})
    world.set_away(True)
    eventually(lambda: member.changes == [False], SOON)
    cluster.leave()
    assert cluster.node_id == ""


def test_a_node_that_was_cut_off_claims_its_clients_again(world):
    member = Recording()
    here, there = joined(world, Recording(), member)
    claims = {each: there.claim(each, {"of": each}) for each in ("CP_1", "CP_2", "CP_3")}
    eventually(lambda: len(here.holders()) == 3, SOON)
    world.cut(there, True)
    world.expire()
    eventually(lambda: here.holders() == [], SOON)
    here.claim("CP_2", {"of": "CP_2"})  # it came here meanwhile
    there.release("CP_3", claims["CP_3"])  # and this one has gone
    world.cut(there, False)
    expected = {"CP_1": there.node_id, "CP_2": here.node_id}
    eventually(lambda: {each.client_id: each.node_id for each in here.holders()} == expected, SOON)
    eventually(lambda: member.lost == [("CP_2", claims["CP_2"])], SOON)
    assert here.holder_of("CP_1").about == {"of": "CP_1"}
    assert here.holder_of("CP_1").claim == claims["CP_1"]


def test_a_cluster_that_was_emptied_recovers(world):
    here, there = pair(world)
    claim = there.claim("CP_1", {"version": "1.6"})
    eventually(lambda: here.holder_of("CP_1"), SOON)
    world.restart_empty()

    def is_back():
        try:
            return here.holder_of("CP_1")
        except ClusterUnavailable:
            return None

    holder = eventually(is_back, SOON)
    assert (holder.claim, holder.about) == (claim, {"version": "1.6"})


# Events


def test_events_come_to_those_that_subscribed(world):
    here, there = pair(world)
    connected, disconnected = Recorder(), Recorder()
    subscription = here.subscribe(connected=connected, disconnected=disconnected)
    eventually(lambda: there.wants("connected") and there.wants("disconnected"), SOON)
    assert not there.wants("request")
    for number in range(20):
        there.publish("connected", "CP_1", {"number": number})
    there.publish("request", "CP_1", {})
    there.publish("disconnected", "CP_1", {"code": 1001})
    disconnected.wait(timeout=SOON)
    events = [event for (event,) in connected.wait(20, SOON)]
    assert [event.about["number"] for event in events] == list(range(20))
    assert {(event.kind, event.client_id, event.node_id) for event in events} == {
        ("connected", "CP_1", there.node_id),
    }
    assert abs(events[0].time - time.time()) < seconds(SOON)
    assert subscription.dropped == 0
    subscription.close()
    eventually(lambda: not there.wants("connected"), SOON)
    there.publish("connected", "CP_1", {"number": 20})
    assert len(connected.calls) == 20


def test_events_need_no_join(world):
    (node,) = joined(world, Recording())
    watching = world.make()
    seen = Recorder()
    subscription = watching.subscribe(request=seen)
    eventually(lambda: node.wants("request"), SOON)
    node.publish("request", "CP_1", {"action": "Heartbeat"})
    ((event,),) = seen.wait(timeout=SOON)
    assert event.about == {"action": "Heartbeat"}
    subscription.close()


def test_events_of_a_slow_program_are_dropped_and_counted(world):
    (node,) = joined(world, Recording())
    held, seen = threading.Event(), []

    def slow(event):
        seen.append(event.about["number"])
        held.wait(seconds(SOON))

    subscription = node.subscribe(connected=slow, max_waiting=3)
    eventually(lambda: node.wants("connected"), SOON)
    node.publish("connected", "CP_1", {"number": 0})
    eventually(lambda: seen == [0], SOON)
    for number in range(1, 11):
        node.publish("connected", "CP_1", {"number": number})
    eventually(lambda: subscription.dropped == 7, SOON)
    held.set()
    eventually(lambda: seen == [0, 8, 9, 10], SOON)
    subscription.close()


def test_a_handler_that_raises_is_called_again(world, caplog):
    (node,) = joined(world, Recording())
    seen = Recorder()

    def fail(event):
        seen(event)
        raise ValueError("of the program")

    subscription = node.subscribe(connected=fail)
    eventually(lambda: node.wants("connected"), SOON)
    for _ in range(2):
        node.publish("connected", "CP_1", {})
    seen.wait(2, SOON)
    subscription.close()
    assert "ocppj.cluster" in {record.name for record in caplog.records}


def test_a_handler_may_close_its_subscription(world):
    (node,) = joined(world, Recording())
    closed = threading.Event()

    def close(event):
        subscription.close()
        closed.set()

    subscription = node.subscribe(connected=close)
    eventually(lambda: node.wants("connected"), SOON)
    node.publish("connected", "CP_1", {})
    assert closed.wait(seconds(SOON))


def test_subscribe_takes_handlers(world):
    cluster = world.make()
    for wrong in ({}, {"connected": lambda: None}, {"connected": print, "max_waiting": 0}):
        with pytest.raises(UsageError):
            cluster.subscribe(**wrong)


# Forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_no_part_in_it(world):
    member = Recording()
    here, there = joined(world, Recording(), member)
    claim = here.claim("CP_1", {})
    eventually(lambda: there.holder_of("CP_1"), SOON)
    child = os.fork()
    if not child:
        status = 1
        try:
            assert here.node_id == ""
            here.leave()
            here.release("CP_1", claim)
            here.join(Recording())
            assert here.node_id
            here.leave()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert there.holder_of("CP_1").claim == claim
    assert here.post("CP_1", {"text": "still here"}) == here.node_id
    there.claim("CP_2", {})
    eventually(lambda: here.holder_of("CP_2"), SOON)
    here.post("CP_2", {"text": "as before"})
    eventually(lambda: texts(member) == ["as before"], SOON)
