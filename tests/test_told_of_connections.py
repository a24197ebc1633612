"""What a program is told about connections, by a transport whose every act is the test's: in whatever order."""

import threading
from contextlib import nullcontext

import pytest

from ocppj import Client, ManualClock, Server, v16
from ocppj.exchange.notices import Notices
from ocppj.ws.base import Close
from tests.fixtures import RESET
from tests.helpers import Recorder, seconds
from tests.inside.endpoints import untold
from tests.interleaving import at_call

PATIENCE = 3.0  # seconds that the end of the connection before is waited for


class HandChannel:
    """A channel whose jobs run when the test says so. While ``threadless`` is set, `submit` keeps a job and raises."""

    id = "CP_1"
    subprotocol = "ocpp1.6"
    remote_address = "here"
    ping_interval = None

    def __init__(self):
        self.jobs = []
        self.threadless = False

    def send(self, text, wait=True):
        pass

    def close(self, code=1000, reason=""):
        pass

    def submit(self, job):
        self.jobs.append(job)
        if self.threadless:
            raise RuntimeError("no thread can be started")

    def run(self):
        """Run the jobs on a thread, and return it."""

        def work():
            while self.jobs:
                self.jobs.pop(0)()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread


class HandTransport:
    """Both sides of `ocppj.ws.base`, without a network: ``connected`` and ``disconnected`` are called by the test."""

    url = "ws://hand"
    reconnect = False

    def set_connected_handler(self, handler):
        self.connected = handler

    def set_message_handler(self, handler):
        self.message = handler

    def set_disconnected_handler(self, handler):
        self.end = handler

    def disconnected(self, channel):
        self.end(channel, Close(1006))

    def listen(self, port, path, host, subprotocols):
        pass

    def connect(self, url, client_id, subprotocols):
        self.channel = HandChannel()
        self.connected(self.channel)

    def stop(self, code=1000, reason=""):
        pass

    def waiting(self):
        return nullcontext()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def told():
    return Recorder()


@pytest.fixture
def ws():
    return HandTransport()


@pytest.fixture
def server(ws, clock, told):
    server = Server(profiles=v16.PROFILES, ws_server=ws, clock=clock)
    server.set_new_client_handler(lambda client_id: told("new"))
    server.set_disconnected_client_handler(lambda client_id: told("gone"))
    with server.listen():
        yield server


def done(thread):
    thread.join(seconds(10))
    assert not thread.is_alive()


def texts(told):
    return [text for (text,) in told.calls]


def test_who_comes_back_while_his_requests_are_ended_is_told_of_after_his_leaving(ws, server, told):
    first, second = HandChannel(), HandChannel()
    ws.connected(first)
    done(first.run())
    server.send_request("CP_1", RESET)
    server.set_canceled_request_handler(lambda *arguments: ws.connected(second))
    ws.disconnected(first)
    newer = second.run()
    done(first.run())
    done(newer)
    assert texts(told) == ["new", "gone", "new"]


def test_a_job_that_runs_though_its_submission_failed_neither_waits_nor_tells_again(ws, server, told):
    channel = HandChannel()
    channel.threadless = True
    with pytest.raises(RuntimeError):
        ws.connected(channel)
    done(channel.run())
    assert texts(told) == ["new"]
    channel.threadless = False
    ws.disconnected(channel)
    done(channel.run())
    assert texts(told) == ["new", "gone"]


def test_the_end_of_a_connection_is_told_though_its_beginning_was_discarded(ws, server, told):
    first, second = HandChannel(), HandChannel()
    ws.connected(first)
    first.jobs.clear()  # as `stop()` does
    ws.disconnected(first)
    done(first.run())
    assert texts(told) == ["gone"]
    ws.connected(second)
    done(second.run())
    assert (texts(told), untold(server)) == (["gone", "new"], 0)


def test_a_handler_that_never_ends_holds_up_one_connection_once(ws, server, told, clock, caplog):
    """What is told of later connections waits for it no more, and is told on their threads."""
    stuck, second, third = HandChannel(), HandChannel(), HandChannel()
    ws.connected(stuck)
    done(stuck.run())
    ws.disconnected(stuck)
    ws.connected(second)
    thread = second.run()
    assert clock.wait_for_waiters()
    clock.advance(PATIENCE)
    done(thread)
    assert texts(told) == ["new", "new"]
    assert caplog.text.count("does not end") == 1
    ws.disconnected(second)
    done(second.run())
    ws.connected(third)
    done(third.run())
    assert texts(told) == ["new", "new", "gone", "new"]
    assert untold(server) == 0, "what is stuck is kept by its own job alone"
    done(stuck.run())
    assert texts(told) == ["new", "new", "gone", "new", "gone"]
    assert caplog.text.count("does not end") == 1


def test_ends_are_told_on_their_own_threads_though_one_of_them_is_stuck(ws, clock, told):
    """Without a new-client handler, too."""
    server = Server(profiles=v16.PROFILES, ws_server=ws, clock=clock)
    server.set_disconnected_client_handler(lambda client_id: told(threading.current_thread()))
    with server.listen():
        channels = [HandChannel() for _ in range(3)]
        for channel in channels:
            ws.connected(channel)
            ws.disconnected(channel)
        stuck, second, third = channels
        thread = second.run()
        assert clock.wait_for_waiters()
        clock.advance(PATIENCE)
        done(thread)
        last = third.run()
        done(last)
        assert told.calls == [(thread,), (last,)]
        assert untold(server) == 0
        late = stuck.run()
        done(late)
        assert told.calls == [(thread,), (last,), (late,)]


def test_the_end_of_a_session_is_told_though_another_session_begins_meanwhile(ws, told):
    client = Client("CP_1", profiles=v16.PROFILES, ws_client=ws)
    client.set_disconnected_handler(lambda close: told("gone"))
    client.connect(ws.url)
    first = ws.channel
    with at_call(Notices.add, lambda: client.connect(ws.url)) as met:
        ws.disconnected(first)
    assert met
    done(first.run())
    assert texts(told) == ["gone"]
    client.stop()
