"""Every part that can be replaced is replaced by one written from its promises alone; and vendors add messages."""

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import List, Optional

import pytest

from ocppj import (
    Client,
    ClientDispatcher,
    ConnectionLost,
    DefaultClientDispatcher,
    DefaultServerDispatcher,
    DuplicateFeature,
    ErrorCode,
    Feature,
    FIFOClientQueue,
    NotRunning,
    OCPPError,
    Payload,
    PendingRequestState,
    Profile,
    RequestQueue,
    Server,
    ServerDispatcher,
    ServerQueueMap,
    ServerState,
    Stopped,
    TextEnum,
    UsageError,
    ValidationError,
    v16,
    wire,
)
from ocppj.rpc.dialect import V16
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
    HEARTBEAT,
    RESET,
    RESET_DONE,
    cleanup,
    make_client,
    make_server,
    raw_client,
    raw_server,
    transport,
)
from tests.helpers import eventually, seconds
from tests.inside.endpoints import open_calls

# Queues


class ListQueue(RequestQueue):
    """A queue with nothing but what `RequestQueue` asks for."""

    def __init__(self):
        self.bundles = []
        self.log = []

    def init(self):
        self.log.append("init")
        self.bundles.clear()

    def push(self, bundle):
        self.log.append("push")
        self.bundles.append(bundle)

    def peek(self):
        return self.bundles[0] if self.bundles else None

    def pop(self):
        return self.bundles.pop(0) if self.bundles else None

    def __len__(self):
        return len(self.bundles)

    def is_full(self):
        return False

    def is_empty(self):
        return not self.bundles


class DictQueueMap(ServerQueueMap):
    def __init__(self):
        self.queues = {}
        self.made = []

    def init(self):
        self.queues.clear()

    def get(self, client_id):
        return self.queues.get(client_id)

    def get_or_create(self, client_id):
        self.made.append(client_id)
        return self.queues.setdefault(client_id, ListQueue())

    def remove(self, client_id):
        self.queues.pop(client_id, None)

    def add(self, client_id, queue):
        self.queues[client_id] = queue


def test_a_queue_of_ones_own(make_client, raw_server):
    queue = ListQueue()
    client = make_client(raw_server.url, dispatcher=DefaultClientDispatcher(queue))
    futures = [client.send_request(HEARTBEAT) for _ in range(3)]
    assert len(queue) == 3, "the head stays in the queue until it is answered"
    for _ in futures:
        raw_server.send([3, raw_server.receive()[1], BEAT_WIRE])
    assert [future.result(seconds(10)) for future in futures] == [BEAT] * 3
    assert queue.is_empty()
    assert queue.log == ["init", "push", "push", "push"]


def test_a_queue_that_cannot_remove_sends_what_was_given_up(make_client, raw_server):
    client = make_client(raw_server.url, dispatcher=DefaultClientDispatcher(ListQueue()))
    first, second = client.send_request(HEARTBEAT), client.send_request(HEARTBEAT)
    second.cancel()
    raw_server.send([3, raw_server.receive()[1], BEAT_WIRE])
    assert first.result(seconds(10)) == BEAT
    raw_server.send([3, raw_server.receive()[1], BEAT_WIRE])
    third = client.send_request(HEARTBEAT)
    raw_server.send([3, raw_server.receive()[1], BEAT_WIRE])
    assert third.result(seconds(10)) == BEAT


