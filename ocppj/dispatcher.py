"""Who sends requests: `ClientDispatcher` and `ServerDispatcher` with their promises, then the defaults.

The default of a client is one `Lane` (see `ocppj.lane`, which has the theory of operation), that of a server one per
client.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from functools import partial
from typing import Any, Callable, Dict, Optional, Protocol

from .clock import SystemClock
from .errors import CallFailed, ConnectionLost, NotRunning, UnknownClient
from .lane import Lane
from .queues import FIFOClientQueue, FIFOQueueMap, RequestBundle, RequestQueue, ServerQueueMap
from .state import PendingRequestState, ServerState
from .timeouts import Timeouts

__all__ = [
    "ClientDispatcher",
    "DefaultClientDispatcher",
    "DefaultServerDispatcher",
    "NetworkClient",
    "NetworkServer",
    "ServerDispatcher",
]

DEFAULT_TIMEOUT = 30.0

ClientCanceled = Callable[[str, Any, CallFailed], None]
ServerCanceled = Callable[[str, str, Any, CallFailed], None]


class NetworkClient(Protocol):
    """Where a client's dispatcher writes."""

    def send(self, text: str) -> None:
        """Write one frame. Raises `TransportError`."""


class NetworkServer(Protocol):
    """Where a server's dispatcher writes."""

    def send(self, client_id: str, text: str) -> None:
        """Write one frame to that client. Raises `TransportError`."""


class ClientDispatcher(ABC):
    """Sends a client's requests, one at a time. Every method may be called from any thread, callbacks included."""

    @abstractmethod
    def start(self) -> None:
        """Begin to take requests."""

    @abstractmethod
    def stop(self) -> None:
        """Clear the queue and the pending request, without calling the canceled callback, and refuse new ones."""

    @abstractmethod
    def is_running(self) -> bool:
        """Tell whether requests are taken."""

    @abstractmethod
    def is_paused(self) -> bool:
        """Tell whether requests are queued only."""

    @abstractmethod
    def pause(self) -> None:
        """Send nothing, and let nothing time out, until `resume`. Requests may still be queued."""

    @abstractmethod
    def resume(self) -> None:
        """Go on: await the pending request's answer anew with a fresh timeout, or send the next request."""

    @abstractmethod
    def set_timeout(self, timeout: float) -> None:
        """Give each request that is sent from now on ``timeout`` seconds to be answered."""

    @abstractmethod
    def send_request(self, bundle: RequestBundle) -> None:
        """Queue ``bundle``, and send it if nothing is pending. Raises `NotRunning`, `QueueFull`.

        A failed write is not raised: it cancels the request with InternalError.
        """

    @abstractmethod
    def complete_request(self, message_id: str) -> None:
        """Release the pending request, because its answer came, and send the next.

        An id that is not the pending one is logged and changes nothing.
        """

    @abstractmethod
    def set_on_request_canceled(self, callback: ClientCanceled) -> None:
        """Call ``callback(message id, request, error)`` for each request that ends without an answer."""

    @abstractmethod
    def set_network_client(self, network: NetworkClient) -> None:
        """Write to ``network``."""

    @abstractmethod
    def set_pending_request_state(self, state: PendingRequestState) -> None:
        """Keep what is pending in ``state``."""

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Use the endpoint's timer. Called before `start`; a dispatcher with timers of its own may ignore it."""

    def cancel_request(self, message_id: str, error: CallFailed) -> bool:
        """Release the request of that id, sent or not, call the canceled callback with ``error``, and go on.

        Return whether there was one. A dispatcher that cannot do this returns false; the request then takes its
        course, and its answer is ignored.
        """
        return False


