"""The order in which a simulated station sends its requests, and what happens to those that are not answered."""

import json

import pytest

from ocppj import ConnectionLost, ErrorCode, OCPPError, v16
from tests.testing.sim_model import booted


def transfer(name):
    return v16.DataTransferRequest(vendor_id=name)


def send(model, request, results=None, **options):
    on_answer = on_failure = None
    if results is not None:
        on_answer = lambda response: results.append(response.status.value)  # noqa: E731
        on_failure = lambda error: results.append(type(error).__name__)  # noqa: E731
    model.run(lambda: model.core.send(request, on_answer, on_failure, **options))


def names(model):
    return [each.vendor_id for each in model.came if isinstance(each, v16.DataTransferRequest)]


def refusing(model, *refused):
    """Refuse a request once for each time its name is among those."""
    left = list(refused)

    def reply(request):
        if request.vendor_id in left:
            left.remove(request.vendor_id)
            raise OCPPError(ErrorCode.INTERNAL_ERROR, "refused")
        return v16.DataTransferResponse(status="Accepted")

    model.replies[v16.DataTransferRequest] = reply


def test_a_request_is_answered():
    with booted() as model:
        results = []
        send(model, transfer("a"), results)
        assert results == ["Accepted"]
        assert model.core.summary.sent["DataTransfer"] == 1


def test_a_request_that_is_refused_fails():
    with booted() as model:
        refusing(model, "a")
        results = []
        send(model, transfer("a"), results)
        assert results == ["OCPPError"]
        assert model.core.summary.failed == {"InternalError": 1}


def test_a_request_without_an_answer_fails():
    with booted() as model:
        model.core.faults.silent("DataTransfer")
        results = []
        send(model, transfer("a"), results)
        assert (results, names(model)) == (["CallTimeout"], [])


def test_offline_what_is_not_kept_fails_at_once_and_the_rest_waits_in_order():
    with booted() as model:
        model.run(model.core.power.go_offline, None)
        results = []
        for name in "abc":
            send(model, transfer(name), results, keep=name != "b")
        assert (results, model.core.outbox.kept) == (["ConnectionLost"], 2)
        model.run(model.core.power.go_online)
        assert names(model) == ["a", "c"]
        assert (results, model.core.outbox.kept) == (["ConnectionLost", "Accepted", "Accepted"], 0)


def test_a_request_is_made_when_its_turn_has_come():
    with booted() as model:
        model.run(model.core.power.go_offline, None)
        known = []
        send(model, transfer("start"), known, keep=True)
        send(model, lambda: transfer(f"stop after {known}"), keep=True)
        send(model, lambda: None, keep=True)  # it has become needless
        model.run(model.core.power.go_online)
        assert names(model) == ["start", "stop after ['Accepted']"]


def test_a_request_that_is_sent_again_is_not_made_again():
    with booted() as model:
        made = []

        def cut(request):
            del model.replies[v16.DataTransferRequest]
            model.server.abort("CP_1")
            raise OCPPError(ErrorCode.INTERNAL_ERROR, "too late")

        def make():
            made.append(1)
            return transfer(f"{len(made)}")

        model.replies[v16.DataTransferRequest] = cut
        send(model, make, keep=True)
        model.pass_time(10)
        assert names(model) == ["1", "1"]


def test_a_connection_that_is_broken_is_not_tried_without_end():
    """The thread that tries may be the one that is to note the end of the connection."""
    with booted() as model:
        client, tries = model.core.client, []
        usual = client.send_request

        def broken(*arguments, **options):
            tries.append(1)
            if len(tries) > 100:
                return usual(*arguments, **options)
            raise ConnectionLost("it is broken")

        client.send_request = broken
        send(model, transfer("a"), keep=True)
        assert len(tries) == 1
        client.send_request = usual
        model.pass_time(1.5)
        assert names(model) == ["a"]


def test_a_request_whose_answer_was_lost_is_sent_again_with_its_id():
    with booted() as model:
        ids = ids_of_transfers(model)

        def cut(request):
            del model.replies[v16.DataTransferRequest]
            model.server.abort("CP_1")
            raise OCPPError(ErrorCode.INTERNAL_ERROR, "too late")

        model.replies[v16.DataTransferRequest] = cut
        send(model, transfer("a"), keep=True)
        send(model, transfer("b"), keep=True)
        model.pass_time(10)
        assert names(model) == ["a", "a", "b"]
        assert ids[0] == ids[1] != ids[2]


