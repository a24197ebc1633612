"""One request to every client."""

from dataclasses import dataclass, field

import pytest

from ocppj import (
    Feature,
    FIFOQueueMap,
    NotRunning,
    Payload,
    Profile,
    QueueFailed,
    QueueFull,
    SQLiteQueueMap,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    v16,
    v201,
    wire,
)
from ocppj.rpc.dialect import V16, V201
from tests.fixtures import (  # noqa: F401
    RESET,
    RESET_DONE,
    cleanup,
    make_client,
    make_server,
    raw_client,
    transport,
)
from tests.helpers import eventually, seconds
from tests.storing import disk  # noqa: F401


@pytest.fixture
def fleet(make_server, make_client):
    server = make_server(profiles=[*v16.PROFILES, *v201.PROFILES])
    for number in range(20):
        client = make_client(identity=f"CP_{number}")
        client.on(v16.ResetRequest)(lambda request: RESET_DONE)
        client.connect(server.url)
    eventually(lambda: len(server.client_ids()) == 20)
    return server


def test_each_client_answers_for_itself(fleet):
    futures = fleet.broadcast(RESET)
    assert set(futures) == {f"CP_{number}" for number in range(20)}
    assert len({future.message_id for future in futures.values()}) == 20
    assert all(future.result(seconds(10)) == RESET_DONE for future in futures.values())


def test_to_some_and_what_is_wrong_with_one_fails_its_future(fleet):
    futures = fleet.broadcast(RESET, ["CP_3", "nobody", "CP_3"])
    assert list(futures) == ["CP_3", "nobody"]
    assert futures["CP_3"].result(seconds(10)) == RESET_DONE
    with pytest.raises(UnknownClient):
        futures["nobody"].result(seconds(10))


def test_a_client_of_another_version_gets_nothing(fleet, make_client):
    newer = make_client(identity="CP_201", profiles=v201.PROFILES).connect(fleet.url)
    eventually(lambda: "CP_201" in fleet.client_ids())
    futures = fleet.broadcast(RESET)
    with pytest.raises(UnsupportedFeature):
        futures.pop("CP_201").result(seconds(10))
    assert all(future.result(seconds(10)) == RESET_DONE for future in futures.values())
    assert newer.is_connected()


@dataclass
class LampRequest(Payload):
    """A vendor's request that counts how often it is written."""

    colour: str = field(metadata=wire("colour"))
    written = 0

    def to_wire(self):
        self.written += 1
        return super().to_wire()


@dataclass
class LampResponse(Payload):
    pass


LAMP = Feature("Lamp", LampRequest, LampResponse)
LAMPS = [Profile("Lamps", V16, LAMP), Profile("Lamps", V201, LAMP)]


def test_it_is_encoded_once_for_each_version(make_server, make_client):
    server = make_server(profiles=[*v16.PROFILES, *v201.PROFILES, *LAMPS])
    versions = {f"CP_{number}": (v16 if number % 2 else v201) for number in range(8)}
    for client_id, version in versions.items():
        client = make_client(identity=client_id, profiles=[*version.PROFILES, *LAMPS])
        client.on(LampRequest)(lambda request: LampResponse())
        client.connect(server.url)
    eventually(lambda: len(server.client_ids()) == 8)
    assert {server.version_of(client_id) for client_id in versions} == {"1.6", "2.0.1"}
    request = LampRequest("red")
    futures = server.broadcast(request)
    assert request.written == 2
    assert [futures[client_id].result(seconds(10)) for client_id in versions] == [LampResponse()] * 8
    assert len({future.message_id for future in futures.values()}) == 8


def test_what_a_version_does_not_have_fails_the_futures_of_its_clients_alone(fleet, make_client):
    newer = ["CP_201_0", "CP_201_1"]
    for client_id in newer:
        make_client(identity=client_id, profiles=v201.PROFILES).connect(fleet.url)
    eventually(lambda: len(fleet.client_ids()) == 22)
    futures = fleet.broadcast(v16.DataTransferRequest(vendor_id="V"))
    for client_id in newer:
        assert isinstance(futures.pop(client_id).exception(seconds(10)), UnsupportedFeature)
    assert len({future.message_id for future in futures.values() if future.message_id}) == 20


def test_a_request_that_is_wrong_is_raised(fleet):
    with pytest.raises(ValidationError):
        fleet.broadcast(v16.ResetRequest(type="Gentle"))
    with pytest.raises(UsageError, match="not one text"):
        fleet.broadcast(RESET, "CP_1")


def test_a_full_queue_fails_its_own_future_alone(make_server, raw_client):
    server = make_server(queues=FIFOQueueMap(1))
    full, other = raw_client(server.url), raw_client(server.url, "CP_2")
    eventually(lambda: len(server.client_ids()) == 2)
    server.send_request("CP_1", RESET)
    futures = server.broadcast(RESET)
    with pytest.raises(QueueFull):
        futures["CP_1"].result(seconds(10))
    other.send([3, other.receive()[1], {"status": "Accepted"}])
    assert futures["CP_2"].result(seconds(10)) == RESET_DONE
    assert full.receive()[2] == "Reset"


