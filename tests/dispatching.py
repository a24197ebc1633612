"""A client's and a server's dispatcher with the same interface, and a network and a clock for tests."""

import threading

import pytest

from ocppj import (
    Call,
    CallCanceled,
    DefaultClientDispatcher,
    DefaultServerDispatcher,
    FIFOClientQueue,
    FIFOQueueMap,
    ManualClock,
    PendingRequestState,
    RequestBundle,
    ServerState,
    TransportError,
)
from ocppj.dispatch.timeouts import Timeouts

TIMEOUT = 30.0


def bundle(message_id):
    call = Call(str(message_id), "Heartbeat", {"request": str(message_id)})
    return RequestBundle(call, call.unique_id)


class Network:
    """Keeps what is sent: the ids alone, for the text of `bundle` is its id. ``act`` may fail, block or answer."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sent = []
        self.sending = 0
        self.overlaps = 0
        self.act = lambda message_id: None

    def send(self, *arguments):
        message_id = arguments[-1]
        with self.lock:
            self.sent.append(message_id)
            self.sending += 1
            self.overlaps += self.sending > 1
        try:
            self.act(message_id)
        finally:
            with self.lock:
                self.sending -= 1

    def fail(self, message_id):
        raise TransportError("the cable is cut")


class CheckedState(PendingRequestState):
    """Counts what must never be: a second request added while one is pending."""

    def __init__(self):
        super().__init__()
        self.twice = 0

    def add(self, message_id, request):
        self.twice += self.has()
        super().add(message_id, request)


class Side:
    """One dispatcher, and what happened to its requests."""

    def __init__(self, dispatcher, clock=None):
        self.clock = clock or ManualClock()
        self.timeouts = Timeouts(self.clock)
        self.network = Network()
        self.canceled = []
        self.on_canceled = lambda message_id, error: None
        self.dispatcher = dispatcher
        dispatcher.set_timeouts(self.timeouts)
        dispatcher.set_timeout(TIMEOUT)
        dispatcher.set_on_request_canceled(self._canceled)

    def _canceled(self, *arguments):
        message_id, request, error = arguments[-3:]
        assert request == {"request": message_id}
        assert error.message_id == message_id
        self.canceled.append((message_id, error))
        self.on_canceled(message_id, error)

    @property
    def sent(self):
        return list(self.network.sent)

    @property
    def canceled_ids(self):
        return [message_id for message_id, _ in list(self.canceled)]

    def send_all(self, *message_ids):
        for message_id in message_ids:
            self.send(message_id)

    def left(self):
        """Return what is left anywhere: nothing, when all requests have ended."""
        return len(self.queue()), self.state().has(), self.timeouts.pending()


class ClientSide(Side):
    def __init__(self, capacity=0, queue=None, clock=None, **options):
        self._queue = FIFOClientQueue(capacity) if queue is None else queue
        super().__init__(DefaultClientDispatcher(self._queue, **options), clock)
        self._state = CheckedState()
        self.dispatcher.set_pending_request_state(self._state)
        self.dispatcher.set_network_client(self.network)

    def start(self):
        self.dispatcher.start()
        return self

    def send(self, message_id):
        self.dispatcher.send_request(bundle(message_id))

    def complete(self, message_id):
        return self.dispatcher.complete_request(message_id)

    def cancel(self, message_id):
        return self.dispatcher.cancel_request(message_id, CallCanceled("unwanted", message_id))

    def queue(self):
        return self._queue

    def state(self):
        return self._state


class ServerSide(Side):
    def __init__(self, capacity=0, queue=None, clock=None):
        self.queues = FIFOQueueMap(capacity)
        super().__init__(DefaultServerDispatcher(self.queues), clock)
        self._own_queue = queue
        self.states = ServerState()
        self.dispatcher.set_pending_request_state(self.states)
        self.dispatcher.set_network_server(self.network)

    def start(self):
        self.dispatcher.start()
        if self._own_queue is not None:
            self.queues.add("CP", self._own_queue)
        self.dispatcher.create_client("CP")
        return self

    def send(self, message_id):
        self.dispatcher.send_request("CP", bundle(message_id))

    def complete(self, message_id):
        return self.dispatcher.complete_request("CP", message_id)

    def cancel(self, message_id):
        return self.dispatcher.cancel_request("CP", message_id, CallCanceled("unwanted", message_id))

    def queue(self):
        return self.queues.get("CP") or FIFOClientQueue()

    def state(self):
        return self.states.get_client_state("CP")


@pytest.fixture(params=[ClientSide, ServerSide], ids=["client", "server"])
def make_side(request):
    return request.param


@pytest.fixture
def side(make_side):
    return make_side().start()
