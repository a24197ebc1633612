"""What ``ocppj serve`` answers."""

import pytest

from ocppj import ErrorCode, OCPPError, v16, v21
from ocppj.cli.answers import Answers
from ocppj.testing import example


def test_a_request_of_a_station_is_answered() -> None:
    answer = Answers()("CP_1", v16.BootNotificationRequest("One", "Acme"), "1", "BootNotification")

    assert isinstance(answer, v16.BootNotificationResponse)
    assert answer.status == "Accepted"


@pytest.mark.parametrize("version", [v16, v21])
def test_a_request_that_only_central_systems_send_is_not_supported(version) -> None:
    with pytest.raises(OCPPError, match="only a central system sends Reset") as caught:
        Answers()("CP_1", example(version.ResetRequest), "1", "Reset")

    assert caught.value.code == ErrorCode.NOT_SUPPORTED


@pytest.mark.parametrize("version", [v16, v21])
def test_it_knows_no_vendor(version) -> None:
    answer = Answers()("CP_1", example(version.DataTransferRequest), "1", "DataTransfer")

    assert answer.to_wire() == {"status": "UnknownVendorId"}
