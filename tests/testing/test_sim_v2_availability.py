"""A simulated station of 2.x is made inoperative, is reset, and has reservations."""

from datetime import timedelta

import pytest

from tests.testing.sim_pairs import booted


@pytest.fixture(params=["2.0.1", "2.1"])
def pair(request):
    with booted(request.param) as pair:
        yield pair


def begin(pair, evse=1, id_token="TAG"):
    pair.station.plug_in(evse)
    pair.station.present_card(id_token, evse)
    return pair.expect(pair.types.TransactionEventRequest, event_type="Started")


def status_is(pair, evse, status):
    return pair.expect(pair.types.StatusNotificationRequest, evse_id=evse, connector_status=status)


class TestAvailability:
    def change(self, pair, status, evse=None, connector=None):
        where = None if evse is None else pair.types.EVSE(id=evse, connector_id=connector)
        request = pair.types.ChangeAvailabilityRequest(operational_status=status, evse=where)
        return pair.call(request).status

    def test_an_evse(self, pair):
        assert self.change(pair, "Inoperative", 2) == "Accepted"
        status_is(pair, 2, "Unavailable")
        assert self.change(pair, "Inoperative", 2) == "Accepted"
        assert self.change(pair, "Operative", 2, 1) == "Accepted"
        status_is(pair, 2, "Available")

    def test_the_station(self, pair):
        assert self.change(pair, "Inoperative") == "Accepted"
        status_is(pair, 1, "Unavailable")
        status_is(pair, 2, "Unavailable")
        assert self.change(pair, "Operative") == "Accepted"
        status_is(pair, 1, "Available")

    def test_what_is_unknown(self, pair):
        assert self.change(pair, "Inoperative", 3) == "Rejected"
        assert self.change(pair, "Inoperative", 1, 2) == "Rejected"

    @pytest.mark.parametrize("evse", [1, None], ids=["EVSE", "station"])
    def test_during_a_transaction_it_waits(self, pair, evse):
        begin(pair)
        assert self.change(pair, "Inoperative", evse) == "Scheduled"
        pair.rest(5)
        assert len(pair.station.transactions) == 1
        pair.station.unplug(1)
        status_is(pair, 1, "Unavailable")

    def test_an_inoperative_station_is_so_after_a_reset(self, pair):
        assert self.change(pair, "Inoperative", 1) == "Accepted"
        status_is(pair, 1, "Unavailable")
        assert pair.call(pair.types.ResetRequest(type="Immediate")).status == "Accepted"
        pair.expect(pair.types.BootNotificationRequest)
        status_is(pair, 1, "Unavailable")


class TestReset:
    def reset(self, pair, type, evse_id=None):
        return pair.call(pair.types.ResetRequest(type=type, evse_id=evse_id)).status

    def test_immediately(self, pair):
        begin(pair)
        assert self.reset(pair, "Immediate") == "Accepted"
        ended = pair.expect(pair.types.TransactionEventRequest, event_type="Ended", trigger_reason="ResetCommand")
        assert ended.transaction_info.stopped_reason == "ImmediateReset"
        pair.expect(pair.types.BootNotificationRequest, reason="RemoteReset")
        status_is(pair, 2, "Available")

    def test_when_idle_at_once_without_a_transaction(self, pair):
        assert self.reset(pair, "OnIdle") == "Accepted"
        pair.expect(pair.types.BootNotificationRequest)

    def test_when_idle_after_the_transaction(self, pair):
        begin(pair)
        assert self.reset(pair, "OnIdle") == "Scheduled"
        pair.nothing(pair.types.BootNotificationRequest, during=60)
        pair.station.unplug(1)
        ended = pair.expect(pair.types.TransactionEventRequest, event_type="Ended")
        assert ended.transaction_info.stopped_reason == "EVDisconnected"
        pair.expect(pair.types.BootNotificationRequest, reason="ScheduledReset")

    def test_an_evse(self, pair):
        begin(pair, 1, "A")
        begin(pair, 2, "B")
        assert self.reset(pair, "Immediate", 1) == "Accepted"
        pair.expect(pair.types.TransactionEventRequest, event_type="Ended", evse={"id": 1})
        status_is(pair, 1, "Unavailable")
        status_is(pair, 1, "Occupied")
        pair.nothing(pair.types.BootNotificationRequest, during=60)
        assert len(pair.station.transactions) == 1

    def test_an_evse_after_its_transaction(self, pair):
        begin(pair, 1, "A")
        begin(pair, 2, "B")
        assert self.reset(pair, "OnIdle", 1) == "Scheduled"
        pair.station.unplug(2)
        pair.expect(pair.types.TransactionEventRequest, event_type="Ended", evse={"id": 2})
        pair.rest(1)
        assert pair.station.connectors[1].transaction is not None
        pair.station.unplug(1)
        status_is(pair, 1, "Unavailable")
        status_is(pair, 1, "Available")

    def test_an_unknown_evse(self, pair):
        assert self.reset(pair, "Immediate", 3) == "Rejected"

    def test_with_transactions_that_go_on_it_is_not_supported(self):
        with booted("2.1") as pair:
            assert self.reset(pair, "ImmediateAndResume") == "Rejected"