def test_a_queue_map_of_ones_own(make_server, raw_client):
    queue_map = DictQueueMap()
    server = make_server(dispatcher=DefaultServerDispatcher(queue_map))
    raw = raw_client(server.url)
    eventually(server.client_ids)
    future = server.send_request("CP_1", HEARTBEAT)
    assert isinstance(queue_map.queues["CP_1"], ListQueue)
    raw.send([3, raw.receive()[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT
    raw.stop()
    eventually(lambda: queue_map.queues == {})
    assert queue_map.made == ["CP_1"]


def test_a_queue_that_fails_is_heard(make_client, raw_server):
    class Broken(FIFOClientQueue):
        def push(self, bundle):
            raise OSError("the disk is full")

    client = make_client(raw_server.url, dispatcher=DefaultClientDispatcher(Broken()))
    with pytest.raises(OSError, match="disk"):
        client.send_request(HEARTBEAT)
    assert open_calls(client) == 0


class Unclosable(FIFOClientQueue):
    def close(self):
        raise OSError("the disk is gone")


class UnclosableMap(DictQueueMap):
    def close(self):
        raise OSError("the disk is gone")


def test_a_queue_that_cannot_be_closed_does_not_keep_a_client_from_stopping(make_client, raw_server):
    client = make_client(raw_server.url, queue=Unclosable())
    future = client.send_request(HEARTBEAT)
    with pytest.raises(OSError, match="the disk is gone"):
        client.stop()
    assert isinstance(future.exception(0), Stopped)
    raw_server.wait_closed()
    assert not client.is_connected()
    client.stop()  # there is nothing left to close


def test_a_queue_that_cannot_be_closed_does_not_keep_a_session_from_ending(make_client, raw_server, caplog):
    dispatcher = DefaultClientDispatcher(Unclosable())
    client = make_client(dispatcher=dispatcher, reconnect=False)
    ended = threading.Event()

    def start():
        with suppress(ConnectionLost):
            client.start(raw_server.url)
        ended.set()

    threading.Thread(target=start, daemon=True).start()
    raw_server.wait_connected()
    eventually(dispatcher.is_running)
    future = client.send_request(HEARTBEAT)
    raw_server.channel.close()
    assert isinstance(future.exception(seconds(10)), ConnectionLost)
    assert ended.wait(seconds(10))
    assert "the disk is gone" in caplog.text


def test_queues_that_cannot_be_closed_do_not_keep_a_server_from_stopping(make_server, raw_client):
    queues = UnclosableMap()
    server = make_server(queues=queues)
    raw = raw_client(server.url)
    eventually(server.client_ids)
    future = server.send_request("CP_1", RESET)
    with pytest.raises(OSError, match="the disk is gone"):
        server.stop()
    assert isinstance(future.exception(0), Stopped)
    raw.wait_closed()
    queues.close = lambda: None  # for the tidying up


# Dispatchers


class EagerClientDispatcher(ClientDispatcher):
    """Keeps to the abstract methods, and sends everything at once (which no charge point should)."""

    def __init__(self):
        self.running = self.paused = False
        self.log = []

    def start(self):
        self.running = True

    def stop(self):
        self.running = False
        self.state.clear()

    def is_running(self):
        return self.running

    def is_paused(self):
        return self.paused

    def pause(self):
        self.paused = True

    def resume(self):
        self.paused = False

    def set_timeout(self, timeout):
        self.timeout = timeout

    def send_request(self, bundle):
        if not self.running:
            raise NotRunning("no")
        self.state.add(bundle.message_id, bundle.call.payload)
        self.network.send(bundle.data)

    def complete_request(self, message_id):
        self.log.append(message_id)
        self.state.delete(message_id)

    def set_on_request_canceled(self, callback):
        self.canceled = callback

    def set_network_client(self, network):
        self.network = network

    def set_pending_request_state(self, state):
        self.state = state


class EagerServerDispatcher(ServerDispatcher):
    def __init__(self):
        self.running = False
        self.log = []

    def start(self):
        self.running = True

    def stop(self):
        self.running = False

    def is_running(self):
        return self.running

    def set_timeout(self, timeout):
        self.timeout = timeout

    def send_request(self, client_id, bundle):
        if not self.running:
            raise NotRunning("no")
        self.state.get_client_state(client_id).add(bundle.message_id, bundle.call.payload)
        self.network.send(client_id, bundle.data)

    def complete_request(self, client_id, message_id):
        self.log.append(("complete", client_id, message_id))
        self.state.get_client_state(client_id).delete(message_id)

    def delete_client(self, client_id):
        self.log.append(("delete", client_id))
        self.state.clear_client(client_id)

    def set_on_request_canceled(self, callback):
        self.canceled = callback

    def set_network_server(self, network):
        self.network = network

    def set_pending_request_state(self, state):
        self.state = state


def test_a_client_dispatcher_of_ones_own(make_client, raw_server):
    dispatcher = EagerClientDispatcher()
    client = make_client(raw_server.url, dispatcher=dispatcher, timeout=7)
    assert dispatcher.timeout == 7
    future = client.send_request(HEARTBEAT)
    raw_server.send([3, raw_server.receive()[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT
    assert dispatcher.log == [future.message_id]
    waiting = client.send_request(HEARTBEAT, timeout=0.01)
    assert isinstance(waiting.exception(seconds(10)), TimeoutError), "it cannot cancel, and yet the call ends"
    client.stop()
    assert not dispatcher.running


def test_a_server_dispatcher_of_ones_own(make_server, raw_client):
    dispatcher = EagerServerDispatcher()
    server = make_server(dispatcher=dispatcher)
    raw = raw_client(server.url)
    eventually(server.client_ids)
    future = server.send_request("CP_1", HEARTBEAT)
    raw.send([3, raw.receive()[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT
    lost = server.send_request("CP_1", RESET)
    raw.stop()
    assert isinstance(lost.exception(seconds(10)), ConnectionLost)
    assert dispatcher.log == [("complete", "CP_1", future.message_id), ("delete", "CP_1")]


# State


def test_a_state_of_ones_own(make_client, make_server, raw_client, raw_server):
    class Loud(PendingRequestState):
        def __init__(self):
            super().__init__()
            self.added = []

        def add(self, message_id, request):
            self.added.append(request)
            super().add(message_id, request)

    state = Loud()
    client = make_client(raw_server.url, state=state)
    client.send_request(HEARTBEAT)
    assert state.added == [HEARTBEAT]
    assert state.has()

    class LoudServer(ServerState):
        def get_client_state(self, client_id):
            self.asked = client_id
            return super().get_client_state(client_id)

    server_state = LoudServer()
    server = make_server(state=server_state)
    raw_client(server.url, "CP_7")
    eventually(server.client_ids)
    server.send_request("CP_7", HEARTBEAT)
    assert server_state.asked == "CP_7"
    assert server_state.has("CP_7")


# Transports


class LoopChannel:
    """Half of a pair of channels without a network: what one sends, the other's thread receives."""

    id = "CP_1"
    subprotocol = "ocpp1.6"
    remote_address = "here"

    def __init__(self, owner):
        self.owner = owner
        self.peer = None

    def send(self, text, wait=True):
        self.peer.submit_message(text)

    def submit_message(self, text):
        self.owner.reading.put(lambda: self.owner.message(self, text))

    def submit(self, job):
        self.owner.jobs.put(job)

    def close(self, code=1000, reason=""):
        pass


class LoopSide:
    reconnect = False

    def __init__(self):
        import queue

        self.reading, self.jobs = queue.Queue(), queue.Queue()
        self.threads = []
        self.url = "ws://loop"

    def set_connected_handler(self, handler):
        self.connected = handler

    def set_message_handler(self, handler):
        self.message = handler

    def set_disconnected_handler(self, handler):
        self.disconnected = handler

    def run(self):
        def work(source):
            while True:
                job = source.get()
                if job is None:
                    return
                job()

        self.threads = [threading.Thread(target=work, args=(q,), daemon=True) for q in (self.reading, self.jobs)]
        for thread in self.threads:
            thread.start()

    def waiting(self):
        from contextlib import nullcontext

        return nullcontext()

    def stop(self, code=1000, reason=""):
        self.reading.put(None)
        self.jobs.put(None)
        for thread in self.threads:
            thread.join(seconds(10))
        self.threads = []


class LoopServer(LoopSide):
    def listen(self, port, path, host, subprotocols):
        self.run()

    def get_channel(self, client_id):
        return self.channel


class LoopClient(LoopSide):
    def __init__(self, server):
        super().__init__()
        self.server = server

    def connect(self, url, client_id, subprotocols):
        self.run()
        here, there = LoopChannel(self), LoopChannel(self.server)
        here.peer, there.peer = there, here
        self.server.channel = there
        self.server.connected(there)
        self.connected(here)


def test_a_transport_of_ones_own():
    ws_server = LoopServer()
    server = Server(profiles=v16.PROFILES, ws_server=ws_server)
    client = Client("CP_1", profiles=v16.PROFILES, ws_client=LoopClient(ws_server))
    client.on(v16.ResetRequest)(lambda request: RESET_DONE)

    @server.on(v16.HeartbeatRequest)
    def beat(client_id, request):
        assert server.call(client_id, RESET) == RESET_DONE
        return BEAT

    with server.listen(), client.connect(server.url):
        assert client.call(HEARTBEAT, timeout=seconds(10)) == BEAT
        assert server.client_ids() == ["CP_1"]


# Vendor features


class Colour(TextEnum):
    RED = "Red"
    GREEN = "Green"


@dataclass
class Lamp(Payload):
    colour: Colour = field(metadata=wire("lampColour"))
    level: Optional[int] = field(default=None, metadata=wire("LEVEL"))


@dataclass
class SetLampsRequest(Payload):
    lamps: List[Lamp] = field(metadata=wire("lamps"))


@dataclass
class SetLampsResponse(Payload):
    done: bool = field(metadata=wire("done"))


def vendor_profile(dialect=V16):
    lamp = {
        "type": "object",
        "properties": {"lampColour": {"enum": ["Red", "Green"]}, "LEVEL": {"type": "integer", "maximum": 9}},
        "required": ["lampColour"],
        "additionalProperties": False,
    }
    request = {
        "$schema": "http://json-schema.org/draft-06/schema#",
        "type": "object",
        "properties": {"lamps": {"type": "array", "items": lamp, "minItems": 1}},
        "required": ["lamps"],
        "additionalProperties": False,
    }
    return Profile(
        "Lamps",
        dialect,
        Feature("SetLamps", SetLampsRequest, SetLampsResponse, request, {"properties": {"done": {"type": "boolean"}}}),
    )


def test_a_vendor_feature_is_called_and_checked(make_server, make_client):
    profiles = [*v16.PROFILES, vendor_profile()]
    server = make_server(profiles=profiles)
    client = make_client(profiles=profiles)
    seen = []

    @client.on(SetLampsRequest)
    def set_lamps(request):
        seen.append(request)
        return SetLampsResponse(done=True)

    client.connect(server.url)
    eventually(server.client_ids)
    request = SetLampsRequest(lamps=[Lamp(Colour.RED, 3), Lamp("Green")])
    assert server.call("CP_1", request) == SetLampsResponse(done=True)
    assert seen == [request]
    assert seen[0].lamps[1].colour is Colour.GREEN
    with pytest.raises(ValidationError, match="LEVEL") as caught:
        server.call("CP_1", SetLampsRequest(lamps=[Lamp(Colour.RED, 10)]))
    assert caught.value.code is ErrorCode.PROPERTY_CONSTRAINT_VIOLATION
    with pytest.raises(OCPPError) as error:
        client.call(request)
    assert error.value.code is ErrorCode.NOT_SUPPORTED


def test_a_vendor_action_is_not_implemented_where_it_is_not_known(make_server, make_client):
    server = make_server()
    client = make_client(server.url, profiles=[*v16.PROFILES, vendor_profile()])
    with pytest.raises(OCPPError) as caught:
        client.call(SetLampsRequest(lamps=[Lamp(Colour.RED)]))
    assert caught.value.code is ErrorCode.NOT_IMPLEMENTED


def test_a_vendor_feature_may_not_hide_another():
    with pytest.raises(DuplicateFeature, match="Heartbeat"):
        Server(
            profiles=[*v16.PROFILES, Profile("Mine", V16, Feature("Heartbeat", SetLampsRequest, SetLampsResponse))],
        )


def test_a_schema_that_is_none_is_refused_at_once():
    broken = Feature("SetLamps", SetLampsRequest, SetLampsResponse, {"type": "no such type"})
    with pytest.raises(UsageError, match="SetLamps"):
        Server(profiles=[Profile("Lamps", V16, broken)])


def test_a_schema_that_cannot_be_used_is_an_internal_error_and_the_connection_goes_on(make_server, raw_client):
    broken = Feature("SetLamps", SetLampsRequest, SetLampsResponse, {"$ref": "#/definitions/Missing"})
    server = make_server(profiles=[*v16.PROFILES, Profile("Lamps", V16, broken)])
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    raw = raw_client(server.url)
    assert raw.ask([2, "1", "SetLamps", {}])[:3] == [4, "1", "InternalError"]
    assert raw.ask([2, "2", "Heartbeat", {}]) == [3, "2", BEAT_WIRE]
