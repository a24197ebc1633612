"""Overflow policies: what a full queue drops, what it keeps, and what the program is told."""

import contextlib
import json
import logging
import threading

import pytest

from ocppj import (
    Call,
    Client,
    DropOldest,
    FIFOClientQueue,
    FIFOQueueMap,
    OverflowPolicy,
    QueueFailed,
    QueueFull,
    RequestDropped,
    Server,
    SQLiteQueue,
    SQLiteQueueMap,
    ThinOut,
    UsageError,
    v16,
    v21,
    v201,
)
from tests.fixtures import BOOT, BOOTED_WIRE, NOW, SUBPROTOCOLS, boot_of, cleanup  # noqa: F401
from tests.helpers import Recorder, eventually, seconds
from tests.inside.storage import file_of
from tests.peers import RawClient, RawServer, Sockets
from tests.storing import disk  # noqa: F401

V2 = [v201, v21]
ids = [module.__name__[-4:] for module in V2]


class Charger:
    """A client with a full queue, connected to a server that speaks text. Its boot is pending, and not answered."""

    def __init__(self, cleanup, module, queue):
        self.module = module
        self.raw = RawServer(Sockets(), (SUBPROTOCOLS[module],))
        cleanup.append(self.raw.stop)
        self.queue = queue
        self.client = Client("CP_1", profiles=module.PROFILES, queue=queue, timeout=seconds(60), reconnect=False)
        cleanup.append(self.client.stop)
        self.canceled = self.client.set_canceled_request_handler(Recorder())
        self.client.connect(self.raw.url)
        self.boot = self.client.send_request(boot_of(module))
        self.raw.receive()

    def send(self, *requests):
        return [self.client.send_request(each) for each in requests]

    def sent(self):
        """Answer the boot and all that follows. Return the ids that were sent."""
        waiting, seen = len(self.queue) - 1, []
        self.raw.send([3, self.boot.message_id, BOOTED_WIRE])
        for _ in range(waiting):
            seen.append(self.raw.receive()[1])
            self.raw.send([4, seen[-1], "GenericError", "", {}])
        eventually(self.queue.is_empty)
        return seen


def heartbeat(module):
    return module.HeartbeatRequest()


def event(module, kind="Updated", transaction="T", number=0):
    info = module.Transaction(transaction_id=transaction)
    return module.TransactionEventRequest(
        event_type=kind, timestamp=NOW, trigger_reason="MeterValuePeriodic", seq_no=number, transaction_info=info
    )


def meter_values(transaction=1):
    values = [v16.MeterValue(timestamp=NOW, sampled_value=[v16.SampledValue(value="1")])]
    return v16.MeterValuesRequest(connector_id=1, transaction_id=transaction, meter_value=values)


def start_transaction():
    return v16.StartTransactionRequest(connector_id=1, id_tag="A", meter_start=0, timestamp=NOW)


@pytest.fixture(params=["memory", "file"])
def make_queue(request, tmp_path):
    def make(capacity, overflow):
        if request.param == "memory":
            return FIFOClientQueue(capacity, overflow=overflow)
        return SQLiteQueue(tmp_path / "queue.db", capacity, overflow=overflow)

    return make


def names(futures, *indices):
    return [futures[index].message_id for index in indices]


def dropped(futures):
    """Return the indices of the requests that were dropped."""
    return [n for n, each in enumerate(futures) if each.done() and isinstance(each.exception(0), RequestDropped)]


# Drop the oldest


@pytest.mark.parametrize("module", [v16, v201, v21], ids=["v16", "v201", "v21"])
def test_the_oldest_of_the_given_types_makes_room(cleanup, make_queue, module, caplog):
    charger = Charger(cleanup, module, make_queue(4, DropOldest(module.HeartbeatRequest)))
    transfer = module.DataTransferRequest(vendor_id="V")
    futures = charger.send(transfer, heartbeat(module), heartbeat(module))
    with caplog.at_level(logging.WARNING):
        futures += charger.send(transfer)
    assert dropped(futures) == [1]
    assert [each.message for each in caplog.records] == [
        f"request {futures[1].message_id!r} (Heartbeat) was dropped from a full queue: "
        f"{futures[3].message_id!r} (DataTransfer) needs its room"
    ]
    message_id, request, error = charger.canceled.wait()[0]
    assert (message_id, request) == (futures[1].message_id, heartbeat(module))
    assert error is futures[1].exception()
    assert error.message_id == message_id
    futures += charger.send(transfer)
    assert dropped(futures) == [1, 2]
    with pytest.raises(QueueFull):
        charger.send(transfer)
    assert charger.sent() == names(futures, 0, 3, 4)


