"""How often a connection is pinged if nobody says so."""

from ocppj.ws.client import WebSocketClient
from ocppj.ws.server import WebSocketServer
from tests.helpers import Recorder

MOST_PROXIES_CUT_AT = 60  # nginx, AWS ALB: an idle connection


def test_both_sides_ping_before_a_proxy_cuts_an_idle_connection():
    server, client, connected = WebSocketServer(), WebSocketClient(reconnect=False), Recorder()
    server.set_connected_handler(connected)
    server.listen(0, "/{id}", "127.0.0.1", ["ocpp1.6"])
    try:
        client.connect(server.url, "CP_1", ["ocpp1.6"])
        ((channel,),) = connected.wait(1)
        assert channel.ping_interval == client.ping_interval == 45 < MOST_PROXIES_CUT_AT
    finally:
        client.stop()
        server.stop()
