"""Nothing outlives its endpoint: what a program gives to one, and what is made of it, goes with it."""

import gc
import logging
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import pytest

from ocppj import (
    Backoff,
    Client,
    DefaultClientDispatcher,
    DefaultServerDispatcher,
    Endpoint,
    Feature,
    FIFOClientQueue,
    FIFOQueueMap,
    OCPPError,
    Payload,
    Profile,
    Request,
    Server,
    SharedReaders,
    SQLiteQueue,
    SQLiteQueueMap,
    SystemClock,
    TransactionRetries,
    UsageError,
    Validation,
    wire,
)
from ocppj.rpc.dialect import DIALECTS, V16
from ocppj.ws.memory import MemoryNetwork
from tests.helpers import eventually, seconds

#: A logger that pytest does not read: it would keep the errors of the log lines, and all that these hold.
QUIET = logging.Logger("quiet", logging.CRITICAL)

DIALECT = {each.version: each for each in DIALECTS}


class Own(NamedTuple):
    """A profile of the program's own, and its types."""

    profile: Profile
    color: type
    inner: type
    request: type
    response: type


class Parts:
    """Weak references to what is to go."""

    def __init__(self):
        self._by_name = {}

    def note(self, **objects):
        for name, each in objects.items():
            self._by_name[f"{name} {len(self._by_name)}"] = weakref.ref(each)

    def remaining(self):
        gc.collect()
        return sorted(name for name, ref in self._by_name.items() if ref() is not None)

    def all_gone(self):
        """Wait for threads that are ending, which hold what they ran."""
        with suppress(AssertionError):
            eventually(lambda: not self.remaining())
        assert self.remaining() == []


def make_profile(dialect, parts, *, plain=True):
    """Return a profile with types of its own."""

    class Color(str, Enum):
        RED = "Red"

    @dataclass
    class Inner(Payload):
        name: Any = field(default="x", metadata=wire("name"))

    @dataclass
    class OddRequest(Request):
        value: Any = field(default=None, metadata=wire("value"))
        inner: Inner = field(default=None, metadata=wire("inner"))

    @dataclass
    class OddResponse(Payload):
        value: Any = field(default=None, metadata=wire("value"))
        color: Color = field(default=None, metadata=wire("color"))

    request = {"type": "object", "properties": {"value": {"type": "string"}, "inner": {"type": "object"}}}
    response = {"type": "object", "properties": {"value": {"type": "string"}, "color": {"enum": ["Red"]}}}
    if not plain:
        for each in (request, response):
            each["anyOf"] = [{"type": "object"}]
    feature = Feature("Odd", OddRequest, OddResponse, request, response)
    profile = Profile("Odd", dialect, feature)
    parts.note(Color=Color, Inner=Inner, OddRequest=OddRequest, OddResponse=OddResponse)
    parts.note(feature=feature, profile=profile)
    return Own(profile, Color, Inner, OddRequest, OddResponse)


def exchange(own, server, client, parts):
    """Send valid and invalid messages between ``server`` and ``client``."""

    def handle(client_id, request, *rest):
        if request.value == "wrong":
            return own.response(value=5, color=own.color.RED)
        return own.response(value=request.value, color=own.color.RED)

    def handle_as_client(request):
        return own.response(value=request.value, color=own.color.RED)

    parts.note(handle=handle, handle_as_client=handle_as_client, server=server, client=client)
    server.on(own.request)(handle)
    client.on(own.request)(handle_as_client)
    server.listen(host="127.0.0.1")
    client.connect(server.url)
    eventually(server.client_ids)
    for value in ("x", "wrong", 5):
        request = own.request(value=value, inner=own.inner())
        for call in (client.call, lambda each: server.call("CP_1", each)):
            with suppress(OCPPError, UsageError):
                call(request)
    future = client.send_request(own.request(value="y"))
    future.result(seconds(10))
    client.stop()
    server.stop()


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "other"])
@pytest.mark.parametrize("mode", ["strict", "standard", "warn", "off"])
@pytest.mark.parametrize("version", DIALECT)
def test_types_and_endpoints_go(version, mode, plain):
    parts = Parts()

    def run():
        own = make_profile(DIALECT[version], parts, plain=plain)
        network, clock = MemoryNetwork(), SystemClock()
        validate, queues, options = Validation.of(mode), FIFOQueueMap(), {"clock": clock, "logger": QUIET}
        choose = lambda client_id: validate  # noqa: E731
        parts.note(network=network, clock=clock, choose=choose, queues=queues)
        server = Server(profiles=[own.profile], ws_server=network.server(), validate=choose, queues=queues, **options)
        client = Client("CP_1", profiles=[own.profile], ws_client=network.client(), validate=choose, **options)
        exchange(own, server, client, parts)

    run()
    parts.all_gone()


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
@pytest.mark.parametrize("readers", ["auto", "per-connection", "shared"])
def test_readers_queues_and_transports_go(readers, durable, tmp_path):
    parts = Parts()

    def run():
        own = make_profile(V16, parts)
        queue = SQLiteQueue(tmp_path / "client.db") if durable else FIFOClientQueue()
        queues = SQLiteQueueMap(tmp_path / "server.db") if durable else FIFOQueueMap()
        dispatchers = DefaultClientDispatcher(queue, retries=TransactionRetries()), DefaultServerDispatcher(queues)
        backoff = Backoff()
        options = {"readers": readers, "logger": QUIET}
        parts.note(queue=queue, queues=queues, backoff=backoff, client_part=dispatchers[0], server_part=dispatchers[1])
        server = Server(profiles=[own.profile], dispatcher=dispatchers[1], **options)
        client = Client(
            "CP_1", profiles=[own.profile], dispatcher=dispatchers[0], backoff=backoff, boot_first=False, **options
        )
        exchange(own, server, client, parts)

    run()
    parts.all_gone()


def test_readers_that_are_shared_by_many_hold_none_of_them():
    parts, readers = Parts(), SharedReaders()

    def run():
        own = make_profile(V16, parts)
        options = {"profiles": [own.profile], "readers": readers, "logger": QUIET}
        server, client = Server(**options), Client("CP_1", **options)
        exchange(own, server, client, parts)

    for _ in range(3):
        run()
    parts.all_gone()
    readers.stop(seconds(5))


def test_an_endpoint_that_never_connected_goes():
    parts = Parts()

    def run():
        own = make_profile(V16, parts)
        endpoint = Endpoint([own.profile])
        call = endpoint.create_call(own.request(value="x"), V16)
        client, server = Client("CP_1", profiles=[own.profile]), Server(profiles=[own.profile])
        parts.note(endpoint=endpoint, call=call, client=client, server=server)

    run()
    parts.all_gone()


def test_many_endpoints_leave_as_much_as_one():
    """400 endpoints with types of their own left all their types, 2 features each, and all their validators."""
    parts = Parts()
    for _ in range(50):
        own = make_profile(V16, parts)
        endpoint = Endpoint([own.profile], validate="strict")
        endpoint.create_call(own.request(value="x", inner=own.inner()), V16)
        parts.note(endpoint=endpoint)
    del own, endpoint
    parts.all_gone()