class TestReservations:
    def reserve(self, pair, id=1, evse_id=None, id_token="ME", minutes=60, group=None, **more):
        types = pair.types
        request = types.ReserveNowRequest(
            id=id,
            expiry_date_time=pair.station.core.time.now() + timedelta(minutes=minutes),
            id_token=types.IdToken(id_token=id_token, type="ISO14443"),
            evse_id=evse_id,
            group_id_token=None if group is None else types.IdToken(id_token=group, type="Central"),
            **more,
        )
        return pair.call(request).status

    def test_it_is_used_up_by_the_driver(self, pair):
        assert self.reserve(pair, 9, 1) == "Accepted"
        status_is(pair, 1, "Reserved")
        pair.station.plug_in(1)
        pair.station.present_card("OTHER", 1)
        pair.rest(1)
        assert pair.station.transactions == []
        assert pair.all(pair.types.StatusNotificationRequest)[-1].connector_status == "Reserved"
        pair.station.present_card("ME", 1)
        status_is(pair, 1, "Occupied")
        assert pair.expect(pair.types.TransactionEventRequest, event_type="Started").reservation_id == 9
        again = pair.expect(pair.types.TransactionEventRequest, event_type="Updated")
        assert again.reservation_id is None
        assert pair.all(pair.types.ReservationStatusUpdateRequest) == []

    def test_it_expires(self, pair):
        assert self.reserve(pair, 9, 1, minutes=30) == "Accepted"
        status_is(pair, 1, "Reserved")
        update = pair.expect(pair.types.ReservationStatusUpdateRequest, within=31)
        assert (update.reservation_id, update.reservation_update_status) == (9, "Expired")
        assert pair.all(pair.types.StatusNotificationRequest)[-1].connector_status == "Available"

    def test_it_is_canceled(self, pair):
        assert self.reserve(pair, 9, 1) == "Accepted"
        cancel = pair.types.CancelReservationRequest(reservation_id=9)
        assert [pair.call(cancel).status for _ in range(2)] == ["Accepted", "Rejected"]
        status_is(pair, 1, "Available")

    @pytest.mark.parametrize("status", ["Faulted", "Unavailable"])
    def test_it_ends_with_the_evse(self, pair, status):
        assert self.reserve(pair, 9, 1) == "Accepted"
        if status == "Faulted":
            pair.station.fail(1)
        else:
            evse = pair.types.EVSE(id=1)
            pair.call(pair.types.ChangeAvailabilityRequest(operational_status="Inoperative", evse=evse))
        update = pair.expect(pair.types.ReservationStatusUpdateRequest, reservation_id=9)
        assert update.reservation_update_status == "Removed"
        assert self.reserve(pair, 9, 1) == status

    def test_where_none_is_possible(self, pair):
        assert self.reserve(pair, evse_id=3) == "Rejected"
        assert self.reserve(pair, minutes=-1) == "Rejected"
        assert self.reserve(pair, evse_id=1, connector_type="cCCS2") == "Rejected"
        begin(pair)
        assert self.reserve(pair, evse_id=1) == "Occupied"
        assert self.reserve(pair, 1, 2, connector_type="cType2") == "Accepted"
        assert self.reserve(pair, 2, 2) == "Occupied"
        assert self.reserve(pair, 1, 2) == "Accepted"  # takes the place of its own

    def test_of_any_evse(self, pair):
        assert self.reserve(pair, 1) == "Accepted"
        pair.rest(1)
        assert pair.station.connectors[1].status.value == "Available"
        assert self.reserve(pair, 2, id_token="YOU") == "Accepted"
        status_is(pair, 2, "Reserved")
        assert self.reserve(pair, 3, id_token="THEY") == "Occupied"

    def test_a_group_may_use_it(self, pair):
        types = pair.types
        assert self.reserve(pair, 9, 1, group="FAMILY") == "Accepted"
        group = types.IdToken(id_token="FAMILY", type="Central")
        accepted = types.IdTokenInfo(status="Accepted", group_id_token=group)
        pair.csms.reply(types.AuthorizeRequest, types.AuthorizeResponse(id_token_info=accepted))
        pair.station.plug_in(1)
        pair.station.present_card("CHILD", 1)
        assert pair.expect(types.TransactionEventRequest, event_type="Started").reservation_id == 9
