"""What is set aside in the file of a durable queue: what cannot be read, and what was given up for good."""

import contextlib
import logging
import sqlite3
from datetime import datetime, timedelta, timezone

import pytest

from ocppj import Client, NotRunning, QueueDamaged, QueueFailed, RequestBundle, Server, SetAside, UsageError, v16
from ocppj.storage.sqlite_queues import SQLiteQueue, SQLiteQueueMap
from tests.fixtures import BEAT_WIRE, HEARTBEAT, RESET, RESET_DONE
from tests.helpers import eventually, seconds
from tests.inside.storage import held
from tests.peers import RawClient, RawServer, Sockets
from tests.storing import (  # noqa: F401
    bundle,
    decode,
    disk,
    disk_full,
    file,
    ids,
    opened,
    path,
    queue,
    queues,
    run,
    stored,
)

UPDATE = v16.UpdateFirmwareRequest(location="ftp://x", retrieve_date=datetime(2026, 1, 2, tzinfo=timezone.utc))
FIRMWARE_STATUS = v16.FirmwareStatusNotificationRequest(status="Idle")


def refuse(version, text):
    if '"bad' in text:
        raise UsageError("no profile has it")
    return decode(version, text)


def no_call():
    return RequestBundle(bundle("none").call, "no json", "")


def aside(queue):
    return [each.message_id for each in queue.list_set_aside()]


def errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# By the program


def test_what_is_set_aside_is_out_of_the_queue_and_in_the_list(queue, caplog):
    for n in range(4):
        queue.push(bundle(n, "2.0.1"))
    head = queue.peek()
    assert queue.set_aside("0", "it was lost 20 times") is head
    assert queue.set_aside("2", "no reason").message_id == "2"
    assert queue.set_aside("2", "again") is None
    assert ids(queue) == ["1", "3"]
    assert errors(caplog) == []  # whoever sets it aside says why, when no lock is held
    queue.close()
    queue.init()
    assert ids(queue) == ["1", "3"]
    first, second = queue.list_set_aside()
    now = datetime.now(timezone.utc)
    assert first == SetAside(None, "0", "DataTransfer", "2.0.1", head.data, "it was lost 20 times", first.time)
    assert timedelta(0) <= now - first.time < timedelta(minutes=5)
    assert (second.message_id, second.reason) == ("2", "no reason")


def test_what_is_put_back_has_its_old_place_after_the_next_start(queue):
    for n in range(5):
        queue.push(bundle(n))
    for n in "310":
        queue.set_aside(n, "why not")
    queue.put_back("1")
    queue.put_back("3")
    assert ids(queue) == ["2", "4"], "not before the next start"
    assert aside(queue) == ["0"]
    queue.push(bundle(5))
    queue.init()
    assert ids(queue) == ["1", "2", "3", "4", "5"]
    assert [each.data for each in queue.bundles()] == [bundle(n).data for n in range(1, 6)]
    queue.pop()
    queue.init()
    assert ids(queue) == ["2", "3", "4", "5"], "and leaves as all others do"


@pytest.mark.parametrize(("one", "other"), [(SQLiteQueue, SQLiteQueueMap), (SQLiteQueueMap, SQLiteQueue)])
def test_the_file_of_the_one_is_refused_by_the_other_though_all_was_set_aside(path, one, other):
    first = opened(one, path)
    queue = first if one is SQLiteQueue else first.get_or_create("A")
    queue.push(bundle(1))
    queue.set_aside("1", "x")
    first.close()
    with pytest.raises(UsageError, match=f"requests of a {one.__name__}$"):
        opened(other, path)


def test_what_is_forgotten_is_gone(queue):
    for n in range(3):
        queue.push(bundle(n))
        queue.set_aside(str(n), "because")
    queue.forget("1")
    queue.close()
    queue.init()
    assert (ids(queue), aside(queue)) == ([], ["0", "2"])


def test_of_two_with_the_same_id_the_older_comes_first(queue):
    for filling in ("older", "newer"):
        queue.push(bundle("1", filling=filling))
    for filling in ("older", "newer"):
        assert queue.set_aside("1", filling).call.payload == {"vendorId": filling}
    queue.put_back("1")
    assert [each.reason for each in queue.list_set_aside()] == ["newer"]
    queue.put_back("1")
    queue.init()
    assert [each.call.payload["vendorId"] for each in queue.bundles()] == ["older", "newer"]


