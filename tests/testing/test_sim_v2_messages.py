"""A simulated station of 2.x: display messages, tariffs, network profiles, data transfer."""

from datetime import timedelta

import pytest

from ocppj.testing.examples import example
from tests.testing.sim_pairs import booted


@pytest.fixture(params=["2.0.1", "2.1"])
def pair(request):
    with booted(request.param) as pair:
        yield pair


def show(pair, id, priority="NormalCycle", format="UTF8", **more):
    types = pair.types
    message = types.MessageInfo(
        id=id, priority=priority, message=types.MessageContent(format=format, content=f"text {id}"), **more
    )
    return pair.call(types.SetDisplayMessageRequest(message=message)).status


def shown(pair, **more):
    """Return the ids of the messages that the station has."""
    types = pair.types
    if pair.call(types.GetDisplayMessagesRequest(request_id=5, **more)).status == "Unknown":
        return []
    ids = []
    while True:
        part = pair.expect(types.NotifyDisplayMessagesRequest, request_id=5)
        ids += [each.id for each in part.message_info]
        if not part.tbc:
            return ids


def test_messages_are_set_listed_in_parts_and_cleared(pair):
    assert shown(pair) == []
    assert {show(pair, id) for id in range(1, 8)} == {"Accepted"}
    assert shown(pair) == [1, 2, 3, 4, 5, 6, 7]
    assert shown(pair, id=[2, 9]) == [2]
    assert shown(pair, priority="InFront") == []
    clear = pair.types.ClearDisplayMessageRequest(id=2)
    assert [pair.call(clear).status for _ in range(2)] == ["Accepted", "Unknown"]
    assert 2 not in shown(pair)


def test_what_cannot_be_shown_has_its_status(pair):
    assert show(pair, 1, format="HTML") == "NotSupportedMessageFormat"
    assert show(pair, 1, transaction_id="NONE") == "UnknownTransaction"
    assert shown(pair) == []
    assert {show(pair, id) for id in range(20)} == {"Accepted"}
    assert show(pair, 20) == "Rejected"
    assert show(pair, 19, priority="InFront") == "Accepted"  # takes the place of the old one


def test_there_is_one_message_always_in_front(pair):
    assert show(pair, 1, priority="AlwaysFront") == show(pair, 2, priority="AlwaysFront") == "Accepted"
    assert shown(pair) == [2]


def test_a_message_is_removed_at_its_end(pair):
    end = pair.station.core.time.now() + timedelta(minutes=10)
    assert show(pair, 1, end_date_time=end) == "Accepted"
    assert shown(pair) == [1]
    pair.rest(11)
    assert shown(pair) == []


def profile(pair, **fields):
    data = example(pair.types.NetworkConnectionProfile, security_profile=0, ocpp_csms_url="ws://example.com/ocpp")
    data.ocpp_transport = "JSON"
    for name, value in fields.items():
        setattr(data, name, value)
    return data


@pytest.mark.parametrize(
    ("slot", "fields", "status"),
    [
        (1, {}, "Accepted"),
        (9, {}, "Rejected"),
        (1, {"ocpp_transport": "SOAP"}, "Rejected"),
        (1, {"security_profile": 2}, "Rejected"),  # without TLS
        (2, {"security_profile": 2, "ocpp_csms_url": "wss://example.com"}, "Accepted"),
    ],
    ids=["fits", "no such slot", "SOAP", "no TLS", "TLS"],
)
def test_network_profiles(pair, slot, fields, status):
    request = pair.types.SetNetworkProfileRequest(configuration_slot=slot, connection_data=profile(pair, **fields))
    assert pair.call(request).status == status


def test_a_less_secure_network_profile_is_rejected(pair):
    key = next(each.key for each in pair.station.settings if each.key.variable == "SecurityProfile")
    pair.station.settings.put(key, 2)
    request = pair.types.SetNetworkProfileRequest(configuration_slot=1, connection_data=profile(pair))
    response = pair.call(request)
    assert (response.status, response.status_info.reason_code) == ("Rejected", "NoSecurityDowngrade")


def test_data_of_a_vendor(pair):
    types = pair.types
    request = types.DataTransferRequest(vendor_id="com.example", data={"a": 1})
    assert pair.call(request).status == "UnknownVendorId"
    pair.station.core.behaviour.data_transfer.vendors["com.example"] = lambda request: types.DataTransferResponse(
        status="Accepted", data=request.data
    )
    response = pair.call(request)
    assert (response.status, response.data) == ("Accepted", {"a": 1})


class TestTariffs:
    @pytest.fixture
    def pair(self):
        with booted("2.1") as pair:
            yield pair

    def install(self, pair, evse_id, tariff_id, **more):
        tariff = pair.types.Tariff(tariff_id=tariff_id, currency="EUR", **more)
        return pair.call(pair.types.SetDefaultTariffRequest(evse_id=evse_id, tariff=tariff)).status

    def listed(self, pair, evse_id=0):
        response = pair.call(pair.types.GetTariffsRequest(evse_id=evse_id))
        return [(each.tariff_id, each.evse_ids) for each in response.tariff_assignments or ()]

    def test_default_tariffs_are_set_listed_and_cleared(self, pair):
        types = pair.types
        assert self.listed(pair) == []
        assert self.install(pair, 0, "A") == "Accepted"
        assert self.install(pair, 2, "B") == "Accepted"
        assert self.listed(pair) == [("A", [1]), ("B", [2])]
        assert self.listed(pair, 2) == [("B", [2])]
        results = pair.call(types.ClearTariffsRequest(tariff_ids=["A", "C"])).clear_tariffs_result
        assert [(each.tariff_id, each.status) for each in results] == [("A", "Accepted"), ("C", "NoTariff")]
        assert self.listed(pair) == [("B", [2])]

    def test_what_does_not_fit_has_its_status(self, pair):
        types = pair.types
        assert self.install(pair, 3, "A") == "Rejected"
        prices = [types.TariffEnergyPrice(price_kwh=0.3)] * 11
        assert self.install(pair, 1, "A", energy=types.TariffEnergy(prices=prices)) == "TooManyElements"
        assert self.install(pair, 1, "A") == "Accepted"
        assert self.install(pair, 2, "A") == "DuplicateTariffId"
        change = types.ChangeTransactionTariffRequest(
            tariff=types.Tariff(tariff_id="X", currency="EUR"), transaction_id="none"
        )
        assert pair.call(change).status == "TxNotFound"
