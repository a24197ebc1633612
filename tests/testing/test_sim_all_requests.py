"""A simulated station answers every request that a CSMS can send."""

import pytest

from ocppj.testing.examples import example
from tests.testing.requests_of import requests_of_a_csms, requests_of_a_station
from tests.testing.sim_pairs import booted
from tests.testing.surroundings import VERSIONS


def test_there_are_as_many_requests_as_the_versions_have():
    assert len(requests_of_a_csms("1.6")) == 26
    assert len(requests_of_a_csms("2.0.1")) == 40
    assert len(requests_of_a_csms("2.1")) == 55
    assert [len(requests_of_a_station(version)) for version in VERSIONS] == [14, 25, 37]


@pytest.mark.parametrize("full", [False, True], ids=["minimal", "full"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_request_has_a_valid_answer(version, full):
    """A call fails when the answer is an error, or breaks its schema."""
    with booted(version) as pair:
        wrong = {}
        for feature in sorted(requests_of_a_csms(version), key=lambda feature: feature.name == "Reset"):
            pair.station.wait(lambda: pair.station.accepted, within=300)  # it may reboot for new firmware
            request = example(feature.request_type, full=full, now=pair.station.core.time.now())
            try:
                response = pair.call(request)
                if type(response) is not feature.response_type:
                    wrong[feature.name] = response
            except Exception as error:
                wrong[feature.name] = error
            pair.rest(1)
        assert wrong == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_all_in_a_row_and_in_a_transaction_leave_a_station_that_works(version):
    """No job of the station fails, and it boots again, whatever came."""
    with booted(version) as pair:
        pair.begin()
        for feature in requests_of_a_csms(version):
            if feature.name == "Reset":
                continue
            response = pair.call(example(feature.request_type, full=True, now=pair.station.core.time.now()))
            assert type(response) is feature.response_type
        pair.rest(60)
        reset = pair.types.ResetRequest(type="Hard" if version == "1.6" else "Immediate")
        assert pair.call(reset).status in ("Accepted", "Rejected")
        pair.rest(600)
        assert pair.station.accepted
