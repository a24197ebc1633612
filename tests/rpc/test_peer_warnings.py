"""A habit of a peer is warned of once for each kind."""

from ocppj.rpc.peer_warnings import PeerWarnings


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, text, *arguments, client_id):
        self.lines.append(text % arguments)


def test_a_peer_is_warned_of_once_for_each_kind():
    log = Log()
    warnings = PeerWarnings(lambda: log)
    given = [warnings.warn(who, kind, "%s: %s", who, kind) for who in ("A", "B") for kind in ("x", "y") for _ in "12"]
    assert given == [True, False] * 4
    assert log.lines == ["A: x", "A: y", "B: x", "B: y"]


def test_the_oldest_is_forgotten_when_too_many_are_remembered():
    log = Log()
    warnings = PeerWarnings(lambda: log, capacity=2)
    for who in ("A", "B", "B", "C", "B", "A"):
        warnings.warn(who, "x", "%s", who)
    assert log.lines == ["A", "B", "C", "A"]