def test_each_client_has_its_own_set_aside(queues):
    for client in "AB":
        queues.get_or_create(client).push(bundle(1))
        queues.get_or_create(client).set_aside("1", f"of {client}")
    assert [(each.client_id, each.message_id, each.reason) for each in queues.list_set_aside()] == [
        ("A", "1", "of A"),
        ("B", "1", "of B"),
    ]
    queues.put_back("A", "1")
    assert queues.get_or_create("A").is_empty(), "not before it connects the next time"
    queues.remove("A")
    assert ids(queues.get_or_create("A")) == ["1"]
    queues.forget("B", "1")
    queues.init()
    assert (queues.list_set_aside(), ids(queues.get_or_create("B"))) == ([], [])


@pytest.mark.parametrize("name", ["2", "", "\ud800", "' OR 1 --"])
def test_an_unknown_id_is_a_clear_error(tmp_path, name):
    queue, queues = opened(SQLiteQueue, tmp_path / "one.db"), opened(SQLiteQueueMap, tmp_path / "many.db")
    queue.push(bundle(1))
    queue.set_aside("1", "x")
    queues.get_or_create("A").push(bundle(2))
    queues.get_or_create("A").set_aside("2", "x")
    for act in (queue.put_back, queue.forget):
        with pytest.raises(UsageError, match=r"no request .* was set aside in .*one\.db"):
            act(name)
    for act in (queues.put_back, queues.forget):
        for client in ("B", "", name):
            with pytest.raises(UsageError, match=r"no request .* of client .* was set aside in .*many\.db"):
                act(client, name)
    assert (aside(queue), aside(queues)) == (["1"], ["2"])
    queue.close()
    queues.close()


@pytest.mark.parametrize("kind", [SQLiteQueue, SQLiteQueueMap])
def test_what_is_not_open_has_nothing_to_show(kind, path):
    queue = kind(path)
    arguments = ["1"] if kind is SQLiteQueue else ["A", "1"]
    for turn in range(2):
        for act in (queue.list_set_aside, lambda: queue.put_back(*arguments), lambda: queue.forget(*arguments)):
            with pytest.raises(NotRunning, match=r"queue\.db is not open"):
                act()
        if not turn:
            queue.init()
            queue.close()


def test_it_does_not_wait_for_the_file(file, stored):
    for n in range(3):
        stored.push(bundle(n))
    with held(file):  # as a push does, as long as the disk takes
        run(lambda: stored.set_aside("1", "why"))
        assert ids(stored) == ["0", "2"]
    assert [(each.message_id, each.reason) for each in file.list_set_aside()] == [("1", "why")], (
        "moved when it was released"
    )
    assert file.count() == 2


@pytest.mark.parametrize("reason", ["", "a\nb\0c\x1b[31m", "\ud800 lone", "ä😀" * 1000])
def test_any_reason_will_do(queue, reason):
    queue.push(bundle(1))
    queue.set_aside("1", reason)
    assert queue.list_set_aside()[0].reason == reason.replace("\ud800", "\\ud800")
    queue.close()
    queue.init()


def test_a_full_disk_delays_it_and_loses_nothing(queue, caplog):
    for n in range(3):
        queue.push(bundle(n))
    with disk_full():
        queue.set_aside("1", "why")
        eventually(lambda: "could not delete or set aside" in caplog.text)
        queue.init()
        assert ids(queue) == ["0", "2"]
        for act in (queue.list_set_aside, lambda: queue.put_back("1"), lambda: queue.forget("1")):
            with pytest.raises(QueueFailed, match=r"queue\.db cannot be written"):
                act()
    assert aside(queue) == ["1"]
    with disk_full(), pytest.raises(QueueFailed, match=r"queue\.db"):
        queue.put_back("1")
    queue.init()
    assert (ids(queue), aside(queue)) == (["0", "2"], ["1"])


