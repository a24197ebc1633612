"""How a BootNotification was answered, and what a server remembers of it."""

import pytest

from ocppj import v16
from ocppj.exchange.boot import Boots, boot_status
from tests.fixtures import NOW, VERSIONS


@pytest.mark.parametrize("version", list(VERSIONS))
@pytest.mark.parametrize("status", ["Accepted", "Pending", "Rejected"])
def test_the_status_of_a_typed_response(version, status):
    response = VERSIONS[version].BootNotificationResponse(current_time=NOW, interval=300, status=status)
    assert boot_status(response) == status


@pytest.mark.parametrize("version", list(VERSIONS))
def test_the_status_of_a_response_that_was_read_from_the_wire(version):
    wire = {"currentTime": "2030-01-01T00:00:00Z", "interval": 300, "status": "Accepted"}
    response = VERSIONS[version].BootNotificationResponse.from_wire(wire)
    assert boot_status(response) == "Accepted"
    assert boot_status(wire) == "Accepted"


@pytest.mark.parametrize(
    ("status", "expected"),
    [(None, None), (1, None), (True, None), ({}, None), ("", None), ("Maybe", None), ("accepted", "Accepted"),
     (" ACCEPTED ", "Accepted"), ("pending", "Pending")],
)  # fmt: skip
def test_what_a_lenient_check_lets_through(status, expected):
    response = v16.BootNotificationResponse(current_time=NOW, interval=300, status="Accepted")
    object.__setattr__(response, "status", status)
    assert boot_status(response) == expected
    assert boot_status({"status": status}) == expected


@pytest.mark.parametrize("response", [None, {}, "Accepted", [], v16.HeartbeatResponse(current_time=NOW)])
def test_what_is_no_response_to_a_boot_accepts_none(response):
    assert boot_status(response) is None


def answered(boots, client_id, status="Accepted"):
    return boots.answer(client_id, {"status": status})


def test_an_answer_that_was_not_written_is_taken_back():
    told = []
    boots = Boots(lambda client_id: True, told.append)
    boots.take_back(answered(boots, "CP_1"))
    assert (boots.status("CP_1"), boots.has_booted("CP_1")) == (None, False)
    assert told == ["CP_1"], "else it is taken for booted where it was asked for meanwhile"
    answered(boots, "CP_1", "Pending")
    boots.take_back(answered(boots, "CP_1"))
    assert boots.status("CP_1") == "Pending"


@pytest.mark.parametrize("status", ["Accepted", "Pending"])
def test_an_answer_is_not_taken_back_when_another_came_since(status):
    boots = Boots(lambda client_id: True)
    over_the_old_connection = answered(boots, "CP_1")
    answered(boots, "CP_1", status)
    boots.take_back(over_the_old_connection)
    assert boots.status("CP_1") == status


@pytest.mark.parametrize("status", ["Accepted", "Pending", "Rejected"])
def test_what_is_answered_later_tells_nothing_new_after_a_boot(status):
    told = []
    boots = Boots(lambda client_id: True, told.append)
    answered(boots, "CP_1", status)
    boots.written("CP_1", True)
    boots.written("CP_1", False)
    assert (boots.status("CP_1"), boots.has_booted("CP_1")) == (status, status == "Accepted")
    assert told == ["CP_1", "CP_1"]


def test_a_client_whose_request_is_answered_without_a_boot_has_booted_before():
    boots = Boots(lambda client_id: True, lambda client_id: None)
    answered(boots, "CP_1", "of no such kind")
    boots.written("CP_1", True)
    assert not boots.has_booted("CP_1"), "the answer had no status"
    boots.written("CP_1", False)
    assert (boots.status("CP_1"), boots.has_booted("CP_1")) == (None, True)
    answered(boots, "CP_1", "Pending")
    assert not boots.has_booted("CP_1")


def test_the_oldest_answers_to_clients_that_are_away_are_forgotten():
    boots = Boots({"CP_0", "CP_3"}.__contains__, capacity=10)
    for number in range(50):
        answered(boots, f"CP_{number}")
    remembered = {f"CP_{number}" for number in range(50) if boots.has_booted(f"CP_{number}")}
    assert {"CP_0", "CP_3", "CP_49", "CP_48", "CP_45"} <= remembered
    assert len(remembered) <= 12