@pytest.mark.parametrize("kind", [v16.HeartbeatRequest, v16.DataTransferRequest, v16.BootNotificationRequest])
def test_the_request_that_is_being_sent_is_never_dropped(cleanup, make_queue, kind):
    charger = Charger(cleanup, v16, make_queue(1, DropOldest(kind)))
    with pytest.raises(QueueFull):
        charger.send(heartbeat(v16))
    assert not charger.boot.done()
    assert charger.sent() == []


def test_several_types_and_their_age(cleanup, make_queue):
    policy = DropOldest(v16.HeartbeatRequest, v16.MeterValuesRequest)
    charger = Charger(cleanup, v16, make_queue(4, policy))
    futures = charger.send(start_transaction(), meter_values(), heartbeat(v16), heartbeat(v16), meter_values())
    assert dropped(futures) == [1, 2]
    assert charger.sent() == names(futures, 0, 3, 4)


# Thin out


@pytest.mark.parametrize("module", V2, ids=ids)
def test_every_second_intermediate_event_goes_first_oldest_first(cleanup, make_queue, module):
    charger = Charger(cleanup, module, make_queue(9, ThinOut()))
    futures = charger.send(event(module, "Started"), *(event(module) for _ in range(6)), event(module, "Ended"))
    assert dropped(futures) == []
    order = []
    for _ in range(6):
        futures += charger.send(event(module, "Started", "U"))
        order += [n for n in dropped(futures) if n not in order]
    assert order == [1, 3, 5, 2, 6, 4], "the 1st, 3rd and 5th, then the same of what is left"
    with pytest.raises(QueueFull):
        charger.send(event(module))
    assert charger.sent() == names(futures, 0, 7, *range(8, 14))


def test_meter_values_of_transactions_are_thinned_out_in_16_and_others_are_not(cleanup, make_queue):
    charger = Charger(cleanup, v16, make_queue(7, ThinOut()))
    outside = meter_values(None)
    futures = charger.send(start_transaction(), meter_values(), outside, meter_values(), meter_values(), outside)
    futures += charger.send(*[start_transaction()] * 3)
    assert dropped(futures) == [1, 3, 4]
    with pytest.raises(QueueFull):
        charger.send(meter_values())


@pytest.mark.parametrize("module", V2, ids=ids)
def test_each_transaction_is_thinned_out_alone(cleanup, make_queue, module):
    charger = Charger(cleanup, module, make_queue(9, ThinOut()))
    futures = charger.send(*(event(module, transaction=name) for name in "ABABABAB"))
    futures += charger.send(*[event(module, "Ended", name) for name in "ABAB"])
    assert dropped(futures) == [0, 1, 4, 5], "not all of A's, though they are every second in the queue"


@pytest.mark.parametrize("kind", ["Started", "Ended"])
@pytest.mark.parametrize("module", V2, ids=ids)
def test_the_first_and_the_last_event_stay_even_if_the_type_is_given(cleanup, make_queue, module, kind):
    charger = Charger(cleanup, module, make_queue(3, ThinOut(module.TransactionEventRequest)))
    futures = charger.send(event(module, kind), event(module))
    futures += charger.send(event(module, kind))
    assert dropped(futures) == [1]
    with pytest.raises(QueueFull):
        charger.send(event(module, kind))


def test_types_of_ones_own_are_thinned_out(cleanup, make_queue):
    charger = Charger(cleanup, v16, make_queue(5, ThinOut(v16.HeartbeatRequest)))
    futures = charger.send(*[heartbeat(v16)] * 4, meter_values(), meter_values())
    assert dropped(futures) == [0, 2]