def test_set_aside_while_others_push_pop_and_put_back(queue):
    """In any order: each request is in one place, and in order."""
    popped, moved = [], []

    def push(name):
        for n in range(30):
            queue.push(bundle(f"{name}-{n:02}"))

    def pop():
        while len(popped) < 30:
            taken = queue.pop()
            if taken is not None:
                popped.append(taken.message_id)

    def put_aside():
        while len(moved) < 30:
            taken = [queue.set_aside(each.message_id, "x") for each in queue.bundles()[-3:]]
            moved.extend(each.message_id for each in taken if each is not None)

    def put_back():
        for _ in range(10):
            for each in queue.list_set_aside()[:1]:
                queue.put_back(each.message_id)

    run(lambda: push("a"), lambda: push("b"), lambda: push("c"), pop, put_aside, put_back)
    left = ids(queue)
    queue.init()
    again, apart = ids(queue), aside(queue)
    assert sorted([*popped, *left, *moved]) == sorted(f"{name}-{n:02}" for name in "abc" for n in range(30))
    assert sorted([*again, *apart]) == sorted([*left, *moved])
    assert set(left) <= set(again)
    for name in "abc":
        own = [each for each in again if each[0] == name]
        assert own == sorted(own)


# What cannot be read


def test_a_request_that_cannot_be_read_is_set_aside_and_the_rest_goes_on(queue, path, caplog):
    for n in ("1", "bad", "3"):
        queue.push(bundle(n))
    queue.push(no_call())
    queue.close()
    queue.set_decoder(refuse)
    for _ in range(2):
        queue.init()
        assert ids(queue) == ["1", "3"]
        queue.close()
    assert errors(caplog) == [
        f"{path}: request 'bad' (DataTransfer, OCPP 1.6) was set aside, and is not sent: "
        "it cannot be read: no profile has it",
        f"{path}: request 'none' (no CALL, OCPP of no version) was set aside, and is not sent: "
        "it cannot be read: Expecting value: line 1 column 1 (char 0)",
    ]
    queue.init()
    assert [(each.message_id, each.action) for each in queue.list_set_aside()] == [
        ("bad", "DataTransfer"),
        ("none", "no CALL"),
    ]
    queue.put_back("bad")
    queue.set_decoder(decode)
    queue.init()
    assert ids(queue) == ["1", "bad", "3"]


def test_in_a_map_it_keeps_no_client_away(queues, caplog):
    for n in ("1", "bad", "3"):
        queues.get_or_create("A").push(bundle(n))
    queues.get_or_create("B").push(bundle("bad"))
    queues.set_decoder(refuse)
    queues.init()
    assert ids(queues.get_or_create("A")) == ["1", "3"]
    assert ids(queues.get_or_create("B")) == []
    assert ["for A" in errors(caplog)[0], "for B" in errors(caplog)[1], len(errors(caplog))] == [True, True, 2]
    queues.put_back("A", "bad")
    queues.remove("A")
    assert ids(queues.get_or_create("A")) == ["1", "3"], "the profile is not there yet: it is set aside again"
    queues.put_back("A", "bad")
    queues.remove("A")
    queues.set_decoder(decode)
    assert ids(queues.get_or_create("A")) == ["1", "bad", "3"]


def test_a_handler_of_the_log_may_use_the_map(queues, caplog):
    """The lines are written when no lock is held any more."""
    caplog.set_level(logging.INFO, "ocppj")
    queues.get_or_create("A").push(bundle("bad"))
    queues.get_or_create("A").push(bundle("good"))
    queues.set_decoder(refuse)
    queues.init()
    seen = []

    class Handler(logging.Handler):
        def emit(self, record):
            run(lambda: seen.append((record.levelname, queues.get_or_create("B"), queues.withdraw("C", "1"))))

    handler = Handler()
    logging.getLogger("ocppj").addHandler(handler)
    try:
        assert ids(queues.get_or_create("A")) == ["good"]
    finally:
        logging.getLogger("ocppj").removeHandler(handler)
    assert seen == [("INFO", queues.get("B"), None), ("ERROR", queues.get("B"), None)]


def test_a_request_that_is_given_up_and_cannot_be_read_stays(queues, caplog):
    queues.get_or_create("A").push(bundle("bad"))
    queues.init()
    queues.set_decoder(refuse)
    assert queues.withdraw("A", "bad") is None
    assert "'bad' cannot be withdrawn: no profile has it" in caplog.text
    queues.set_decoder(decode)
    assert ids(queues.get_or_create("A")) == ["bad"]


# The file


def test_a_file_of_before_is_given_the_table(queue, path):
    queue.push(bundle(1))
    queue.push(bundle(2))
    queue.close()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE set_aside")
    queue.init()
    assert queue.list_set_aside() == []
    queue.set_aside("1", "x")
    queue.close()
    queue.init()
    assert (ids(queue), aside(queue)) == (["2"], ["1"])


