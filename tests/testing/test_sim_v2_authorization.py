"""A simulated station of 2.x asks who may charge, remembers it, and has a local list."""

from datetime import timedelta

import pytest

from ocppj import OCPPError
from tests.testing.sim_pairs import booted


@pytest.fixture(params=["2.0.1", "2.1"])
def pair(request):
    with booted(request.param) as pair:
        yield pair


def change(pair, component, variable, value):
    types = pair.types
    data = types.SetVariableData(
        attribute_value=value,
        component=types.Component(name=component),
        variable=types.Variable(name=variable),
    )
    assert pair.call(types.SetVariablesRequest(set_variable_data=[data])).set_variable_result[0].attribute_status == (
        "Accepted"
    )


def info(pair, status="Accepted", group=None, **more):
    types = pair.types
    group_token = None if group is None else types.IdToken(id_token=group, type="Central")
    return types.IdTokenInfo(status=status, group_id_token=group_token, **more)


def answer(pair, *infos):
    pair.csms.reply(pair.types.AuthorizeRequest, *(pair.types.AuthorizeResponse(id_token_info=each) for each in infos))


def begin(pair, id_token="TAG", evse=1):
    pair.station.plug_in(evse)
    pair.station.present_card(id_token, evse)


def started(pair):
    return pair.expect(pair.types.TransactionEventRequest, event_type="Started")


def test_who_is_refused_does_not_charge(pair):
    answer(pair, info(pair, "Blocked"))
    begin(pair)
    pair.expect(pair.types.AuthorizeRequest)
    pair.nothing(pair.types.TransactionEventRequest, during=60)


def test_who_is_accepted_for_another_evse_does_not_charge(pair):
    answer(pair, info(pair, evse_id=[2]))
    begin(pair)
    pair.expect(pair.types.AuthorizeRequest)
    pair.nothing(pair.types.TransactionEventRequest, during=60)
    begin(pair, evse=2)
    started(pair)


def test_one_of_the_same_group_ends_the_transaction(pair):
    answer(pair, info(pair, group="FAMILY"))
    begin(pair)
    started(pair)
    pair.station.present_card("OTHER", 1)
    ended = pair.expect(pair.types.TransactionEventRequest, event_type="Ended")
    assert ended.id_token.id_token == "OTHER"


def test_a_master_pass_ends_any_transaction_and_begins_none(pair):
    change(pair, "AuthCtrlr", "MasterPassGroupId", "MASTER")
    answer(pair, info(pair), info(pair, group="MASTER"))
    begin(pair)
    started(pair)
    pair.station.present_card("BOSS", 1)
    ended = pair.expect(pair.types.TransactionEventRequest, event_type="Ended")
    assert ended.transaction_info.stopped_reason == "MasterPass"
    begin(pair, "BOSS", evse=2)
    pair.nothing(pair.types.TransactionEventRequest, during=10)


def test_the_cache_spares_a_question(pair):
    change(pair, "AuthCtrlr", "LocalPreAuthorize", "true")
    for _ in range(2):
        begin(pair)
        started(pair)
        pair.station.unplug(1)
        pair.expect(pair.types.TransactionEventRequest, event_type="Ended")
    assert len(pair.all(pair.types.AuthorizeRequest)) == 1
    assert pair.call(pair.types.ClearCacheRequest()).status == "Accepted"
    begin(pair)
    pair.expect(pair.types.AuthorizeRequest)


def test_the_cache_forgets_at_the_expiry(pair):
    change(pair, "AuthCtrlr", "LocalPreAuthorize", "true")
    now = pair.station.core.time.now()
    answer(pair, info(pair, cache_expiry_date_time=now + timedelta(minutes=5)))
    pair.csms.reply(pair.types.TransactionEventRequest, pair.types.TransactionEventResponse())
    begin(pair)
    started(pair)
    pair.station.unplug(1)
    pair.rest(6)
    begin(pair)
    pair.rest(1)
    assert len(pair.all(pair.types.AuthorizeRequest)) == 2