class ServerDispatcher(ABC):
    """Sends a server's requests, one at a time per client. Every method may be called from any thread."""

    @abstractmethod
    def start(self) -> None:
        """Begin to take requests."""

    @abstractmethod
    def stop(self) -> None:
        """Clear all queues and pending requests, without calling the canceled callback, and refuse new ones."""

    @abstractmethod
    def is_running(self) -> bool:
        """Tell whether requests are taken."""

    @abstractmethod
    def set_timeout(self, timeout: float) -> None:
        """Give each request that is sent from now on ``timeout`` seconds to be answered."""

    @abstractmethod
    def send_request(self, client_id: str, bundle: RequestBundle) -> None:
        """Queue ``bundle`` for that client, and send it if nothing is pending there.

        Raises `NotRunning`, `UnknownClient`, `QueueFull`. A failed write cancels the request with InternalError.
        """

    @abstractmethod
    def complete_request(self, client_id: str, message_id: str) -> None:
        """Release that client's pending request, because its answer came, and send the next."""

    @abstractmethod
    def delete_client(self, client_id: str) -> None:
        """Discard that client's requests, calling the canceled callback for each, and refuse new ones."""

    @abstractmethod
    def set_on_request_canceled(self, callback: ServerCanceled) -> None:
        """Call ``callback(client id, message id, request, error)`` for each request that ends without an answer."""

    @abstractmethod
    def set_network_server(self, network: NetworkServer) -> None:
        """Write to ``network``."""

    @abstractmethod
    def set_pending_request_state(self, state: ServerState) -> None:
        """Keep what is pending in ``state``."""

    def create_client(self, client_id: str) -> None:
        """Take requests for that client from now on. Called when it has connected."""

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Use the endpoint's timer. Called before `start`; a dispatcher with timers of its own may ignore it."""

    def cancel_request(self, client_id: str, message_id: str, error: CallFailed) -> bool:
        """Release that request, sent or not; as `ClientDispatcher.cancel_request`."""
        return False


