"""Fixtures for tests of endpoints; imported by the test files that use them."""

from datetime import datetime, timezone
from typing import Any, Callable, Iterator, List

import pytest

from ocppj import (
    Client,
    DefaultClientDispatcher,
    DefaultServerDispatcher,
    FIFOClientQueue,
    FIFOQueueMap,
    Server,
    v16,
    v21,
    v201,
)
from tests.helpers import eventually, seconds
from tests.peers import Memory, RawClient, RawServer, Sockets

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
BOOT = v16.BootNotificationRequest(charge_point_vendor="V", charge_point_model="M")
BOOTED = v16.BootNotificationResponse(current_time=NOW, interval=300, status="Accepted")
BOOT_WIRE = {"chargePointVendor": "V", "chargePointModel": "M"}
BOOTED_WIRE = {"currentTime": "2026-01-02T03:04:05.000Z", "interval": 300, "status": "Accepted"}
HEARTBEAT = v16.HeartbeatRequest()
BEAT = v16.HeartbeatResponse(current_time=NOW)
BEAT_WIRE = {"currentTime": "2026-01-02T03:04:05.000Z"}
RESET = v16.ResetRequest(type="Soft")
RESET_DONE = v16.ResetResponse(status="Accepted")
VERSIONS = {"1.6": v16, "2.0.1": v201, "2.1": v21}
SUBPROTOCOLS = {module: f"ocpp{version}" for version, module in VERSIONS.items()}


def boot_of(module: Any) -> Any:
    """Return a BootNotification of ``module``, such as `v201`."""
    if module is v16:
        return BOOT
    return module.BootNotificationRequest(
        charging_station=module.ChargingStation(model="M", vendor_name="V"), reason="PowerUp"
    )


def clear_cache(side: Any, version: str) -> Any:
    """Send a request of ``side``. Return its future and its message id."""
    future = side.send_request(VERSIONS[version].ClearCacheRequest(), timeout=seconds(60))
    return future, side.raw.receive()[1]


@pytest.fixture(params=[Sockets, Memory], ids=lambda transport: transport.name)
def transport(request: Any) -> Any:
    return request.param()


@pytest.fixture
def cleanup() -> Iterator[List[Callable[[], None]]]:
    """What is put in here is called at the end, last first."""
    todo: List[Callable[[], None]] = []
    yield todo
    while todo:
        todo.pop()()


@pytest.fixture
def make_server(transport: Any, cleanup: Any) -> Any:
    def make(listen: bool = True, **options: Any) -> Server:
        ws_options = options.pop("ws", {})
        options.setdefault("profiles", v16.PROFILES)
        options.setdefault("timeout", seconds(10))
        server = Server(ws_server=options.pop("ws_server", None) or transport.server(**ws_options), **options)
        cleanup.append(server.stop)
        return server.listen(host="127.0.0.1") if listen else server

    return make


@pytest.fixture
def make_client(transport: Any, cleanup: Any) -> Any:
    def make(url: Any = None, identity: str = "CP_1", **options: Any) -> Client:
        ws_options = options.pop("ws", {})
        options.setdefault("profiles", v16.PROFILES)
        options.setdefault("timeout", seconds(10))
        options.setdefault("reconnect", False)
        client = Client(identity, ws_client=options.pop("ws_client", None) or transport.client(**ws_options), **options)
        cleanup.append(client.stop)
        return client.connect(url) if url is not None else client

    return make


@pytest.fixture
def raw_client(transport: Any, cleanup: Any) -> Any:
    def make(url: str, identity: str = "CP_1") -> RawClient:
        raw = RawClient(transport, url, identity)
        cleanup.append(raw.stop)
        return raw

    return make


@pytest.fixture
def raw_server(transport: Any, cleanup: Any) -> Any:
    raw = RawServer(transport)
    cleanup.append(raw.stop)
    return raw


class ClientSide:
    """An ocppj client, called with no id, against a peer that speaks text."""

    def __init__(self, make_client, raw_server, **options):
        self.endpoint = make_client(None, **options)
        self.raw = raw_server

    def connect(self):
        self.endpoint.connect(self.raw.url)
        self.raw.wait_connected()
        return self

    def call(self, request, **options):
        return self.endpoint.call(request, **options)

    def send_request(self, request, **options):
        return self.endpoint.send_request(request, **options)

    def send_response(self, *arguments):
        return self.endpoint.send_response(*arguments)

    def send_error(self, *arguments):
        return self.endpoint.send_error(*arguments)

    def args(self, *arguments):
        """What a handler is called with."""
        return arguments


class ServerSide:
    """An ocppj server, called with the client's id, against a peer that speaks text."""

    def __init__(self, make_server, raw_client, **options):
        self.endpoint = make_server(listen=False, **options)
        self._raw_client = raw_client
        self.raw = None

    def connect(self):
        self.endpoint.listen(host="127.0.0.1")
        self.raw = self._raw_client(self.endpoint.url)
        eventually(lambda: self.endpoint.client_ids() == ["CP_1"])
        return self

    def call(self, request, **options):
        return self.endpoint.call("CP_1", request, **options)

    def send_request(self, request, **options):
        return self.endpoint.send_request("CP_1", request, **options)

    def send_response(self, *arguments):
        return self.endpoint.send_response("CP_1", *arguments)

    def send_error(self, *arguments):
        return self.endpoint.send_error("CP_1", *arguments)

    def args(self, *arguments):
        return ("CP_1", *arguments)


@pytest.fixture(params=["client", "server"])
def make_side(request, make_client, make_server, raw_client, raw_server):
    def make(**options):
        if request.param == "client":
            queue = options.pop("queue_capacity", None)
            if queue is not None:
                options["dispatcher"] = DefaultClientDispatcher(FIFOClientQueue(queue))
            return ClientSide(make_client, raw_server, **options)
        queue = options.pop("queue_capacity", None)
        if queue is not None:
            options["dispatcher"] = DefaultServerDispatcher(FIFOQueueMap(queue))
        return ServerSide(make_server, raw_client, **options)

    return make


@pytest.fixture
def side(make_side):
    return make_side().connect()


@pytest.fixture(params=["client", "server"])
def side_of(request, make_client, make_server, transport, cleanup):
    """Make a client or a server of one OCPP version, connected to a peer that speaks text."""

    def make(version, **options):
        options.setdefault("profiles", VERSIONS[version].PROFILES)
        subprotocols = [f"ocpp{version}"]
        if request.param == "client":
            raw = RawServer(transport, subprotocols)
            cleanup.append(raw.stop)
            return ClientSide(make_client, raw, **options).connect()

        def raw_client(url):
            raw = RawClient(transport, url, subprotocols=subprotocols)
            cleanup.append(raw.stop)
            return raw

        return ServerSide(make_server, raw_client, **options).connect()

    return make
