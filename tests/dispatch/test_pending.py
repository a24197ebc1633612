"""What is pending, for one peer and for many."""

import threading

from ocppj import PendingRequestState, ServerState


def test_one_at_a_time_a_second_add_is_ignored():
    state = PendingRequestState()
    assert not state.has()
    state.add("1", "first")
    state.add("2", "second")
    assert state.has()
    assert (state.get("1"), state.get("2")) == ("first", None)


def test_an_unknown_id_is_nothing_and_deleting_it_changes_nothing():
    state = PendingRequestState()
    state.delete("1")
    assert state.get("1") is None
    state.add("1", "first")
    state.delete("2")
    assert state.get("1") == "first"


def test_after_delete_the_next_can_be_added():
    state = PendingRequestState()
    state.add("1", "first")
    state.delete("1")
    assert not state.has()
    state.add("2", "second")
    assert state.get("2") == "second"


def test_clear_forgets_what_is_pending():
    state = PendingRequestState()
    state.clear()
    state.add("1", "first")
    state.clear()
    assert not state.has()
    assert state.get("1") is None


def test_a_server_keeps_each_client_apart():
    state = ServerState()
    state.get_client_state("A").add("1", "of A")
    state.get_client_state("B").add("1", "of B")
    assert state.get_client_state("A").get("1") == "of A"
    assert state.has()
    assert state.has("A")
    assert not state.has("C")
    state.clear_client("A")
    assert not state.has("A")
    assert state.get_client_state("B").get("1") == "of B"
    state.clear_client("nobody")
    state.clear()
    assert not state.has()
    assert not state.has("B")


def test_clearing_reaches_those_who_hold_the_state():
    state = ServerState()
    held, other = state.get_client_state("A"), state.get_client_state("B")
    held.add("1", "x")
    other.add("1", "y")
    state.clear_client("A")
    assert not held.has()
    state.clear()
    assert not other.has()


def test_many_threads_get_one_state_for_one_client():
    state, found, barrier = ServerState(), [], threading.Barrier(8)

    def look():
        barrier.wait(10)
        found.append(state.get_client_state("A"))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
