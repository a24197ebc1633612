"""The default dispatchers: that of a client is one `Lane`, that of a server one per client.

`ocppj.dispatch.request_sender` has the theory of operation.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Callable, Dict, Optional

from ..clock import SystemClock
from ..errors import CallFailed, ConnectionLost, NotRunning, OCPPError, UnknownClient
from ..settings import get_logger
from .interfaces import (
    ClientCanceled,
    ClientDispatcher,
    NetworkClient,
    NetworkServer,
    ServerCanceled,
    ServerDispatcher,
)
from .pending import PendingRequestState, ServerState
from .queues import Decoder, FIFOClientQueue, FIFOQueueMap, RequestBundle, RequestQueue, ServerQueueMap
from .request_sender import Lane
from .retries import Streak, TransactionRetries, loss_limit
from .timeouts import Timeouts

__all__ = ["DEFAULT_TIMEOUT", "DefaultClientDispatcher", "DefaultServerDispatcher"]

DEFAULT_TIMEOUT = 30.0

# What ``max_losses`` is unless it is given. In memory: some minutes, with the usual waits between connections, and the
# caller is told. In a server's file: a charge point that crashes at a command has restarted as often.
_MAX_LOSSES = 5
_MAX_LOSSES_OF_STORED_COMMANDS = 20


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
    """Sends what is in ``queue``, a `FIFOClientQueue` unless another is given.

    ``retries`` say which requests are sent again when the peer fails to process them. With ``resend``, a request whose
    answer was awaited when the connection was lost is sent again, with its id, when the connection is back; without it
    the answer is awaited anew. One whose write failed is kept, too. The default is to resend what a durable queue has.

    A request is given up, with `ConnectionLost`, when ``max_losses`` connections in a row were lost while its answer
    was awaited; a durable queue sets it aside. 0 means no limit. ``None`` means 5, and no limit in a durable queue:
    money waits there, and the outage of a gateway that accepts messages and drops them would set one after the other
    aside. Raises `UsageError` for what is no such number.
    """

    def __init__(
        self,
        queue: Optional[RequestQueue] = None,
        *,
        retries: Optional[TransactionRetries] = None,
        resend: Optional[bool] = None,
        max_losses: Optional[int] = None,
    ) -> None:
        super().__init__()
        self._queue = FIFOClientQueue() if queue is None else queue
        self.durable = self._queue.durable
        self._retries = retries
        self._resend = self.durable if resend is None else resend
        self._max_losses = loss_limit(max_losses, 0 if self.durable else _MAX_LOSSES)
        self._state = PendingRequestState()
        self._network: Optional[NetworkClient] = None
        self._on_canceled: Optional[ClientCanceled] = None
        self._check: Optional[Callable[[RequestBundle], Optional[CallFailed]]] = None
        self._opening = threading.Lock()  # one thread opens or closes the queue
        self._opened = False
        self._lane: Optional[Lane] = None
        self._paused = False  # before the start

    def open(self) -> None:
        with self._opening:
            if not self._opened:
                self._queue.init()  # before requests are taken: it may empty the queue
                self._opened = True

    def start(self) -> None:
        network = self._network
        if network is None:
            raise NotRunning("the dispatcher has no network: call set_network_client first")
        if self.is_running():
            return
        self.open()
        with self._lock:
            if self._running:
                return
            lane = self._lane = Lane(
                self._queue,
                self._state,
                self._get_timeouts(),
                self._get_timeout,
                network.send,
                self._canceled,
                check=self._check,
                retries=self._retries,
                resend=self._resend,
                paused=self._paused,
                losses=Streak(self._max_losses),
            )
            self._running = True
        lane.send_next()  # a queue that outlives the process may hold requests already

    def stop(self) -> None:
        with self._lock:
            lane, self._lane, self._running, self._paused = self._lane, None, False, False
        if lane is not None:
            lane.close()
        with self._opening:
            if self._opened and self._lane is None:
                self._opened = False
                self._queue.close()
        self._stop_own_timeouts()

    def is_paused(self) -> bool:
        lane = self._lane
        return lane.is_paused() if lane is not None else self._paused

    def pause(self) -> None:
        with self._lock:
            lane, self._paused = self._lane, True
        if lane is not None:
            lane.pause()

    def resume(self) -> None:
        with self._lock:
            lane, self._paused = self._lane, False
        if lane is not None:
            lane.resume()

    def send_request(self, bundle: RequestBundle) -> None:
        lane = self._lane
        if lane is None:
            raise NotRunning("the dispatcher is not running")
        lane.push(bundle)

    def complete_request(self, message_id: str) -> bool:
        lane = self._lane
        return lane is not None and lane.complete(message_id)

    def cancel_request(self, message_id: str, error: CallFailed) -> bool:
        lane = self._lane
        return lane is not None and lane.cancel(message_id, error)

    def retry_request(self, message_id: str, error: OCPPError) -> bool:
        lane = self._lane
        return lane is not None and lane.retry(message_id, error)

    def set_decoder(self, decode: Decoder) -> None:
        self._queue.set_decoder(decode)

    def set_request_check(self, check: Callable[[RequestBundle], Optional[CallFailed]]) -> None:
        self._check = check

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

    A request in a durable map is given up, with `ConnectionLost`, and set aside, when ``max_losses`` connections of its
    client in a row were lost while its answer was awaited: a command that crashes a charge point would else crash it
    each time that it is back. 0 means no limit, ``None`` means 20. (Requests in memory end with their connection.) The
    losses are counted in memory, from the start on. Raises `UsageError` for what is no such number.
    """

    def __init__(self, queue_map: Optional[ServerQueueMap] = None, *, max_losses: Optional[int] = None) -> None:
        super().__init__()
        self._queue_map = FIFOQueueMap() if queue_map is None else queue_map
        self.durable = self._queue_map.durable
        self._max_losses = loss_limit(max_losses, _MAX_LOSSES_OF_STORED_COMMANDS)
        self._losses: Dict[str, Streak] = {}  # of clients with requests in a durable map
        self._state = ServerState()
        self._network: Optional[NetworkServer] = None
        self._on_canceled: Optional[ServerCanceled] = None
        self._check: Optional[Callable[[str, RequestBundle], Optional[CallFailed]]] = None
        self._lanes: Dict[str, Lane] = {}  # one of them is found without the lock

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
            self._losses.clear()
            self._running = False
        for lane in lanes.values():
            lane.close()
        self._queue_map.close()
        self._stop_own_timeouts()

    def create_client(self, client_id: str) -> None:
        network = self._network
        if network is None:
            raise NotRunning("the dispatcher has no network: call set_network_server first")
        if self.durable and self.is_running():
            self._queue_map.get_or_create(client_id)  # read from disk now, and not while all others wait
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
                check=None if self._check is None else partial(self._check, client_id),
                losses=self._losses.setdefault(client_id, Streak(self._max_losses)) if self.durable else None,
            )
        lane.send_next()  # a queue that outlives the connection may hold requests already

    def delete_client(self, client_id: str) -> None:
        lost = self._lanes.get(client_id) if self.durable else None
        if lost is not None:
            try:
                lost.pause()  # which counts the loss, while the queue can still set a request aside
            except Exception:  # from a queue of the program's own
                get_logger().exception("client %r: a request cannot be set aside", client_id)
        with self._lock:
            lane = self._lanes.pop(client_id, None)
            if lane is not None:
                self._forget(client_id)
        if lane is not None:
            lane.cancel_all(partial(ConnectionLost, f"client {client_id!r} has disconnected"))

    def send_request(self, client_id: str, bundle: RequestBundle) -> None:
        lane = self._lanes.get(client_id)
        if lane is None:
            if not self.is_running():
                raise NotRunning("the dispatcher is not running")
            raise UnknownClient(f"no client {client_id!r} is connected")
        try:
            lane.push(bundle)
        except NotRunning:
            if self.is_running():
                raise UnknownClient(f"client {client_id!r} has disconnected") from None
            raise

    def complete_request(self, client_id: str, message_id: str) -> bool:
        lane = self._lanes.get(client_id)
        return lane is not None and lane.complete(message_id)

    def cancel_request(self, client_id: str, message_id: str, error: CallFailed) -> bool:
        while True:
            lane, bundle = self._lanes.get(client_id), None
            if lane is None and self.durable and self.is_running():
                # Else it would be sent when the client is back.
                bundle = self._queue_map.withdraw(client_id, message_id)
                lane = self._lanes.get(client_id)  # it may be back since, and the request pending
            if lane is not None and lane.cancel(message_id, error):
                return True
            if bundle is not None:
                break
            if lane is self._lanes.get(client_id):
                return False
            # The client left or came back just now: its stored requests were in no lane that was looked at.
        try:
            self._canceled(client_id, message_id, bundle.call.payload, error)
        except BaseException:
            get_logger().exception("a canceled-request callback failed")
        return True

    def set_decoder(self, decode: Decoder) -> None:
        self._queue_map.set_decoder(decode)

    def set_request_check(self, check: Callable[[str, RequestBundle], Optional[CallFailed]]) -> None:
        self._check = check

    def set_on_request_canceled(self, callback: ServerCanceled) -> None:
        self._on_canceled = callback

    def set_network_server(self, network: NetworkServer) -> None:
        self._network = network

    def set_pending_request_state(self, state: ServerState) -> None:
        self._state = state

    def _forget(self, client_id: str) -> None:
        if self.durable:
            queue = self._queue_map.get(client_id)
            if queue is None or queue.is_empty():
                self._losses.pop(client_id, None)
        self._queue_map.remove(client_id)
        self._state.clear_client(client_id)

    def _canceled(self, client_id: str, message_id: str, request: Any, error: CallFailed) -> None:
        if self._on_canceled is not None:
            self._on_canceled(client_id, message_id, request, error)
