"""``expect``: which requests count, and how often."""

import json
import threading
from datetime import datetime, timezone

import pytest

from ocppj import Frame
from ocppj.cli.requests import Requests
from tests.helpers import seconds


@pytest.fixture
def requests():
    return Requests()


def frame(client_id, action, direction="in", **payload):
    text = json.dumps([2, "id", action, payload])
    return Frame(direction, client_id, "1.6", datetime.now(timezone.utc), text)


def test_a_request_is_expected_once(requests):
    requests(frame("CP_1", "Heartbeat"))
    requests(frame("CP_2", "Heartbeat"))
    assert requests.expect("Heartbeat", None, 0) == "CP_1"
    assert requests.expect("Heartbeat", None, 0) == "CP_2"
    assert requests.expect("Heartbeat", None, 0) is None


def test_what_came_before_the_last_expected_one_does_not_count(requests):
    for action in ("BootNotification", "Heartbeat", "StatusNotification"):
        requests(frame("CP_1", action))
    assert requests.expect("StatusNotification", "CP_1", 0) == "CP_1"
    assert requests.expect("Heartbeat", None, 0) is None


def test_only_requests_of_clients_count(requests):
    requests(frame("CP_1", "DataTransfer", "out"))
    requests(Frame("in", "CP_1", "1.6", datetime.now(timezone.utc), '[3,"id",{}]'))
    requests(Frame("in", "CP_1", "1.6", datetime.now(timezone.utc), "garbage"))
    assert requests.expect("DataTransfer", None, 0) is None


def test_forget(requests):
    requests(frame("CP_1", "Heartbeat"))
    requests.forget()
    assert requests.expect("Heartbeat", None, 0) is None
    requests(frame("CP_1", "Heartbeat"))
    assert requests.expect("Heartbeat", None, 0) == "CP_1"


def test_fields(requests):
    requests(frame("CP_1", "StatusNotification", connectorId=1, status="Available"))
    requests(frame("CP_1", "StatusNotification", connectorId=2, status="Available", info={"a": [True]}))
    requests(frame("CP_1", "StatusNotification", connectorId=3, status="x" * 20_000))
    requests(Frame("in", "CP_1", "1.6", datetime.now(timezone.utc), '[2,"id","StatusNotification"]'))
    assert requests.expect("StatusNotification", None, 0, ["connectorId=3"]) is None
    assert requests.expect("StatusNotification", None, 0, ["connectorId=2", "info.a[0]=true"]) == "CP_1"
    assert requests.expect("StatusNotification", None, 0, ["connectorId=1"]) is None  # that came before


def test_it_waits(requests):
    timer = threading.Timer(0.02, requests, [frame("CP_1", "Heartbeat")])
    timer.start()
    assert requests.expect("Heartbeat", "CP_1", seconds(10)) == "CP_1"
    timer.join()


def test_only_the_last_1000_are_remembered(requests):
    requests(frame("CP_1", "BootNotification"))
    for _ in range(1000):
        requests(frame("CP_1", "Heartbeat"))
    assert requests.expect("BootNotification", None, 0) is None
