"""Inboxes on a real Redis: streams that are read once, and stay short."""

import threading

import pytest

from ocppj import ClusterUnavailable
from tests.cluster.redis_nodes import (  # noqa: F401 - fixtures
    SOON,
    held_by,
    keys_of,
    nodes,
    one_server,
    pause,
    server,
    texts,
)
from tests.cluster.support import Recording
from tests.helpers import eventually, seconds
from tests.redis_server import SlowRedis, needs_redis

pytestmark = needs_redis


def inbox_of(node):
    return f"{{ocppj}}:inbox:{node.node_id}"


def test_a_stream_is_trimmed_as_it_is_read(server, nodes):
    asking, answering = Recording(), Recording()
    here, there = nodes(asking), nodes(answering)
    there.claim("CP_1", {})
    held_by(here, "CP_1", there)
    for number in range(500):
        here.post("CP_1", {"text": number})
        there.reply(here.node_id, {"text": number})
    eventually(lambda: texts(answering) == texts(asking) == list(range(500)), SOON)
    with server.client() as client:
        eventually(lambda: client.xlen(inbox_of(here)) == client.xlen(inbox_of(there)) == 0, SOON)


def test_entries_that_are_not_understood_are_skipped(server, nodes, caplog):
    member = Recording()
    there = nodes(member)
    there.claim("CP_1", {})
    with server.client() as client:
        for entry in (
            {"message": "{", "from": "x"},
            {"message": "[]", "from": "x"},
            {"message": "{}"},
            {"lost": "CP_1"},
            {"something": "else"},
            {b"\xff": b"\xff"},
            {"message": b"\x80\x04\x95pickle", "from": "x"},
            {"message": '{"text": "at"}', "from": "x", "at": "yesterday"},
            {"lost": "CP_1", "claim": "of another connection"},
            {"message": '{"text": "good"}', "from": "x"},
        ):
            client.xadd(inbox_of(there), entry)
        eventually(lambda: texts(member) == ["good"], SOON)
        eventually(lambda: client.xlen(inbox_of(there)) == 0, SOON)
    assert member.lost == []
    held_by(there, "CP_1", there)
    assert 1 <= caplog.text.count("not understood") <= 10


def test_a_member_that_raises_gets_the_next_message(nodes, caplog):
    def fail(sender, message):
        raise RuntimeError("of the member")

    member = Recording(fail)
    there = nodes(member)
    there.claim("CP_1", {})
    for number in range(3):
        there.post("CP_1", {"text": number})
    eventually(lambda: texts(member) == [0, 1, 2], SOON)
    assert "of the member" in caplog.text


def test_the_stream_of_a_node_that_is_gone_is_not_made_again(server, nodes):
    here, there = nodes(), nodes()
    gone = there.node_id
    there.claim("CP_1", {})
    held_by(here, "CP_1", there)
    there.leave()
    assert here.post("CP_1", {"text": "late"}) is None
    here.reply(gone, {"text": "late"})
    here.claim("CP_2", {})
    held_by(here, "CP_2", here)  # so the reply was tried
    assert not [key for key in keys_of(server) if gone in key]


def test_messages_are_read_once_though_connections_break(server, nodes):
    asking, answering = Recording(), Recording()
    with SlowRedis(server) as proxy:
        here, there = nodes(asking, lease=30.0), nodes(answering, url=proxy.url, lease=30.0)
        there.claim("CP_1", {})
        held_by(here, "CP_1", there)
        sent = []

        def post():
            for number in range(400):
                here.post("CP_1", {"text": number})
                sent.append(number)

        poster = threading.Thread(target=post)
        poster.start()
        for _ in range(8):
            pause(0.05)
            proxy.cut()
            proxy.heal()
        poster.join(seconds(SOON))
        eventually(lambda: len(answering.got) >= 400, SOON)
        pause(0.3)
        assert texts(answering) == sent == list(range(400))
        there.leave()


def test_a_message_that_redis_ran_late_is_old(server, nodes):
    """A Redis that did not run for a while gets the command when it goes on. The caller waits for it."""
    member = Recording()
    here, there = nodes(timeout=seconds(20), lease=60.0), nodes(member, lease=60.0)
    there.claim("CP_1", {})
    held_by(here, "CP_1", there)
    server.pause()
    waker = threading.Timer(1.5, server.go_on)
    waker.start()
    here.post("CP_1", {"text": "late"})
    waker.join()
    eventually(lambda: texts(member) == ["late"], SOON)
    ((_, _, age),) = member.got
    assert age > 1.3


def test_a_full_inbox_has_room_for_answers(nodes):
    held, member = threading.Event(), Recording()
    member.answer = lambda sender, message: held.wait(seconds(SOON))
    asking = Recording()
    here, there = nodes(asking, max_inbox=10), nodes(member, max_inbox=10)
    there.claim("CP_1", {})
    held_by(here, "CP_1", there)
    here.post("CP_1", {"text": -1})
    eventually(lambda: member.got, SOON)
    number = 0
    with pytest.raises(ClusterUnavailable, match="too many"):
        for number in range(1000):
            here.post("CP_1", {"text": number})
    for each in range(5):
        here.reply(there.node_id, {"text": f"answer {each}"})
    pause(0.5)
    held.set()
    answers = [f"answer {each}" for each in range(5)]
    eventually(lambda: texts(member) == [-1, *range(number), *answers], SOON)
