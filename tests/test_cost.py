"""What a message costs, counted: no more with many connections, requests or messages than with few.

Functions of Python and of C are counted, and bytecodes of Python, on one thread, over a transport that calls and is
called directly. A loop over all connections or over a whole queue would show.
"""

import pytest

from ocppj import Client, DefaultClientDispatcher, FIFOClientQueue, Server, v16
from ocppj.rpc.accelerated import build_quick_check
from tests.counting import count_bytecodes, count_functions
from tests.fixtures import BEAT, HEARTBEAT, RESET

FEW, MANY = 2, 500
CONNECTIONS = (10, 1_000, 8_000)
MESSAGES = 100_000  # benchmarks/costs.py sends a million
QUEUED = 1_000
METERED = v16.MeterValuesResponse()
METER_VALUES = """[2,"1","MeterValues",{"connectorId":1,"transactionId":7,"meterValue":[{
    "timestamp":"2026-01-02T03:04:05.678Z","sampledValue":[
    {"value":"1437.2","context":"Sample.Periodic","format":"Raw","measurand":"Energy.Active.Import.Register",
    "location":"Outlet","unit":"Wh"},
    {"value":"230.1","context":"Sample.Periodic","measurand":"Voltage","phase":"L1","unit":"V"},
    {"value":"15.9","context":"Sample.Periodic","measurand":"Current.Import","phase":"L1","unit":"A"}]}]}]"""


class Direct:
    """A transport, client or server, without a network."""

    url = "direct"
    reconnect = True

    def set_connected_handler(self, handler):
        self.connected = handler

    def set_message_handler(self, handler):
        self.message = handler

    def set_disconnected_handler(self, handler):
        self.disconnected = handler

    def listen(self, *arguments):
        pass

    def connect(self, url, client_id, subprotocols):
        self.connected(Peer(client_id))

    def stop(self):
        pass


class Peer:
    """A channel that keeps what is sent and runs jobs at once."""

    subprotocol = "ocpp1.6"
    remote_address = "direct"
    ping_interval = None

    def __init__(self, client_id):
        self.id = client_id
        self.sent = []

    def send(self, text, wait=True):
        self.sent.append(text)

    def submit(self, job):
        job()

    def close(self, code=1000, reason=""):
        pass


def cost(act):
    """Return how many functions ``act`` calls, and how many bytecodes it runs."""
    return count_functions(act), count_bytecodes(act)


class Site:
    """A server with that many charge points, of which the last is looked at."""

    def __init__(self, connections):
        self.ws = Direct()
        self.server = Server(profiles=v16.PROFILES, ws_server=self.ws)
        self.server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
        self.server.on(v16.MeterValuesRequest)(lambda client_id, request: METERED)
        self.server.listen()
        for number in range(connections):
            self.peer = Peer(f"CP_{number}")
            self.ws.connected(self.peer)

    def ask(self):
        """Have the peer send a CALL; it is answered."""
        self.ws.message(self.peer, '[2,"1","Heartbeat",{}]')

    def meter(self):
        """Have the peer send a CALL that is not small; it is answered."""
        self.ws.message(self.peer, METER_VALUES)

    def request(self):
        """Send the peer a request that it answers."""
        future = self.server.send_request(self.peer.id, RESET)
        self.answer(future.message_id)

    def answer(self, message_id):
        self.ws.message(self.peer, f'[3,"{message_id}",{{"status":"Accepted"}}]')


@pytest.fixture
def make_site():
    sites = []

    def make(connections):
        sites.append(Site(connections))
        return sites[-1]

    yield make
    for site in sites:
        site.server.stop()


@pytest.mark.parametrize(
    ("what", "most"),
    # When this was written there were 62, 93 and 164 (Python 3.13: 170). A function more is 1 or 2 % more time for
    # every message. Since then each frame asks whether it is logged: two functions each.
    [("ask", 67), ("meter", 98), ("request", 177)],
)
def test_a_message_costs_so_many_functions(make_site, what, most):
    """A message in which nothing is unusual takes no detours, with the extra ``fast``."""
    pytest.importorskip("orjson", reason="the extra fast is not installed")
    if build_quick_check({}, bool, bool) is None:
        pytest.skip("the extra fast is not installed")
    assert most / 2 < count_functions(getattr(make_site(FEW), what)) <= most


def test_more_connections_cost_nothing(make_site):
    costs = []
    for connections in CONNECTIONS:
        site = make_site(connections)
        costs.append((cost(site.ask), cost(site.meter), cost(site.request)))
    assert costs[1:] == costs[:1] * 2
    assert 0 < costs[0][0][0] < 400, "it is counted, and no message is that dear"


@pytest.mark.parametrize(("what", "messages"), [("ask", MESSAGES), ("request", MESSAGES // 10)])
def test_the_last_of_many_messages_costs_what_the_first_did(make_site, what, messages):
    act = getattr(make_site(FEW), what)
    for _ in range(10):
        act()
    first = cost(act)
    for _ in range(messages):
        act()
    assert cost(act) == first


def test_a_message_costs_the_same_while_requests_to_its_sender_are_queued(make_site):
    def measure(queued):
        site = make_site(FEW)
        for _ in range(queued):
            site.server.send_request(site.peer.id, RESET)
        return cost(site.ask), cost(site.meter)

    assert measure(QUEUED) == measure(0)


def test_requests_that_wait_cost_nothing(make_site):
    """Neither to queue one more, nor to end the head."""

    def measure(waiting):
        site = make_site(FEW)
        futures = [site.server.send_request(site.peer.id, RESET) for _ in range(waiting)]
        queueing = cost(lambda: futures.append(site.server.send_request(site.peer.id, RESET)))
        ending = cost(lambda: site.answer(futures.pop(0).message_id))
        return queueing, ending

    assert measure(QUEUED - 10) == measure(5), "a queue holds 1,000"


def test_requests_to_others_cost_nothing(make_site):
    def measure(others):
        site = make_site(MANY)
        for number in range(others):
            site.server.send_request(f"CP_{number}", RESET)
        return cost(site.request)

    assert measure(MANY - 1) == measure(1)


def test_a_clients_requests_that_wait_cost_nothing():
    def measure(waiting):
        client = Client(
            "CP_1",
            profiles=v16.PROFILES,
            ws_client=Direct(),
            dispatcher=DefaultClientDispatcher(FIFOClientQueue()),
        )
        client.connect("direct")
        try:
            for _ in range(waiting):
                client.send_request(HEARTBEAT)
            return cost(lambda: client.send_request(HEARTBEAT))
        finally:
            client.stop()

    assert measure(QUEUED) == measure(5)


def test_the_count_sees_a_loop():
    assert cost(lambda: [len("") for _ in range(100)])[0] > cost(lambda: [len("") for _ in range(10)])[0] + 80
    assert cost(lambda: [each + "" for each in "x" * 100])[1] > cost(lambda: [each + "" for each in "x" * 10])[1] + 80