def test_a_long_time_away_leaves_values_of_all_the_time(cleanup, make_queue):
    charger = Charger(cleanup, v16, make_queue(21, ThinOut()))
    futures = charger.send(*[meter_values()] * 200)
    left = sorted(set(range(200)) - set(dropped(futures)))
    assert len(left) == 20
    gaps = [after - before for before, after in zip([-1, *left], left)]
    assert (max(gaps) <= 16, left[-1]) == (True, 199), gaps
    assert charger.sent() == names(futures, *left)


@pytest.mark.parametrize(("names_of", "room"), [("AB", 8), ("AB", 20), ("ABC", 20), ("AAB", 9), ("ABCDEF", 24)])
@pytest.mark.parametrize("module", [v16, *V2], ids=["16", *ids])
def test_transactions_at_the_same_time_all_keep_values_of_all_the_time(cleanup, make_queue, module, names_of, room):
    """A station with several connectors: what is new of one may not be dropped for what is new of the other."""
    charger = Charger(cleanup, module, make_queue(room + 1, ThinOut()))
    count = 30 * len(names_of)
    series = (names_of * 30)[:count]
    futures = charger.send(
        *(meter_values(ord(name)) if module is v16 else event(module, transaction=name) for name in series)
    )
    left = sorted(set(range(count)) - set(dropped(futures)))
    assert len(left) == room
    for name in names_of:
        of_one = [n for n in left if series[n] == name]
        ends = [-1, *of_one, count]
        gaps = [after - before for before, after in zip(ends, ends[1:])]
        assert max(gaps) <= count * 0.7, (name, left)
        assert len(of_one) >= 2, (name, left)


# A policy of the program's own


class DropNewest(OverflowPolicy):
    def choose(self, waiting, new):
        self.seen = [each.call.action for each in waiting], new.call.action
        return waiting[-1]


class Wrong(OverflowPolicy):
    def __init__(self, chosen):
        self.chosen = chosen

    def choose(self, waiting, new):
        if isinstance(self.chosen, Exception):
            raise self.chosen
        return new if self.chosen == "new" else self.chosen


def test_a_policy_may_be_a_class_of_the_programs_own(cleanup, make_queue):
    policy = DropNewest()
    charger = Charger(cleanup, v16, make_queue(3, policy))
    futures = charger.send(start_transaction(), heartbeat(v16), meter_values())
    assert policy.seen == (["StartTransaction", "Heartbeat"], "MeterValues"), "without the one that is being sent"
    assert dropped(futures) == [1]


@pytest.mark.parametrize("chosen", [ValueError("x"), "new", 5], ids=["raises", "new", "number"])
def test_a_policy_that_fails_drops_nothing_and_is_logged(cleanup, make_queue, chosen, caplog):
    charger = Charger(cleanup, v16, make_queue(2, Wrong(chosen)))
    futures = charger.send(heartbeat(v16))
    with pytest.raises(QueueFull):
        charger.send(heartbeat(v16))
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    assert dropped(futures) == []


@pytest.mark.parametrize(
    "overflow", ["drop", DropOldest, 5, [v16.HeartbeatRequest]], ids=["text", "class", "5", "list"]
)
@pytest.mark.parametrize("kind", [FIFOClientQueue, FIFOQueueMap, SQLiteQueue, SQLiteQueueMap])
def test_what_is_no_policy_is_refused(tmp_path, kind, overflow):
    arguments = [tmp_path / "queue.db"] if kind in (SQLiteQueue, SQLiteQueueMap) else []
    with pytest.raises(UsageError, match="overflow is"):
        kind(*arguments, overflow=overflow)
    for good in (None, "refuse", ThinOut()):
        kind(*arguments, overflow=good)


@pytest.mark.parametrize("make", [lambda: DropOldest(), lambda: DropOldest("Heartbeat"), lambda: ThinOut(v16)])
def test_types_are_checked(make):
    with pytest.raises(UsageError, match="types"):
        make()


# What callbacks do