def test_one_that_is_known_not_to_be_accepted_is_asked_about_unless_a_variable_says_no(pair):
    answer(pair, info(pair, "Blocked"), info(pair))
    begin(pair)
    pair.expect(pair.types.AuthorizeRequest)
    change(pair, "AuthCacheCtrlr", "DisablePostAuthorize", "true")
    pair.station.present_card("TAG", 1)
    pair.nothing(pair.types.AuthorizeRequest, during=5)
    change(pair, "AuthCacheCtrlr", "DisablePostAuthorize", "false")
    pair.station.present_card("TAG", 1)
    pair.expect(pair.types.AuthorizeRequest)
    started(pair)


def test_without_a_cache_it_cannot_be_cleared(pair):
    change(pair, "AuthCacheCtrlr", "Enabled", "false")
    assert pair.call(pair.types.ClearCacheRequest()).status == "Rejected"


def test_offline_it_knows_who_is_in_the_cache(pair):
    begin(pair)
    started(pair)
    pair.station.unplug(1)
    pair.expect(pair.types.TransactionEventRequest, event_type="Ended")
    pair.station.go_offline(20)
    pair.csms.disconnected(within=5)
    begin(pair, "STRANGER")
    pair.rest(5)
    assert pair.station.transactions == []
    pair.station.present_card("TAG", 1)
    pair.rest(1)
    assert len(pair.station.transactions) == 1
    assert started(pair).offline is True


def test_it_asks_nobody_when_it_is_told_not_to(pair):
    change(pair, "AuthCtrlr", "DisableRemoteAuthorization", "true")
    begin(pair)
    pair.nothing(pair.types.AuthorizeRequest, during=5)
    assert pair.station.transactions == []


class TestLocalList:
    def send(self, pair, version, *entries, update="Differential"):
        request = pair.types.SendLocalListRequest(
            version_number=version, update_type=update, local_authorization_list=list(entries) or None
        )
        return pair.call(request).status

    def entry(self, pair, id_token, status="Accepted"):
        types = pair.types
        return types.AuthorizationData(
            id_token=types.IdToken(id_token=id_token, type="ISO14443"),
            id_token_info=None if status is None else info(pair, status),
        )

    def version(self, pair):
        return pair.call(pair.types.GetLocalListVersionRequest()).version_number

    def count(self, pair):
        types = pair.types
        data = types.GetVariableData(
            component=types.Component(name="LocalAuthListCtrlr"), variable=types.Variable(name="Entries")
        )
        result = pair.call(types.GetVariablesRequest(get_variable_data=[data])).get_variable_result[0]
        return int(result.attribute_value)

    def test_full_and_differential_updates(self, pair):
        assert (self.version(pair), self.count(pair)) == (0, 0)
        assert self.send(pair, 3, *(self.entry(pair, name) for name in "ABC"), update="Full") == "Accepted"
        assert (self.version(pair), self.count(pair)) == (3, 3)
        assert self.send(pair, 4, self.entry(pair, "A", None), self.entry(pair, "D")) == "Accepted"
        assert (self.version(pair), self.count(pair)) == (4, 3)
        assert self.send(pair, 4, self.entry(pair, "E")) == "VersionMismatch"
        assert self.send(pair, 1, self.entry(pair, "E"), update="Full") == "Accepted"  # a lower version is fine
        assert (self.version(pair), self.count(pair)) == (1, 1)
        assert self.send(pair, 2, update="Full") == "Accepted"
        assert (self.version(pair), self.count(pair)) == (2, 0)

    def test_what_cannot_be_taken_leaves_the_list_as_it_is(self, pair):
        assert self.send(pair, 1, self.entry(pair, "A"), update="Full") == "Accepted"
        assert self.send(pair, 2, self.entry(pair, "B"), self.entry(pair, "b")) == "Failed"
        assert self.send(pair, 2, self.entry(pair, "B", None), update="Full") == "Failed"
        with pytest.raises(OCPPError, match="at most 100"):
            self.send(pair, 2, *(self.entry(pair, str(number)) for number in range(101)))
        assert (self.version(pair), self.count(pair)) == (1, 1)

    def test_there_is_an_end_to_its_size(self, pair):
        for part in range(10):
            entries = [self.entry(pair, f"{part}-{number}") for number in range(100)]
            assert self.send(pair, part + 1, *entries) == "Accepted"
        assert self.send(pair, 20, self.entry(pair, "MORE")) == "Failed"
        assert self.count(pair) == 1000

    def test_one_that_is_not_enabled_has_no_version(self, pair):
        assert self.send(pair, 1, self.entry(pair, "A")) == "Accepted"
        change(pair, "LocalAuthListCtrlr", "Enabled", "false")
        assert self.version(pair) == 0
        assert self.send(pair, 2, self.entry(pair, "B")) == "Failed"

    def test_it_decides_offline(self, pair):
        assert self.send(pair, 1, self.entry(pair, "GOOD"), self.entry(pair, "BAD", "Blocked")) == "Accepted"
        pair.station.go_offline(20)
        pair.csms.disconnected(within=5)
        begin(pair, "BAD")
        pair.rest(1)
        assert pair.station.transactions == []
        pair.station.present_card("GOOD", 1)
        pair.rest(1)
        assert len(pair.station.transactions) == 1