@pytest.mark.parametrize("wrong", ["data", "reason", "time", "version"])
def test_a_wrong_byte_in_what_was_set_aside_is_damage(queue, path, wrong):
    for n in range(3):
        queue.push(bundle(n))
        queue.set_aside(str(n), "the reason")
    apart = queue.list_set_aside()[1]
    queue.close()
    data = path.read_bytes()
    row = data.index(f"{apart.version}{apart.data}{apart.reason}{apart.time.isoformat()}".encode())
    lengths = {each: len(getattr(apart, each)) for each in ("version", "data", "reason")}
    fields = ["version", "data", "reason", "time"]
    where = row + sum(lengths[each] for each in fields[: fields.index(wrong)])
    with open(path, "r+b") as file:
        file.seek(where)
        file.write(b"X")
    with pytest.raises(QueueDamaged, match=r"the checksum of row 2 of set_aside is wrong"):
        queue.init()
    path.write_bytes(data)
    queue.init()
    assert aside(queue) == ["0", "1", "2"]


# In an endpoint


def without(*names):
    return [each for each in v16.PROFILES if each.name not in names]


def test_a_client_starts_though_it_has_lost_a_profile(path):
    with RawServer(Sockets()) as raw:
        with Client("CP_1", profiles=v16.PROFILES, queue=SQLiteQueue(path), boot_first=False).connect(
            raw.url
        ) as client:
            sent = [client.send_request(each).message_id for each in (HEARTBEAT, FIRMWARE_STATUS, HEARTBEAT)]
            assert raw.receive()[1] == sent[0]
        queue = SQLiteQueue(path)
        with Client("CP_1", profiles=without("FirmwareManagement"), queue=queue, boot_first=False).connect(raw.url):
            for message_id in (sent[0], sent[2]):
                assert raw.receive()[:3] == [2, message_id, "Heartbeat"]
                raw.send([3, message_id, BEAT_WIRE])
            eventually(queue.is_empty)
            (apart,) = queue.list_set_aside()
            assert (apart.message_id, apart.action) == (sent[1], "FirmwareStatusNotification")
            queue.put_back(sent[1])
        with Client("CP_1", profiles=v16.PROFILES, queue=queue, boot_first=False).connect(raw.url):
            assert raw.receive()[:3] == [2, sent[1], "FirmwareStatusNotification"]
            raw.send([3, sent[1], {}])
            eventually(queue.is_empty)
            assert queue.list_set_aside() == []


def test_a_server_lets_a_client_in_whose_request_it_cannot_read(path):
    server = Server(profiles=v16.PROFILES, queues=SQLiteQueueMap(path))
    with server.listen(host="127.0.0.1"), RawClient(Sockets(), server.url, "CP_1") as raw:
        eventually(lambda: server.client_ids() == ["CP_1"])
        sent = [server.send_request("CP_1", each).message_id for each in (UPDATE, RESET)]
        assert raw.receive()[1] == sent[0]
    queues = SQLiteQueueMap(path)
    with Server(profiles=without("FirmwareManagement"), queues=queues).listen(host="127.0.0.1") as server:
        with RawClient(Sockets(), server.url, "CP_1") as raw:
            assert raw.receive()[:3] == [2, sent[1], "Reset"]
            raw.send([3, sent[1], {"status": "Accepted"}])
            future = server.send_request("CP_1", RESET)
            assert raw.receive()[1] == future.message_id
            raw.send([3, future.message_id, {"status": "Accepted"}])
            assert future.result(seconds(10)) == RESET_DONE
        assert [(each.client_id, each.message_id, each.action) for each in queues.list_set_aside()] == [
            ("CP_1", sent[0], "UpdateFirmware")
        ]
        queues.put_back("CP_1", sent[0])
    server = Server(profiles=v16.PROFILES, queues=queues)
    with server.listen(host="127.0.0.1"), RawClient(Sockets(), server.url, "CP_1") as raw:
        assert raw.receive()[:3] == [2, sent[0], "UpdateFirmware"]


@pytest.mark.parametrize("number", range(20))
def test_of_two_threads_one_takes_a_request_out(queue, number):
    """Else one might delete what the other has set aside, and says so."""
    queue.push(bundle(number))
    taken = []
    run(
        lambda: taken.append(("set aside", queue.set_aside(str(number), "x"))),
        lambda: taken.append(("popped", queue.pop())),
    )
    (how,) = [what for what, found in taken if found is not None]
    assert (str(number) in aside(queue)) == (how == "set aside")
