"""What tests of the transport share."""

import pytest

from ocppj.ws.server import WebSocketServer
from tests.helpers import seconds
from tests.peers import Memory, Sockets
from tests.ws.support import OCPP, PATH, Log, Pair, Tls


@pytest.fixture
def make():
    """Return what makes a listening `WebSocketServer`, and the `Log` of what it calls. Both end with the test."""
    servers = []

    def make_(**options):
        options.setdefault("close_timeout", seconds(0.5))
        server = WebSocketServer(**options)
        servers.append(server)
        log = Log(server)
        server.listen(0, PATH, "127.0.0.1", OCPP)
        return server, log

    yield make_
    for server in servers:
        server.stop()


@pytest.fixture(params=["per-connection", "shared"])
def readers(request):
    return request.param


@pytest.fixture(params=[Sockets, Tls, Memory], ids=lambda transport: transport.name)
def pair(request, readers):
    pair = Pair(request.param(), readers)
    yield pair
    pair.stop()
