"""``Seen``: what kind of thing was seen."""

import pytest

from ocppj.testing.seen import Seen
from tests.fixtures import NOW

KINDS = {
    "CALL": "request",
    "SEND": "request",
    "RESULT": "answer",
    "ERROR": "answer",
    "RESULTERROR": "answer",
    "TEXT": "none",
    "CONNECTED": "event",
    "DISCONNECTED": "event",
    "REFUSED": "event",
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind):
    seen = Seen(1, 0.0, NOW, "CP_1", "in", kind)
    found = {"request": seen.is_request, "answer": seen.is_answer, "event": seen.is_event}
    assert [name for name, holds in found.items() if holds] == [KINDS[kind]] * (KINDS[kind] != "none")
