"""Hundreds of TLS connections, both versions, written to and read by many threads at once: each call is answered.

One thread in ``recv`` and one in ``send`` of the same TLS connection can crash an interpreter, or corrupt what is
read; `ocppj.ws.stream.stream` is there against it. Here every connection is written to by the sender's thread, by the
handler's and by the one that reads, all the time and both ways. ``OCPPJ_TLS_HAMMER_SECONDS`` says for how long.
"""

import os
import random
import ssl
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from ocppj import Client, Server, client_tls_context, server_tls_context, v16
from tests.certificates import authority, server_file
from tests.conftest import our_threads
from tests.helpers import eventually, seconds

pytestmark = pytest.mark.alone

SECONDS = float(os.environ.get("OCPPJ_TLS_HAMMER_SECONDS", "5"))
CONNECTIONS = 200  # half of them TLS 1.2
SENDERS = 10  # threads on each side
PATIENCE = seconds(120)  # where many others want the processor too, one round takes a minute
#: A TLS record has at most 16384 bytes, a WebSocket frame of more than 125 or 65535 another kind of header.
SIZES = [0, 1, 100, 130, 1000, 5000, 16384, 20000, 60000]
LETTERS = "abcdefghijklmnopqrstuvwxyzäöü€"
TEXT = "".join(random.Random(7).choices(LETTERS, k=max(SIZES)))
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def transfer(request):
    """Answer with the same data, backwards."""
    return v16.DataTransferResponse(status="Accepted", data=request.data[::-1])


class Hammer:
    """Senders that hammer at a server and its clients until the time is over."""

    def __init__(self, server, clients):
        self._server, self._clients = server, clients
        self._deadline = time.monotonic() + SECONDS
        self._lock = threading.Lock()
        self.answered = Counter()  # by (side, client id)

    def run(self):
        jobs = [(side, number) for side in ("client", "server") for number in range(SENDERS)]
        with ThreadPoolExecutor(len(jobs)) as pool:
            for future in [pool.submit(self._send, *job) for job in jobs]:
                future.result(2 * PATIENCE + SECONDS)

    def _send(self, side, number):
        """Send to a share of the clients, or from them, round by round; at least one round."""
        rng = random.Random(f"{side} {number}")
        while True:
            rounds = []
            for client in self._clients[number::SENDERS]:
                for _ in range(2):  # the second is written by whoever reads the answer to the first
                    text = f"{client.id} {rng.random()} " + TEXT[: rng.choice(SIZES)]
                    request = v16.DataTransferRequest(vendor_id="V", data=text)
                    future = (
                        client.send_request(request)
                        if side == "client"
                        else self._server.send_request(client.id, request)
                    )
                    rounds.append((client.id, text, future))
            for client_id, text, future in rounds:
                assert future.result(PATIENCE).data == text[::-1]
                with self._lock:
                    self.answered[side, client_id] += 1
            if time.monotonic() > self._deadline:
                return


def sockets_that_note(versions):
    """Return a class of TLS sockets that append to ``versions`` what each handshake has agreed on."""

    class Noting(ssl.SSLSocket):
        def do_handshake(self, *arguments):
            super().do_handshake(*arguments)  # raises while it is not done
            versions.append(self.version())

    return Noting


@pytest.mark.timeout(3 * PATIENCE + SECONDS)
def test_every_call_over_tls_is_answered():
    options = {"profiles": v16.PROFILES, "timeout": PATIENCE, "ping_interval": 1.0, "pong_timeout": PATIENCE}
    server = Server(ssl_context=server_tls_context([server_file("EC"), server_file("RSA")]), **options)
    server.on(v16.DataTransferRequest)(lambda client_id, request: transfer(request))
    clients, versions = [], []
    for number in range(CONNECTIONS):
        context = client_tls_context(authority().path)
        context.minimum_version = context.maximum_version = VERSIONS[number % 2]
        context.sslsocket_class = sockets_that_note(versions)
        client = Client(f"CP_{number}", ssl_context=context, reconnect=False, handshake_timeout=PATIENCE, **options)
        client.on(v16.DataTransferRequest)(transfer)
        clients.append(client)
    with server.listen(host="127.0.0.1"), ThreadPoolExecutor(2 * SENDERS) as pool:
        try:
            list(pool.map(lambda client: client.connect(server.url), clients))
            eventually(lambda: len(server.client_ids()) == CONNECTIONS)
            assert Counter(versions) == {"TLSv1.2": CONNECTIONS // 2, "TLSv1.3": CONNECTIONS // 2}
            hammer = Hammer(server, clients)
            hammer.run()
            assert len(hammer.answered) == 2 * CONNECTIONS  # both ways on each
            assert all(client.is_connected() for client in clients)
            assert len(server.client_ids()) == CONNECTIONS
        finally:
            list(pool.map(Client.stop, clients))
    eventually(lambda: our_threads() == [])
