"""Many connections, many calls, both directions at once: every call ends, none twice, and nothing is left."""

import os
import threading
from collections import Counter

import pytest

from ocppj import CallFailed, OCPPError, v16
from tests.fixtures import (  # noqa: F401
    BEAT,
    HEARTBEAT,
    RESET,
    RESET_DONE,
    cleanup,
    make_client,
    make_server,
    transport,
)
from tests.helpers import eventually, seconds
from tests.inside.faults import check_that_nothing_is_left, unfinished

CONNECTIONS = 100
CALLS = 100


class Ends:
    """Counts how each call ended, and how often."""

    def __init__(self):
        self._lock = threading.Lock()
        self.counts = Counter()
        self.how = Counter()

    def note(self, message_id, how):
        with self._lock:
            self.counts[message_id] += 1
            self.how[how] += 1


def data(text):
    return v16.DataTransferRequest(vendor_id="V", data=text)


def done(text):
    return v16.DataTransferResponse(status="Accepted", data=text)


def make_fleet(make_server, make_client, count, server_calls_back, client_calls_back, ends, **options):
    """Connect ``count`` clients; the handlers of both sides call back where they are told to."""
    server = make_server(**options)
    server.set_response_handler(lambda client_id, response, message_id: ends.note(message_id, "response"))
    server.set_error_handler(lambda client_id, error, details: ends.note(error.message_id, "error"))
    server.set_canceled_request_handler(lambda client_id, message_id, request, error: ends.note(message_id, "canceled"))
    clients = []

    @server.on(v16.DataTransferRequest)
    def transfer(client_id, request):
        if server_calls_back(client_id):
            assert server.call(client_id, RESET, **options_of_nested) == RESET_DONE
        return done(request.data)

    options_of_nested = {"timeout": options["timeout"] / 4} if client_calls_back("all") else {}

    def serve(client):
        client.on(v16.ResetRequest)(lambda request: RESET_DONE)

        @client.on(v16.DataTransferRequest)
        def transfer(request):
            if client_calls_back(client.id):
                assert client.call(HEARTBEAT, **options_of_nested) == BEAT
            return done(request.data)

        client.set_response_handler(lambda response, message_id: ends.note(message_id, "response"))
        client.set_error_handler(lambda error, details: ends.note(error.message_id, "error"))
        client.set_canceled_request_handler(lambda message_id, request, error: ends.note(message_id, "canceled"))

    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    for number in range(count):
        client = make_client(identity=f"CP_{number}", **options)
        serve(client)
        clients.append(client.connect(server.url))
    eventually(lambda: len(server.client_ids()) == count)
    return server, clients


def run_all(server, clients, calls):
    """Let every client call the server and the server call every client; return what came back, by outcome."""
    outcomes = Counter()
    lock = threading.Lock()

    def run(call):
        mine = Counter()
        for n in range(calls):
            try:
                assert call(data(str(n))).data == str(n)
                mine["answered"] += 1
            except (OCPPError, CallFailed) as error:
                mine[type(error).__name__] += 1
        with lock:
            outcomes.update(mine)

    threads = [threading.Thread(target=run, args=(client.call,), daemon=True) for client in clients]
    threads += [
        threading.Thread(
            target=run, args=(lambda request, client=client: server.call(client.id, request),), daemon=True
        )
        for client in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(240))
        assert not thread.is_alive(), "a call did not end"
    return outcomes


def check_that_each_ended_once(server, clients, ends):
    for endpoint in (server, *clients):
        assert unfinished(endpoint) == {}, endpoint
    assert max(ends.counts.values()) == 1, "a request ended twice"


@pytest.mark.alone
@pytest.mark.timeout(seconds(300))  # six hundred threads on however few cores there are
def test_everybody_calls_everybody_and_every_call_is_answered(transport, make_server, make_client):
    """On even connections the server's handlers call back, on odd ones the clients'."""
    ends = Ends()
    calls = CALLS if transport.name == "sockets" else CALLS // 4

    def even(client_id):
        return client_id != "all" and int(client_id[3:]) % 2 == 0

    def odd(client_id):
        return client_id != "all" and not even(client_id)

    server, clients = make_fleet(make_server, make_client, CONNECTIONS, even, odd, ends, timeout=seconds(240))
    outcomes = run_all(server, clients, calls)
    assert outcomes == {"answered": 2 * CONNECTIONS * calls}
    # besides the calls above, one callback for each DataTransfer that the even servers and odd clients handled
    expected = 2 * CONNECTIONS * calls + CONNECTIONS * calls
    eventually(lambda: sum(ends.counts.values()) == expected)
    assert ends.how == {"response": expected}
    check_that_each_ended_once(server, clients, ends)


def test_callbacks_that_wait_for_each_other_end_in_time(make_server, make_client):
    """Both sides' handlers call back on the same connection while a call of theirs is unanswered.

    With one unanswered CALL in each direction such calls wait for each other. No library can resolve that without
    breaking the rule; every call must end all the same, once, and the connection must go on.
    """
    ends = Ends()
    server, clients = make_fleet(
        make_server, make_client, 10, lambda client_id: True, lambda client_id: True, ends, timeout=seconds(1)
    )
    outcomes = run_all(server, clients, 10)
    assert sum(outcomes.values()) == 200
    for client in clients:
        assert client.call(HEARTBEAT, timeout=seconds(10)) == BEAT
        assert server.call(client.id, RESET, timeout=seconds(10)) == RESET_DONE
    check_that_each_ended_once(server, clients, ends)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_connecting_and_disconnecting_leaves_nothing(make_server, make_client):
    server = make_server()
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    server.set_new_client_handler(lambda client_id: None)

    def cycle(number):
        client = make_client(server.url, f"CP_{number % 7}")
        assert client.call(HEARTBEAT) == BEAT
        client.stop()

    for number in range(5):
        cycle(number)
    eventually(lambda: server.client_ids() == [])
    files = len(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    for number in range(200):
        cycle(number)
    check_that_nothing_is_left(server)
    eventually(lambda: threading.active_count() <= threads)
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= files)
