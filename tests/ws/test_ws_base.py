"""The text of a `Close`."""

import pytest

from ocppj.errors import TransportError
from ocppj.ws.base import Close


@pytest.mark.parametrize(
    ("close", "story"),
    [
        (Close(1001, "bye\n", by_peer=True), "closed by the peer with 1001 (bye\\n)"),
        (Close(1000), "closed by us with 1000"),
        (Close(1008, "idle", error=TransportError("idle")), "closed by us with 1008 (idle): idle"),
        # Nobody closed it.
        (Close(1006, error=TransportError("the connection was lost")), "closed with 1006: the connection was lost"),
    ],
)
def test_the_text_says_which_side_closed_and_why(close, story):
    assert str(close) == story
