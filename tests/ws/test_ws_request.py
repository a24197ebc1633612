"""The request of a client, and what is kept of it."""

import gc
import sys
import tracemalloc

import pytest

from ocppj.ws.handshake.http import Headers
from ocppj.ws.handshake.request import HandshakeRequest, KeptRequest


@pytest.mark.parametrize("fields", [[], [("A", "")], [("X-A", "1: 2"), ("host", "a:b"), ("X-B", "\xfc\x85\x0b\u2028")]])
def test_what_is_kept_is_the_same(fields):
    before = HandshakeRequest("CP_1", "/x/CP_1", "a=b", Headers(fields), "here", (), {"subject": ()}, None, {"x": "y"})
    after = KeptRequest(before).request("CP_1", "here")
    assert after == before
    assert repr(after) == repr(before)


def test_the_fields_are_shared_and_forgotten(monkeypatch):
    """A proxy may add another number to each request: what it added is not kept for ever."""

    def keep(number):
        fields = [("Host", "x"), ("X-Request-Id", number)]
        return KeptRequest(HandshakeRequest("CP_1", "/CP_1", "", Headers(fields), "here", ()))

    def size_of(kept):
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            alive = kept()
            gc.collect()
            return tracemalloc.get_traced_memory()[0] - before, alive
        finally:
            tracemalloc.stop()

    long, immortal = "9" * 5000, {}
    with monkeypatch.context() as patch:  # as in Python 3.12.1
        patch.setattr(sys, "intern", lambda text: immortal.setdefault(text, text))
        assert size_of(lambda: [keep(long) for _ in range(100)])[0] < 50_000
        assert size_of(lambda: [keep(f"{number}{long}") for number in range(1000)] and None)[0] < 2_000_000


def test_what_is_not_kept():
    fields = [
        *[("Authorization", "Basic secret"), ("PROXY-Authorization", "secret"), ("Sec-WebSocket-Key", "secret")],
        *[("Sec-WebSocket-Protocol", "a, b"), ("Host", "x")],
    ]
    before = HandshakeRequest("CP_1", "/CP_1", "", Headers(fields), "here", ("a", "b"), None, b"secret")
    after = KeptRequest(before).request("CP_1", "here")
    assert (sorted(after.headers), after.password) == (["host", "sec-websocket-protocol"], None)
    assert (after.subprotocols, after.values) == (("a", "b"), {})
