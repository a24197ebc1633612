"""Who may charge at a simulated station: the local list, the cache, the CSMS; online and offline."""

from datetime import timedelta

import pytest

from ocppj.testing.simulation.authorization import Decision
from ocppj.testing.simulation.connectors import IdToken
from tests.testing.sim_model import booted

ACCEPTED, BLOCKED = Decision("Accepted"), Decision("Blocked")


def check(model, id="TAG", type="ISO14443"):
    """Return what is decided, and whether the CSMS was asked."""
    model.events.clear()
    decided = []
    model.run(model.core.authorization.check, IdToken(id, type), model.core.connectors[1], decided.append)
    assert len(decided) == 1
    return decided[0].status, ("authorize", id) in model.events


def entries(**decisions):
    return [(IdToken(id), decision) for id, decision in decisions.items()]


def go_offline(model):
    model.run(model.core.power.go_offline, None)


def test_online_the_csms_is_asked():
    with booted() as model:
        model.core.behaviour.decisions["B"] = BLOCKED
        assert check(model, "A") == ("Accepted", True)
        assert check(model, "B") == ("Blocked", True)


def test_online_a_known_id_is_accepted_without_if_the_setting_says_so():
    with booted() as model:
        check(model, "A")
        assert check(model, "A") == ("Accepted", True)
        model.set("preauthorize_listed", True)
        assert check(model, "A") == ("Accepted", False)
        model.core.behaviour.decisions["B"] = BLOCKED
        check(model, "B")
        assert check(model, "B") == ("Blocked", True)  # it may be accepted now


def test_offline_the_cache_knows_who_was_accepted():
    with booted() as model:
        check(model, "A")
        go_offline(model)
        assert check(model, "a") == ("Accepted", False)
        assert check(model, "A", "eMAID") == ("Invalid", False)  # an id of another type is another id
        assert check(model, "B") == ("Invalid", False)
        model.set("offline_authorize_listed", False)
        assert check(model, "A") == ("Invalid", False)


def test_offline_an_unknown_id_may_charge_if_the_setting_says_so():
    with booted() as model:
        model.core.behaviour.decisions["B"] = BLOCKED
        check(model, "B")
        model.set("offline_allow_unknown", True)
        go_offline(model)
        assert check(model, "A") == ("Accepted", False)
        assert check(model, "B") == ("Invalid", False)


def test_no_answer_is_as_offline():
    with booted() as model:
        check(model, "A")
        model.core.behaviour.decisions.update(A=None, B=None)
        assert check(model, "A") == ("Accepted", True)
        assert check(model, "B") == ("Invalid", True)


def test_an_expired_decision_counts_no_more():
    with booted() as model:
        model.core.behaviour.decisions["A"] = Decision("Accepted", None, model.core.time.now() + timedelta(hours=1))
        check(model, "A")
        go_offline(model)
        assert check(model, "A") == ("Accepted", False)
        model.pass_time(3600)
        assert check(model, "A") == ("Invalid", False)


def test_the_local_list_is_right_where_the_cache_says_otherwise():
    with booted() as model:
        check(model, "A")
        model.core.authorization.local_list.update(1, entries(A=BLOCKED, B=ACCEPTED), is_full=True)
        model.core.authorization.learn(IdToken("B"), BLOCKED)
        go_offline(model)
        assert check(model, "A") == ("Invalid", False)
        assert check(model, "B") == ("Accepted", False)
        model.set("list_enabled", False)
        assert check(model, "A") == ("Accepted", False)


def test_changes_of_the_local_list():
    with booted() as model:
        listed = model.core.authorization.local_list
        assert listed.update(1, entries(A=ACCEPTED, B=ACCEPTED), is_full=True) == "Accepted"
        assert listed.update(2, entries(a=None, B=BLOCKED, C=ACCEPTED), is_full=False) == "Accepted"
        found = [listed.get(IdToken(id)) for id in "ABC"]
        assert (listed.version, found, len(listed)) == (2, [None, BLOCKED, ACCEPTED], 2)
        assert listed.update(1, [], is_full=True) == "Accepted"
        assert (listed.version, len(listed)) == (1, 0)


@pytest.mark.parametrize(
    ("version", "changes", "is_full", "status"),
    [
        (2, {"C": ACCEPTED}, False, "VersionMismatch"),
        (0, {"C": ACCEPTED}, True, "Failed"),
        (3, {"C": ACCEPTED, "c": BLOCKED}, False, "Failed"),
        (3, {"C": None}, True, "Failed"),
        (3, {"C": ACCEPTED, "D": ACCEPTED}, False, "Failed"),
        (3, {"A": None, "C": ACCEPTED, "D": ACCEPTED}, False, "Accepted"),
        (3, {"C": ACCEPTED, "D": ACCEPTED, "E": ACCEPTED}, True, "Accepted"),
    ],
    ids=["version", "zero", "twice", "nothing", "too many", "one less", "full"],
)
def test_an_update_of_the_local_list_that_does_not_fit_changes_nothing(version, changes, is_full, status):
    with booted() as model:
        listed = model.core.authorization.local_list
        listed.update(2, entries(A=ACCEPTED, B=ACCEPTED), is_full=True)
        assert listed.update(version, entries(**changes), is_full=is_full, most=3) == status
        if status != "Accepted":
            assert (listed.version, len(listed), listed.get(IdToken("A"))) == (2, 2, ACCEPTED)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_cache_is_cleared(enabled):
    with booted() as model:
        model.set("cache_enabled", enabled)
        check(model, "A")
        assert model.core.authorization.clear_cache() is enabled
        go_offline(model)
        assert check(model, "A") == ("Invalid", False)


def test_the_cache_is_bounded():
    with booted() as model:
        for number in range(1001):
            model.core.authorization.learn(IdToken(f"T{number}"), ACCEPTED)
        go_offline(model)
        assert check(model, "T0") == ("Invalid", False)
        assert check(model, "T1") == ("Accepted", False)


@pytest.mark.parametrize("type", ["NoAuthorization", "Central"])
def test_some_types_are_never_asked_about_and_never_cached(type):
    with booted() as model:
        token = IdToken("A", type)
        model.run(model.core.authorization.learn, token, BLOCKED)
        assert model.core.authorization.known_of(token) == []
        assert check(model, "A", type) == ("Accepted", False)
        go_offline(model)
        assert check(model, "A", type) == ("Accepted", False)