def test_a_handler_that_queues_the_dropped_request_again_is_refused(cleanup, make_queue, caplog):
    charger = Charger(cleanup, v16, make_queue(2, DropOldest(v16.HeartbeatRequest)))
    again = []

    @charger.client.set_canceled_request_handler
    def canceled(message_id, request, error):
        again.append(message_id)
        charger.client.send_request(request)

    futures = charger.send(heartbeat(v16), heartbeat(v16))
    assert again == names(futures, 0), "or each would have the next one dropped"
    assert dropped(futures) == [0]
    assert any("QueueFull" in (each.exc_text or "") for each in caplog.records)


def test_threads_that_push_to_a_full_queue_lose_no_more_than_must_be(cleanup, make_queue):
    charger = Charger(cleanup, v16, make_queue(5, DropOldest(v16.HeartbeatRequest)))
    futures, barrier = [], threading.Barrier(4)

    def push():
        barrier.wait(seconds(10))
        for _ in range(25):
            futures.extend(charger.send(heartbeat(v16)))

    threads = [threading.Thread(target=push) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(seconds(60))
    eventually(lambda: len(dropped(futures)) == 96)
    assert len(charger.queue) == 5
    assert len(charger.sent()) == 4


# A server


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_the_queues_of_a_server_have_it_for_each_client(cleanup, tmp_path, kind):
    policy = DropOldest(v16.TriggerMessageRequest)
    queues = FIFOQueueMap(2, overflow=policy)
    if kind == "file":
        queues = SQLiteQueueMap(tmp_path / "queues.db", 2, overflow=policy)
    server = Server(profiles=v16.PROFILES, queues=queues, timeout=seconds(60)).listen(host="127.0.0.1")
    cleanup.append(server.stop)
    canceled = server.set_canceled_request_handler(Recorder())
    peers = [RawClient(Sockets(), server.url, identity) for identity in "AB"]
    cleanup.extend(peer.stop for peer in peers)
    eventually(lambda: sorted(server.client_ids()) == ["A", "B"])
    trigger = v16.TriggerMessageRequest(requested_message="Heartbeat")
    futures = {name: [server.send_request(name, trigger) for _ in range(count)] for name, count in [("A", 3), ("B", 2)]}
    assert dropped(futures["A"]) == [1]
    assert dropped(futures["B"]) == []
    assert [each[:2] for each in canceled.calls] == [("A", futures["A"][1].message_id)]


# The file


def test_the_one_leaves_the_file_and_the_other_enters_it_in_one_transaction(cleanup, tmp_path, disk):
    queue = SQLiteQueue(tmp_path / "queue.db", 3, overflow=ThinOut())
    charger = Charger(cleanup, v16, queue)
    futures = charger.send(meter_values(), meter_values())
    del disk.told[:]
    futures += charger.send(meter_values())
    assert dropped(futures) == [0]
    words = [each.split()[0] for each in disk.told]
    assert words == ["BEGIN", "DELETE", "INSERT", "COMMIT"]
    left = [charger.boot.message_id, *names(futures, 1, 2)]
    charger.client.stop()
    again = SQLiteQueue(tmp_path / "queue.db")
    again.set_decoder(lambda version, text: bundle_call(text))
    again.init()
    cleanup.append(again.close)
    assert [each.message_id for each in again.bundles()] == left


def bundle_call(text):
    _, message_id, action, payload = json.loads(text)
    return Call(message_id, action, payload)


def test_a_disk_that_fails_drops_nothing(cleanup, tmp_path, disk):
    queue = SQLiteQueue(tmp_path / "queue.db", 4, overflow=DropOldest(v16.HeartbeatRequest))
    charger = Charger(cleanup, v16, queue)
    futures = charger.send(heartbeat(v16), start_transaction(), heartbeat(v16))

    def fail():
        raise OSError("the disk is on fire")

    disk.once("INSERT INTO requests", fail)
    with pytest.raises(QueueFailed, match="on fire"):
        charger.send(heartbeat(v16))
    assert dropped(futures) == []
    assert [each.message_id for each in queue.bundles()] == [charger.boot.message_id, *names(futures, 0, 1, 2)]
    assert charger.canceled.calls == []
    assert charger.sent() == names(futures, 0, 1, 2)


def test_one_that_is_canceled_while_its_room_is_taken_ends_once(cleanup, tmp_path, disk):
    queue = SQLiteQueue(tmp_path / "queue.db", 3, overflow=DropOldest(v16.HeartbeatRequest))
    charger = Charger(cleanup, v16, queue)
    futures = charger.send(heartbeat(v16), start_transaction())
    disk.once("INSERT INTO requests", futures[0].cancel)
    futures += charger.send(start_transaction())
    assert futures[0].cancelled()
    assert [type(each[2]).__name__ for each in charger.canceled.calls] == ["CallCanceled"]
    assert charger.sent() == names(futures, 1, 2)


def test_what_is_dropped_is_gone_from_the_file_after_a_stop_in_between(cleanup, tmp_path, disk):
    queue = SQLiteQueue(tmp_path / "queue.db", 2, overflow=DropOldest(v16.HeartbeatRequest))
    charger = Charger(cleanup, v16, queue)
    charger.send(heartbeat(v16))
    disk.once("BEGIN", queue.discard)  # as a stop() does
    with contextlib.suppress(Exception):
        charger.send(start_transaction())
    charger.client.stop()
    actions = [row.data.split('"')[3] for row in rows(queue)]
    assert actions in (["BootNotification", "StartTransaction"], ["BootNotification", "Heartbeat"])
    told = [type(each[2]).__name__ for each in charger.canceled.calls]
    assert told == (["RequestDropped"] if "StartTransaction" in actions else [])


def test_a_drop_is_told_of_though_the_client_leaves_while_it_is_written(cleanup, tmp_path, disk, caplog):
    queues = SQLiteQueueMap(tmp_path / "queues.db", 2, overflow=DropOldest(v16.TriggerMessageRequest))
    server = Server(profiles=v16.PROFILES, queues=queues, timeout=seconds(60)).listen(host="127.0.0.1")
    cleanup.append(server.stop)
    canceled = server.set_canceled_request_handler(Recorder())
    peer = RawClient(Sockets(), server.url, "A")
    cleanup.append(peer.stop)
    eventually(lambda: server.client_ids() == ["A"])
    trigger = v16.TriggerMessageRequest(requested_message="Heartbeat")
    futures = [server.send_request("A", trigger) for _ in range(2)]
    left = threading.Event()
    server.set_disconnected_client_handler(lambda client_id: left.set())

    def leave():
        peer.stop()
        assert left.wait(seconds(10))

    disk.once("INSERT INTO requests", leave)
    futures.append(server.send_request("A", trigger))
    assert dropped(futures) == [1]
    assert [each[1] for each in canceled.calls] == [futures[1].message_id]
    assert "was dropped from a full queue" in caplog.text
    assert [each.message_id for each in queues.list()] == names(futures, 0, 2)


def rows(queue):
    file = file_of(queue)
    file.open()
    try:
        return file.rows(None)
    finally:
        file.close()


# The boot


@pytest.mark.parametrize(
    "overflow", [None, DropOldest(v16.HeartbeatRequest), ThinOut()], ids=["refuse", "drop", "thin"]
)
def test_a_full_queue_does_not_keep_a_client_from_booting(cleanup, make_queue, overflow):
    raw = RawServer(Sockets())
    cleanup.append(raw.stop)
    queue = make_queue(2, overflow)
    client = Client("CP_1", profiles=v16.PROFILES, queue=queue, boot_first=True, timeout=seconds(60), reconnect=False)
    cleanup.append(client.stop)
    client.connect(raw.url)
    futures = [client.send_request(start_transaction()) for _ in range(2)]
    booted = client.send_request(BOOT)
    assert raw.receive()[1] == booted.message_id
    raw.send([3, booted.message_id, BOOTED_WIRE])
    for each in futures:
        assert raw.receive()[1] == each.message_id
        raw.send([3, each.message_id, {"transactionId": 1, "idTagInfo": {"status": "Accepted"}}])
        assert each.result(seconds(10)).transaction_id == 1
