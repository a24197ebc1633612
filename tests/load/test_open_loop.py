"""The load itself: requests are sent when they are due, and their latency counts from then on."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any, Iterator, List

import pytest

from ocppj import ErrorCode, OCPPError, Server, UsageError, v16
from ocppj.load.knee import Limits
from ocppj.load.load_station import LoadStation
from ocppj.load.load_test import LoadTest
from ocppj.load.open_loop import OpenLoop
from ocppj.testing import default_response
from tests.helpers import eventually, seconds


class Central:
    """A central system that can be told to wait, or to fail."""

    def __init__(self) -> None:
        self.server = Server(profiles=v16.PROFILES, readers="shared")
        self.open = threading.Event()
        self.open.set()
        self.fails = False
        self.seen: List[str] = []
        self.server.set_request_handler(self._handle)

    def _handle(self, client_id: str, request: Any, message_id: str, action: str) -> Any:
        self.seen.append(action)
        if action != "BootNotification":
            assert self.open.wait(seconds(20))
            if self.fails:
                raise OCPPError(ErrorCode.GENERIC_ERROR, "no")
        return default_response(request, datetime.now(timezone.utc))


@pytest.fixture
def central() -> Iterator[Central]:
    central = Central()
    with central.server.listen(port=0):
        yield central


def connected(central: Central, count: int = 4, **options: Any) -> LoadTest:
    test = LoadTest([f"CP_{number}" for number in range(count)], central.server.url, **options)
    assert test.connect() == []
    return test


def test_all_requests_are_sent_and_measured(central: Central) -> None:
    with connected(central) as test, OpenLoop(test.stations, '"Heartbeat",{}') as loop:
        step = loop.run(200, 0.5)
    assert (step.due, step.answered, step.errors) == (100, 100, [])
    assert central.seen.count("Heartbeat") == 100
    assert len(step.latencies) == len(step.on_wire) == len(step.lateness) == 100
    assert 0 < (step.p50 or 0) <= (step.p99 or 0) <= (step.most or 0)
    assert step.processor > 0


def test_the_latency_counts_from_when_a_request_was_due(central: Central) -> None:
    with connected(central, 1) as test, OpenLoop(test.stations, '"Heartbeat",{}') as loop:
        central.open.clear()
        opener = threading.Timer(2.0, central.open.set)
        opener.start()
        step = loop.run(20, 0.5)  # the last is due long before the first is answered
        opener.join()
    assert step.answered == 10
    assert min(step.latencies) >= 0.45
    assert max(step.latencies) >= 0.95
    assert min(step.on_wire) < 0.45, "most have waited for the first, and then were answered at once"


def test_errors_are_counted_by_their_code(central: Central) -> None:
    central.fails = True
    with connected(central) as test, OpenLoop(test.stations, '"Heartbeat",{}') as loop:
        assert loop.run(100, 0.2).errors == ["GenericError"] * 20


def test_requests_without_an_answer_end(central: Central) -> None:
    with connected(central, 1) as test, OpenLoop(test.stations, '"Heartbeat",{}', timeout=0.5) as loop:
        central.open.clear()
        try:
            step = loop.run(20, 0.2)
        finally:
            central.open.set()
    assert sorted(set(step.errors)) in (["CallTimeout"], ["CallTimeout", "NotSent"])
    assert len(step.errors) == 4
    assert step.answered == 0


def test_a_connection_that_is_lost_fails_what_is_due(central: Central) -> None:
    with connected(central, 1) as test, OpenLoop(test.stations, '"Heartbeat",{}') as loop:
        central.server.stop()
        eventually(lambda: loop.run(100, 0.05).errors)
        assert loop.run(100, 0.1).errors == ["ConnectionLost"] * 10


def test_stations_answer_commands(central: Central) -> None:
    with connected(central, 1):
        with pytest.raises(OCPPError) as caught:
            central.server.call("CP_0", v16.ResetRequest(type="Soft"), timeout=seconds(10))
        assert caught.value.code == "NotSupported"


def test_the_search_ends_at_the_highest_rate(central: Central) -> None:
    with connected(central) as test:
        steps = list(test.run(Limits(p99=seconds(5)), first=20, most=40, seconds=0.3))
        knee = test.knee()
    assert [step.rate for step in steps] == [20, 40]
    assert knee is not None
    assert (knee.rate, knee.first_bad) == (40, None)
    assert "MeterValues" in central.seen


def test_who_cannot_connect_or_boot_is_named(central: Central) -> None:
    central.server.on(v16.BootNotificationRequest)(
        lambda client_id, request: v16.BootNotificationResponse(
            current_time=datetime.now(timezone.utc), interval=1, status="Rejected"
        )
    )
    began = time.monotonic()
    with LoadTest(["A"], central.server.url) as test:
        [error] = test.connect()
    assert str(error) == "A: the boot was not accepted: Rejected"
    with LoadTest(["A"], "ws://127.0.0.1:1") as test:
        [error] = test.connect()
    assert time.monotonic() - began < seconds(10)
    with pytest.raises(UsageError, match="no message 'TransactionEvent'"):
        LoadTest(["A"], central.server.url, action="TransactionEvent")


def test_ctrl_c_does_not_wait_for_stations_that_connect_just_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing answers where they connect. Ctrl-C comes while the main thread waits for them."""

    class Interrupted(ThreadPoolExecutor):
        def map(self, *arguments: Any, **options: Any) -> Any:
            results = super().map(*arguments, **options)
            if arguments[0] is LoadStation.stop:
                return results
            eventually(lambda: any(each.name.startswith("ocppj-load") for each in threading.enumerate()))
            raise KeyboardInterrupt

    monkeypatch.setattr("ocppj.load.load_test.ThreadPoolExecutor", Interrupted)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        test = LoadTest(["CP_1", "CP_2"], f"ws://127.0.0.1:{silent.getsockname()[1]}", timeout=seconds(60))
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            test.connect()
        test.stop()
        assert time.monotonic() - began < seconds(5)
