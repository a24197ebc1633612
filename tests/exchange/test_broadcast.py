"""One request to every client."""

from dataclasses import dataclass, field

import pytest

from ocppj import (
    Feature,
    FIFOQueueMap,
    NotRunning,
    Payload,
    Profile,
    QueueFull,
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
