"""What the tests of the proxy share: a central system, a proxy and stations over real sockets. They speak any text."""

from typing import Any, List

import pytest

from ocppj.proxy import Proxy
from ocppj.ws.client import WebSocketClient
from ocppj.ws.server import WebSocketServer
from tests.helpers import eventually, seconds
from tests.ws.support import NO_WAIT, OCPP, Log


class Seen:
    """An observer that keeps what it is shown."""

    def __init__(self) -> None:
        self.frames: List[Any] = []
        self.changes: List[Any] = []

    def __call__(self, frame: Any) -> None:
        self.frames.append(frame)

    def connection_changed(self, change: Any) -> None:
        self.changes.append(change)

    def kinds(self) -> List[str]:
        return [change.kind for change in self.changes]


class Rig:
    """Makes the three sides, and stops them in the end."""

    def __init__(self) -> None:
        self._made: List[Any] = []

    def central(self, subprotocols: Any = tuple(OCPP), path: Any = "/ocpp/{id}", **options: Any) -> Any:
        """Return a central system that listens, and its log."""
        server = WebSocketServer(**{"close_timeout": seconds(5), **options})
        self._made.append(server)
        log = Log(server)
        server.listen(0, path, "127.0.0.1", subprotocols)
        return server, log

    def proxy(self, to: Any, path: str = "/", **options: Any) -> Proxy:
        """Return a proxy that listens: in front of a server, or of a URL."""
        proxy = Proxy(to if isinstance(to, str) else to.url, **options)
        self._made.append(proxy)
        return proxy.listen(0, "127.0.0.1", path)

    def station(self, url: Any, identity: str = "CP_1", subprotocols: Any = tuple(OCPP), **options: Any) -> Any:
        """Return a station that is connected, and its log."""
        client = WebSocketClient(**{"reconnect": False, "close_timeout": seconds(5), **options})
        self._made.append(client)
        log = Log(client)
        client.connect(url if isinstance(url, str) else url.url, identity, subprotocols)
        return client, log

    def all(self, **options: Any) -> Any:
        """Return a proxy, and the log and the channel of a central system and a station that are connected by it."""
        _, central = self.central()
        proxy = self.proxy(central.transport, **options)
        _, station = self.station(proxy)
        return proxy, central, station

    def stop(self) -> None:
        for made in reversed(self._made):
            made.stop()


@pytest.fixture
def rig() -> Any:
    made = Rig()
    yield made
    made.stop()


def ends(proxy: Proxy) -> None:
    """Wait until no station is connected."""
    eventually(lambda: proxy.counts().connections == 0 and not proxy.connections())


__all__ = ["NO_WAIT", "OCPP", "Rig", "Seen", "ends", "rig"]
