"""One connection to Redis, and its end by another thread."""

import socket
import threading
import time
from types import SimpleNamespace

import pytest

from ocppj import ClusterUnavailable
from ocppj.cluster.redis.connection import Link, Links, settings_of
from tests.cluster.redis_nodes import SOON, one_server, server  # noqa: F401 - fixtures
from tests.helpers import eventually, seconds
from tests.redis_server import needs_redis
from tests.ws.support import client_context

pytestmark = needs_redis

LONG = ["XREAD", "BLOCK", 15000, "STREAMS", "nothing", "0-0"]


@pytest.fixture
def links(server):
    return Links(settings_of(server.url, None, 20.0, {}), 20.0)


def _run(link: Link, faults: list) -> None:
    try:
        link.run(LONG)
    except ClusterUnavailable as error:
        faults.append(error)


def test_stop_ends_what_another_thread_waits_for(links, server):
    link, faults = links.new(), []
    thread = threading.Thread(target=_run, args=(link, faults))
    thread.start()
    with server.client() as client:
        eventually(lambda: [each for each in client.client_list() if each["cmd"] == "xread"], SOON)
    began = time.monotonic()
    link.stop()
    thread.join(SOON)
    assert not thread.is_alive()
    assert time.monotonic() - began < seconds(2)
    assert len(faults) == 1


def test_a_link_that_was_stopped_sends_nothing_more(links):
    link = links.new()
    link.run(["PING"])
    link.stop()
    with pytest.raises(ClusterUnavailable, match="not used any more") as caught:
        link.run(["PING"])
    assert not caught.value.maybe_sent


def test_stop_while_it_connects(links):
    """A read that begins after the node has left would wait for a stream that is gone."""
    greeted, go_on, faults = threading.Event(), threading.Event(), []

    def greet(link: Link) -> None:
        greeted.set()
        go_on.wait(SOON)

    link = links.new(greet)
    thread = threading.Thread(target=_run, args=(link, faults))
    thread.start()
    assert greeted.wait(SOON)
    link.stop()
    go_on.set()
    thread.join(seconds(5))
    assert not thread.is_alive()
    assert len(faults) == 1


def test_stop_before_it_has_a_socket(links):
    link = links.new()
    link.stop()
    with pytest.raises(ClusterUnavailable):
        link.connect()


def test_stop_leaves_the_state_of_tls():
    """A thread that sends just then would send in clear, before the socket is shut."""
    near, far = socket.socketpair()
    with far, client_context().wrap_socket(near, server_hostname="localhost", do_handshake_on_connect=False) as sock:
        Link(lambda: SimpleNamespace(socket_timeout=1.0, _sock=sock)).stop()
        assert far.recv(1) == b"", "it is shut"
        with pytest.raises(OSError):  # of TLS, which is there still
            sock.write(b"")