def test_a_server_that_is_not_started_broadcasts_nothing(make_server):
    with pytest.raises(NotRunning):
        make_server(listen=False).broadcast(RESET)


def test_to_nobody(make_server):
    assert make_server().broadcast(RESET) == {}


# Over a file


@pytest.fixture
def stored_fleet(make_server, make_client, tmp_path, disk):
    """A server with a file, 12 clients of two versions, and what its disk is told."""

    def make(**options):
        queues = SQLiteQueueMap(tmp_path / "queues.db", options.pop("capacity", 0))
        server = make_server(profiles=[*v16.PROFILES, *v201.PROFILES, *LAMPS], queues=queues, **options)
        for number in range(12):
            profiles = [*(v201 if number % 2 else v16).PROFILES, *LAMPS]
            client = make_client(identity=f"CP_{number}", profiles=profiles)
            client.on(LampRequest)(lambda request: LampResponse())
            client.connect(server.url)
        eventually(lambda: len(server.client_ids()) == 12)
        del disk.told[:]
        return server, queues

    return make


def syncs(disk):
    """Return how many transactions inserted requests: each is one sync."""
    written = [each.split()[0] for each in disk.told if each.startswith(("BEGIN", "INSERT INTO requests"))]
    return sum(one == "BEGIN" and other == "INSERT" for one, other in zip(written, written[1:]))


def test_it_costs_one_sync_of_the_disk(stored_fleet, disk):
    server, queues = stored_fleet()
    request = LampRequest("red")
    futures = server.broadcast(request)
    assert syncs(disk) == 1
    assert request.written == 2
    assert [each.result(seconds(20)) for each in futures.values()] == [LampResponse()] * 12
    assert queues.list() == []


def test_to_clients_that_are_away_it_costs_one_sync_too(stored_fleet, disk):
    server, queues = stored_fleet(known_clients=["away", "CP_0"])
    futures = server.broadcast(LampRequest("red"), ["away"], offline=True)
    assert isinstance(futures["away"].exception(0), UnsupportedFeature), "it was never here"
    assert (syncs(disk), queues.list()) == (0, [])
    futures = server.broadcast(LampRequest("red"), ["CP_1", "away", "far"], offline=True, version="2.0.1")
    assert syncs(disk) == 1
    assert isinstance(futures["far"].exception(0), UnknownClient)
    assert [each.client_id for each in queues.list()] == ["CP_1", "away"], "CP_1 has not booted"
    assert [each.done() for each in futures.values()] == [False, False, True]


def test_offline_to_all_means_the_known_clients_as_well(stored_fleet):
    server, queues = stored_fleet(known_clients={"away": "password", "CP_0": "password"})
    futures = server.broadcast(LampRequest("red"), offline=True, version="1.6", expires=60)
    assert set(futures) == {"away", *(f"CP_{number}" for number in range(12))}
    assert {each.client_id: each.version for each in queues.list()}["away"] == "1.6"
    assert all(each.expires is not None for each in queues.list())


def test_over_a_file_too_each_fails_on_its_own(stored_fleet, disk):
    server, queues = stored_fleet(capacity=1, known_clients=[])
    server.send_request("CP_3", LampRequest("green"), offline=True)  # which waits for the boot
    request = LampRequest("red")
    futures = server.broadcast(request, [*server.client_ids(), "nobody"], offline=True)
    assert isinstance(futures.pop("CP_3").exception(0), QueueFull)
    assert isinstance(futures.pop("nobody").exception(0), UnknownClient)
    assert len(queues.list()) == len(futures) + 1 == 12
    futures = server.broadcast(request, [*server.client_ids(), "nobody"])
    assert isinstance(futures.pop("nobody").exception(0), UnknownClient)
    assert [each.result(seconds(20)) for each in futures.values()] == [LampResponse()] * 12


def test_a_disk_that_fails_once_writes_each_alone(stored_fleet, disk):
    server, queues = stored_fleet()

    def fail():
        raise OSError("the disk is on fire")

    disk.once("INSERT INTO requests", fail)
    disk.once("COMMIT", lambda: disk.once("INSERT INTO requests", fail))  # after the first that is written alone
    futures = server.broadcast(LampRequest("red"))
    ends = [each.exception(seconds(20)) for each in futures.values()]
    assert [type(each) for each in ends if each is not None] == [QueueFailed]
    assert queues.list() == []


@pytest.mark.parametrize("count", [1, 3, 200])
def test_one_sync_for_any_number_of_clients(make_server, tmp_path, disk, count):
    queues = SQLiteQueueMap(tmp_path / "queues.db")
    server = make_server(queues=queues)
    del disk.told[:]
    futures = server.broadcast(RESET, [f"CP_{number}" for number in range(count)], offline=True)
    assert syncs(disk) == 1
    assert len(queues.list()) == len(futures) == count