class TestCustomers:
    def ask(self, pair, report=True, clear=False, **reference):
        request = pair.types.CustomerInformationRequest(request_id=4, report=report, clear=clear, **reference)
        return pair.call(request).status

    def told(self, pair):
        text, number = "", 0
        while True:
            part = pair.expect(pair.types.NotifyCustomerInformationRequest, request_id=4, seq_no=number)
            text, number = text + part.data, number + 1
            if not part.tbc:
                return text

    def test_what_is_known_of_an_id_is_told_and_cleared(self, pair):
        token = pair.types.IdToken(id_token="TAG", type="ISO14443")
        assert self.ask(pair, id_token=token) == "Accepted"
        assert self.told(pair) == "no data"
        begin(pair)
        id = started(pair).transaction_info.transaction_id
        pair.rest()
        assert self.ask(pair, id_token=token, clear=True) == "Accepted"
        text = self.told(pair)
        assert "cache: ISO14443 TAG Accepted" in text and id in text
        assert self.ask(pair, id_token=token) == "Accepted"
        assert "cache" not in self.told(pair)

    def test_a_request_must_be_about_one_customer(self, pair):
        token = pair.types.IdToken(id_token="TAG", type="ISO14443")
        assert self.ask(pair) == "Invalid"
        assert self.ask(pair, id_token=token, customer_identifier="me") == "Invalid"
        assert self.ask(pair, report=False, id_token=token) == "Rejected"
        assert self.ask(pair, customer_identifier="me") == "Accepted"
        assert self.told(pair) == "no data"


def test_the_cache_knows_for_which_evses_an_id_is(pair):
    types = pair.types
    pair.csms.reply(types.TransactionEventRequest, types.TransactionEventResponse())
    answer(pair, info(pair, evse_id=[2]))
    begin(pair)
    pair.expect(types.AuthorizeRequest)
    pair.rest()
    change(pair, "AuthCtrlr", "LocalPreAuthorize", "true")
    begin(pair, evse=2)
    assert started(pair).evse.id == 2
    assert len(pair.all(types.AuthorizeRequest)) == 1
    pair.station.present_card("TAG", 1)
    pair.expect(types.AuthorizeRequest)
    assert len(pair.station.transactions) == 1


def test_offline_an_id_is_accepted_at_its_evses_only(pair):
    pair.csms.reply(pair.types.TransactionEventRequest, pair.types.TransactionEventResponse())
    answer(pair, info(pair, evse_id=[2]))
    begin(pair, evse=2)
    started(pair)
    pair.station.unplug(2)
    pair.station.go_offline()
    pair.rest()
    begin(pair, evse=1)
    pair.rest()
    assert pair.station.transactions == []
    begin(pair, evse=2)
    pair.rest()
    assert [each.connector.id for each in pair.station.transactions] == [2]