class _Dispatching:
    """What the two default dispatchers share: running or not, the timeout, and the timer."""

    def __init__(self) -> None:
        self._timeout = DEFAULT_TIMEOUT
        self._timeouts: Optional[Timeouts] = None
        self._own_timeouts: Optional[Timeouts] = None
        self._running = False
        self._lock = threading.Lock()

    def is_running(self) -> bool:
        """Tell whether requests are taken."""
        with self._lock:
            return self._running

    def set_timeout(self, timeout: float) -> None:
        """Give each request that is sent from now on ``timeout`` seconds to be answered."""
        if not timeout > 0:
            raise ValueError("a timeout must be more than 0 seconds")
        self._timeout = timeout

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Use ``timeouts`` for the deadlines of requests."""
        self._timeouts = timeouts

    def _get_timeout(self) -> float:
        return self._timeout

    def _get_timeouts(self) -> Timeouts:
        """Return the timer; called with the lock held."""
        if self._timeouts is not None:
            return self._timeouts
        if self._own_timeouts is None:
            self._own_timeouts = Timeouts(SystemClock())
        self._own_timeouts.start()
        return self._own_timeouts

    def _stop_own_timeouts(self) -> None:
        if self._own_timeouts is not None:
            self._own_timeouts.stop()


class DefaultClientDispatcher(_Dispatching, ClientDispatcher):
    """Sends what is in ``queue``, a `FIFOClientQueue` unless another is given."""

    def __init__(self, queue: Optional[RequestQueue] = None) -> None:
        super().__init__()
        self._queue = FIFOClientQueue() if queue is None else queue
        self._state = PendingRequestState()
        self._network: Optional[NetworkClient] = None
        self._on_canceled: Optional[ClientCanceled] = None
        self._lane: Optional[Lane] = None

    def start(self) -> None:
        network = self._network
        if network is None:
            raise NotRunning("the dispatcher has no network: call set_network_client first")
        with self._lock:
            if self._running:
                return
            self._queue.init()  # before requests are taken: it may empty the queue
            timeouts = self._get_timeouts()
            lane = Lane(self._queue, self._state, timeouts, self._get_timeout, network.send, self._canceled)
            self._lane, self._running = lane, True
        lane.send_next()  # a queue that outlives the process may hold requests already

    def stop(self) -> None:
        with self._lock:
            lane, self._lane, self._running = self._lane, None, False
        if lane is not None:
            lane.close()
        self._stop_own_timeouts()

    def is_paused(self) -> bool:
        lane = self._lane
        return lane is not None and lane.is_paused()

    def pause(self) -> None:
        lane = self._lane
        if lane is not None:
            lane.pause()

    def resume(self) -> None:
        lane = self._lane
        if lane is not None:
            lane.resume()

    def send_request(self, bundle: RequestBundle) -> None:
        lane = self._lane
        if lane is None:
            raise NotRunning("the dispatcher is not running")
        lane.push(bundle)

    def complete_request(self, message_id: str) -> None:
        lane = self._lane
        if lane is not None:
            lane.complete(message_id)

    def cancel_request(self, message_id: str, error: CallFailed) -> bool:
        lane = self._lane
        return lane is not None and lane.cancel(message_id, error)

    def set_on_request_canceled(self, callback: ClientCanceled) -> None:
        self._on_canceled = callback

    def set_network_client(self, network: NetworkClient) -> None:
        self._network = network

    def set_pending_request_state(self, state: PendingRequestState) -> None:
        self._state = state

    def _canceled(self, message_id: str, request: Any, error: CallFailed) -> None:
        if self._on_canceled is not None:
            self._on_canceled(message_id, request, error)


class DefaultServerDispatcher(_Dispatching, ServerDispatcher):
    """Sends what is in the queues of ``queue_map``, a `FIFOQueueMap` unless another is given.

    The lanes, the queue map and the pending states are tables that change together, under the dispatcher's lock: else
    a client that comes while the one of its name goes would be given what is about to be forgotten.
    """

    def __init__(self, queue_map: Optional[ServerQueueMap] = None) -> None:
        super().__init__()
        self._queue_map = FIFOQueueMap() if queue_map is None else queue_map
        self._state = ServerState()
        self._network: Optional[NetworkServer] = None
        self._on_canceled: Optional[ServerCanceled] = None
        self._lanes: Dict[str, Lane] = {}

    def start(self) -> None:
        if self._network is None:
            raise NotRunning("the dispatcher has no network: call set_network_server first")
        with self._lock:
            if self._running:
                return
            self._queue_map.init()  # before requests are taken: it may empty the queues
            self._running = True

    def stop(self) -> None:
        with self._lock:
            lanes = dict(self._lanes)
            for client_id in lanes:
                self._forget(client_id)
            self._lanes.clear()
            self._running = False
        for lane in lanes.values():
            lane.close()
        self._stop_own_timeouts()

    def create_client(self, client_id: str) -> None:
        network = self._network
        if network is None:
            raise NotRunning("the dispatcher has no network: call set_network_server first")
        with self._lock:
            if not self._running:
                raise NotRunning("the dispatcher is not running")
            if client_id in self._lanes:
                return
            lane = self._lanes[client_id] = Lane(
                self._queue_map.get_or_create(client_id),
                self._state.get_client_state(client_id),
                self._get_timeouts(),
                self._get_timeout,
                partial(network.send, client_id),
                partial(self._canceled, client_id),
            )
        lane.send_next()  # a queue that outlives the connection may hold requests already

    def delete_client(self, client_id: str) -> None:
        with self._lock:
            lane = self._lanes.pop(client_id, None)
            if lane is not None:
                self._forget(client_id)
        if lane is not None:
            lane.cancel_all(partial(ConnectionLost, f"client {client_id!r} has disconnected"))

    def send_request(self, client_id: str, bundle: RequestBundle) -> None:
        with self._lock:
            running, lane = self._running, self._lanes.get(client_id)
        if not running:
            raise NotRunning("the dispatcher is not running")
        if lane is None:
            raise UnknownClient(f"no client {client_id!r} is connected")
        lane.push(bundle)

    def complete_request(self, client_id: str, message_id: str) -> None:
        lane = self._get_lane(client_id)
        if lane is not None:
            lane.complete(message_id)

    def cancel_request(self, client_id: str, message_id: str, error: CallFailed) -> bool:
        lane = self._get_lane(client_id)
        return lane is not None and lane.cancel(message_id, error)

    def set_on_request_canceled(self, callback: ServerCanceled) -> None:
        self._on_canceled = callback

    def set_network_server(self, network: NetworkServer) -> None:
        self._network = network

    def set_pending_request_state(self, state: ServerState) -> None:
        self._state = state

    def _get_lane(self, client_id: str) -> Optional[Lane]:
        with self._lock:
            return self._lanes.get(client_id)

    def _forget(self, client_id: str) -> None:
        self._queue_map.remove(client_id)
        self._state.clear_client(client_id)

    def _canceled(self, client_id: str, message_id: str, request: Any, error: CallFailed) -> None:
        if self._on_canceled is not None:
            self._on_canceled(client_id, message_id, request, error)