def ids_of_transfers(model):
    """Return the list to which the ids of further DataTransfers are added."""
    ids = []
    model.server.add_observer(
        lambda frame: ids.append(json.loads(frame.text)[1]) if '"DataTransfer"' in frame.text else None
    )
    return ids


def test_after_an_error_a_request_has_a_new_id():
    with booted() as model:
        ids = ids_of_transfers(model)
        refusing(model, "a")
        send(model, transfer("a"), retry=True)
        model.pass_time(10)
        assert len(ids) == len(set(ids)) == 2


def test_what_is_about_a_transaction_is_tried_again_later_and_later_and_in_order():
    with booted() as model:
        refusing(model, "a", "a")
        results = []
        send(model, transfer("a"), results, retry=True)
        send(model, transfer("b"), results, retry=True)
        assert names(model) == ["a"]
        send(model, transfer("now"))  # what is not about a transaction goes past
        assert names(model) == ["a", "now"]
        model.pass_time(9)
        assert names(model) == ["a", "now"]
        model.pass_time(1)
        assert names(model) == ["a", "now", "a"]
        model.pass_time(19)
        assert names(model) == ["a", "now", "a"]
        model.pass_time(1)
        assert names(model) == ["a", "now", "a", "a", "b"]
        assert results == ["Accepted", "Accepted"]


def test_what_is_about_a_transaction_is_given_up_after_so_many_attempts():
    with booted() as model:
        model.set("message_attempts", 2)
        refusing(model, "a", "a", "a")
        results = []
        send(model, transfer("a"), results, retry=True)
        send(model, transfer("b"), results, retry=True)
        model.pass_time(10)
        assert names(model) == ["a", "a", "b"]
        assert results == ["OCPPError", "Accepted"]


@pytest.mark.parametrize("kept", [0, 2])
def test_a_job_waits_for_the_delivery(kept):
    with booted() as model:
        model.run(model.core.power.go_offline, None)
        for name in "ab"[:kept]:
            send(model, transfer(name), keep=True)
        done = []
        model.run(model.core.outbox.when_delivered, lambda: done.append(names(model)))
        assert done == ([] if kept else [[]])
        model.run(model.core.power.go_online)
        assert done == [["a", "b"][:kept]]


def test_a_lost_connection_is_no_attempt():
    with booted() as model:
        model.set("message_attempts", 2)
        steps = ["cut", "refuse", "accept"]

        def reply(request):
            step = steps.pop(0)
            if step == "cut":
                model.server.abort("CP_1")
            if step != "accept":
                raise OCPPError(ErrorCode.INTERNAL_ERROR, step)
            return v16.DataTransferResponse(status="Accepted")

        model.replies[v16.DataTransferRequest] = reply
        results = []
        send(model, transfer("a"), results, retry=True)
        model.pass_time(30)
        assert (names(model), results) == (["a", "a", "a"], ["Accepted"])


def test_a_refused_message_that_is_not_about_a_transaction_is_not_repeated():
    with booted() as model:
        refusing(model, "a", "a", "a")
        results = []
        send(model, transfer("a"), results, keep=True)
        send(model, transfer("b"), results, retry=True)
        model.pass_time(100)
        assert names(model) == ["a", "b"]
        assert results == ["OCPPError", "Accepted"]


def test_a_message_that_is_repeated_does_not_hold_up_what_is_about_other_things():
    with booted() as model:
        refusing(model, "a")
        send(model, transfer("a"), retry=True)
        send(model, transfer("b"), keep=True)
        assert names(model) == ["a", "b"]
        model.pass_time(10)
        assert names(model) == ["a", "b", "a"]


def test_when_there_is_no_room_every_second_message_that_may_be_dropped_is(monkeypatch):
    monkeypatch.setattr("ocppj.testing.simulation.outbox.MOST_KEPT", 6)
    with booted() as model:
        model.run(model.core.power.go_offline, None)
        results = []
        send(model, transfer("start"), results, retry=True)
        for number in range(1, 6):
            send(model, transfer(str(number)), results, retry=True, droppable=True)
        assert results == []
        send(model, transfer("end"), results, retry=True)
        assert results == ["QueueFull"] * 3
        assert model.core.summary.failed["QueueFull"] == 3
        model.run(model.core.power.go_online)
        assert names(model) == ["start", "2", "4", "end"]
