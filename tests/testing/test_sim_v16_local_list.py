"""The local list, and the cache, of a simulated station of 1.6."""

from datetime import timedelta

import pytest

from ocppj import ErrorCode, OCPPError, v16
from tests.testing.sim_pairs import booted

Start = v16.StartTransactionRequest


@pytest.fixture
def pair():
    with booted("1.6") as pair:
        yield pair


def change(pair, key, value):
    assert pair.call(v16.ChangeConfigurationRequest(key=key, value=value)).status == "Accepted"


def send(pair, version, type, **entries):
    """Send a list: ids with a status, an IdTagInfo, or ``None`` for one to remove. Return the status of the answer."""
    infos = {id: v16.IdTagInfo(info) if isinstance(info, str) else info for id, info in entries.items()}
    data = [v16.AuthorizationData(id, info) for id, info in infos.items()]
    return pair.call(v16.SendLocalListRequest(version, type, data or None)).status


def version(pair):
    return pair.call(v16.GetLocalListVersionRequest()).list_version


def begins_offline(pair, id_tag):
    """Return whether an id starts a transaction while there is no connection."""
    pair.station.go_offline()
    pair.csms.disconnected(within=5)
    pair.station.plug_in(1)
    pair.station.present_card(id_tag, 1)
    pair.rest(1)
    begun = pair.station.connectors[1].transaction is not None
    pair.station.unplug(1)
    pair.station.go_online()
    pair.csms.connected(within=10)
    return begun


def test_versions(pair):
    assert version(pair) == 0
    assert send(pair, 3, "Full", A="Accepted", B="Blocked") == "Accepted"
    assert version(pair) == 3
    assert send(pair, 3, "Differential", C="Accepted") == "VersionMismatch"
    assert send(pair, 4, "Differential", C="Accepted", A=None) == "Accepted"
    assert version(pair) == 4
    assert send(pair, 2, "Full") == "Accepted"
    assert version(pair) == 0  # it is empty


def test_lists_that_do_not_fit(pair):
    assert send(pair, 1, "Full", A=None) == "Failed"
    assert send(pair, 1, "Full", A="Accepted", a="Accepted") == "Failed"
    assert send(pair, -1, "Full", A="Accepted") == "Failed"
    with pytest.raises(OCPPError) as caught:
        send(pair, 1, "Full", **{f"T{number}": "Accepted" for number in range(101)})
    assert caught.value.code is ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION
    change(pair, "LocalAuthListEnabled", "false")
    assert send(pair, 1, "Full", A="Accepted") == "NotSupported"
    assert version(pair) == -1


def test_who_may_charge_offline(pair):
    later = pair.station.core.time.now() + timedelta(days=1)
    expired = v16.IdTagInfo("Accepted", expiry_date=later - timedelta(days=2))
    valid = v16.IdTagInfo("Accepted", expiry_date=later + timedelta(days=30))
    send(pair, 1, "Full", A="Accepted", B="Blocked", C="ConcurrentTx", D=expired, E=valid)
    assert {id: begins_offline(pair, id) for id in "ABCDEX"} == {
        "A": True,
        "B": False,
        "C": True,
        "D": False,
        "E": True,
        "X": False,
    }


def test_an_unknown_id_may_charge_offline_if_the_key_says_so(pair):
    change(pair, "AllowOfflineTxForUnknownId", "true")
    send(pair, 1, "Full", B="Blocked")
    assert begins_offline(pair, "X") is True
    assert begins_offline(pair, "B") is False


def test_a_listed_id_is_not_asked_for_if_the_key_says_so(pair):
    send(pair, 1, "Full", A="Accepted")
    change(pair, "LocalPreAuthorize", "true")
    pair.begin("A")
    assert pair.all(v16.AuthorizeRequest) == []


def test_a_conflict_with_the_list_is_reported(pair):
    send(pair, 1, "Full", A="Accepted")
    change(pair, "LocalPreAuthorize", "true")
    pair.csms.reply(Start, v16.StartTransactionResponse(v16.IdTagInfo("Blocked"), 7))
    pair.begin("A")
    pair.expect(v16.StatusNotificationRequest, connector_id=0, error_code="LocalListConflict")
    pair.expect(v16.StopTransactionRequest, reason="DeAuthorized")


def test_the_cache(pair):
    change(pair, "AllowOfflineTxForUnknownId", "false")
    pair.begin("A", 2)
    pair.station.unplug(2)
    pair.expect(v16.StopTransactionRequest)
    assert begins_offline(pair, "A") is True
    assert pair.call(v16.ClearCacheRequest()).status == "Accepted"
    assert begins_offline(pair, "A") in (True, False)
    change(pair, "AuthorizationCacheEnabled", "false")
    assert pair.call(v16.ClearCacheRequest()).status == "Rejected"


def test_a_cleared_cache_knows_nobody(pair):
    pair.station.plug_in(2)
    pair.station.present_card("A", 2)
    pair.expect(Start)
    assert pair.call(v16.ClearCacheRequest()).status == "Accepted"
    assert begins_offline(pair, "A") is False
