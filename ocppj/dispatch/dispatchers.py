"""The default dispatchers. A client's holds one `RequestSender`, a server's holds one per client."""

from __future__ import annotations

import threading
from functools import partial
from typing import Callable, Dict, Optional

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
from .queues import Decoder, FIFOClientQueue, FIFOQueueMap, RequestBundle, RequestPayload, RequestQueue, ServerQueueMap
from .request_sender import RequestSender
from .retries import ConsecutiveFailures, TransactionRetries, loss_limit
from .timeouts import DEFAULT_TIMEOUT, RequestTimeout, Timeouts

__all__ = ["DEFAULT_TIMEOUT", "DefaultClientDispatcher", "DefaultServerDispatcher"]

# The defaults of ``max_losses``. In memory: 5 losses take some minutes, with the usual waits between connections, and
# the caller gets the error. In a server's file: a charge point that crashes at a command has restarted that often.
_MAX_LOSSES = 5
_MAX_LOSSES_OF_STORED_COMMANDS = 20


class DefaultClientDispatcher(ClientDispatcher):
    """Sends what is in a queue.

    Args:
        queue: The requests. A `FIFOClientQueue` by default.
        retries: Which requests are sent again when the peer fails to process them. By default, none.
        resend: Whether a request whose answer was awaited when the connection was lost is sent again, with its id, when
            the connection is back. If not, its answer is awaited anew. If true, a request whose write failed is kept,
            too. The default is true for a durable queue.
        max_losses: How many connections in a row may be lost while the answer to the same request is awaited. Then the
            request is given up, with `ConnectionLost`, and a durable queue sets it aside. 0 means no limit. The default
            is 5, and no limit for a durable queue: a gateway that drops messages would have all of it set aside.

    Raises:
        UsageError: for such a ``max_losses`` as -1.
    """

    def __init__(
        self,
        queue: Optional[RequestQueue] = None,
        *,
        retries: Optional[TransactionRetries] = None,
        resend: Optional[bool] = None,
        max_losses: Optional[int] = None,
    ) -> None:
        self._queue = FIFOClientQueue() if queue is None else queue
        self.durable = self._queue.durable
        self._retries = retries
        self._resend = self.durable if resend is None else resend
        self._max_losses = loss_limit(max_losses, 0 if self.durable else _MAX_LOSSES)
        self._timeout = RequestTimeout()
        self._own_timeouts = self._timeouts = Timeouts(SystemClock())  # without an endpoint it uses its own
        self._state = PendingRequestState()
        self._network: Optional[NetworkClient] = None
        self._on_canceled: Optional[ClientCanceled] = None
        self._check: Optional[Callable[[RequestBundle], Optional[CallFailed]]] = None
        self._opening = threading.Lock()  # one thread at a time opens or closes the queue
        self._opened = False
        self._lock = threading.Lock()  # guards the fields below; `_sender` is read without it
        self._sender: Optional[RequestSender] = None  # `None` when it is not running
        self._paused = False  # by `pause` before `start`

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
            if self._sender is not None:
                return
            self._own_timeouts.start()
            sender = self._sender = RequestSender(
                self._queue,
                self._state,
                self._timeouts,
                self._timeout,
                network.send,
                self._canceled,
                check=self._check,
                retries=self._retries,
                resend=self._resend,
                paused=self._paused,
                losses=ConsecutiveFailures(self._max_losses),
            )
        sender.send_next()  # a queue that outlives the process may hold requests already

    def stop(self) -> None:
        with self._lock:
            sender, self._sender, self._paused = self._sender, None, False
        if sender is not None:
            sender.close()
        with self._opening:
            if self._opened and self._sender is None:
                self._opened = False
                self._queue.close()
        self._own_timeouts.stop()

    def is_running(self) -> bool:
        return self._sender is not None

    def is_paused(self) -> bool:
        sender = self._sender
        return sender.is_paused() if sender is not None else self._paused

    def pause(self) -> None:
        with self._lock:
            sender, self._paused = self._sender, True
        if sender is not None:
            sender.pause()

    def resume(self) -> None:
        with self._lock:
            sender, self._paused = self._sender, False
        if sender is not None:
            sender.resume()

    def send_request(self, bundle: RequestBundle) -> None:
        sender = self._sender
        if sender is None:
            raise NotRunning("the dispatcher is not running")
        sender.push(bundle)

    def complete_request(self, message_id: str) -> bool:
        sender = self._sender
        return sender is not None and sender.complete(message_id)

    def cancel_request(self, message_id: str, error: CallFailed) -> bool:
        sender = self._sender
        return sender is not None and sender.cancel(message_id, error)

    def retry_request(self, message_id: str, error: OCPPError) -> bool:
        sender = self._sender
        return sender is not None and sender.retry(message_id, error)

    def set_timeout(self, timeout: float) -> None:
        self._timeout.set(timeout)

    def set_timeouts(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts

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

    def _canceled(self, message_id: str, request: RequestPayload, error: CallFailed) -> None:
        if self._on_canceled is not None:
            self._on_canceled(message_id, request, error)


class DefaultServerDispatcher(ServerDispatcher):
    """Sends what is in the queues of a map.

    Args:
        queue_map: The queues, by client id. A `FIFOQueueMap` by default.
        max_losses: Only for a durable map, as requests in memory end with their connection: how many connections of a
            client in a row may be lost while the answer to the same request is awaited. Then the request is given up,
            with `ConnectionLost`, and set aside: it may be what crashes the charge point. 0 means no limit, the default
            is 20. Losses are counted in memory, from the start on.

    Raises:
        UsageError: for such a ``max_losses`` as -1.
    """

    # The senders, the queue map and the pending states change together, under `_lock`. Otherwise a client that comes
    # back while its old connection is removed would get tables that are about to be forgotten.

    def __init__(self, queue_map: Optional[ServerQueueMap] = None, *, max_losses: Optional[int] = None) -> None:
        self._queue_map = FIFOQueueMap() if queue_map is None else queue_map
        self.durable = self._queue_map.durable
        self._max_losses = loss_limit(max_losses, _MAX_LOSSES_OF_STORED_COMMANDS)
        self._timeout = RequestTimeout()
        self._own_timeouts = self._timeouts = Timeouts(SystemClock())  # without an endpoint it uses its own
        self._state = ServerState()
        self._network: Optional[NetworkServer] = None
        self._on_canceled: Optional[ServerCanceled] = None
        self._check: Optional[Callable[[str, RequestBundle], Optional[CallFailed]]] = None
        self._lock = threading.Lock()  # guards the fields below; a sender is looked up without it
        self._running = False
        self._losses: Dict[str, ConsecutiveFailures] = {}  # of clients with requests in a durable map
        self._senders: Dict[str, RequestSender] = {}

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
            for client_id in self._senders:
                self._forget(client_id)
            senders, self._senders = self._senders, {}
            self._losses.clear()
            self._running = False
        for sender in senders.values():
            sender.close()
        self._queue_map.close()
        self._own_timeouts.stop()

    def is_running(self) -> bool:
        with self._lock:
            return self._running

    def create_client(self, client_id: str) -> None:
        network = self._network
        if network is None:
            raise NotRunning("the dispatcher has no network: call set_network_server first")
        if self.durable and self.is_running():
            self._queue_map.get_or_create(client_id)  # reads the disk, and the lock must not be held that long
        with self._lock:
            if not self._running:
                raise NotRunning("the dispatcher is not running")
            if client_id in self._senders:
                return
            self._own_timeouts.start()  # a `stop` on another thread may come to an end after the last `start`
            losses = self._losses.setdefault(client_id, ConsecutiveFailures(self._max_losses)) if self.durable else None
            sender = self._senders[client_id] = RequestSender(
                self._queue_map.get_or_create(client_id),
                self._state.get_client_state(client_id),
                self._timeouts,
                self._timeout,
                partial(network.send, client_id),
                partial(self._canceled, client_id),
                check=None if self._check is None else partial(self._check, client_id),
                losses=losses,
            )
        sender.send_next()  # a queue that outlives the connection may hold requests already

    def delete_client(self, client_id: str) -> None:
        lost = self._senders.get(client_id) if self.durable else None
        if lost is not None:
            try:
                lost.pause()  # counts the loss, as long as the queue can still set a request aside
            except Exception:  # from a queue of the program's own
                get_logger().exception("client %r: a request cannot be set aside", client_id)
        with self._lock:
            sender = self._senders.pop(client_id, None)
            if sender is not None:
                self._forget(client_id)
        if sender is not None:
            sender.cancel_all(partial(ConnectionLost, f"client {client_id!r} has disconnected"))

    def send_request(self, client_id: str, bundle: RequestBundle) -> None:
        sender = self._senders.get(client_id)
        if sender is None:
            if not self.is_running():
                raise NotRunning("the dispatcher is not running")
            raise UnknownClient(f"no client {client_id!r} is connected")
        try:
            sender.push(bundle)
        except NotRunning:
            if self.is_running():
                raise UnknownClient(f"client {client_id!r} has disconnected") from None
            raise

    def complete_request(self, client_id: str, message_id: str) -> bool:
        sender = self._senders.get(client_id)
        return sender is not None and sender.complete(message_id)

    def cancel_request(self, client_id: str, message_id: str, error: CallFailed) -> bool:
        while True:
            sender, bundle = self._senders.get(client_id), None
            if sender is None and self.durable and self.is_running():
                # Otherwise it would be sent when the client is back.
                bundle = self._queue_map.withdraw(client_id, message_id)
                sender = self._senders.get(client_id)  # the client may be back since, and the request pending
            if sender is not None and sender.cancel(message_id, error):
                return True
            if bundle is not None:
                break
            if sender is self._senders.get(client_id):
                return False
            # The client has just left or come back: its stored requests were in no sender that was looked at.
        try:
            self._canceled(client_id, message_id, bundle.call.payload, error)
        except BaseException:
            get_logger().exception("a canceled-request callback failed")
        return True

    def set_timeout(self, timeout: float) -> None:
        self._timeout.set(timeout)

    def set_timeouts(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts

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
        """Remove that client from the tables. Called with the lock held."""
        if self.durable:
            queue = self._queue_map.get(client_id)
            if queue is None or queue.is_empty():
                self._losses.pop(client_id, None)
        self._queue_map.remove(client_id)
        self._state.clear_client(client_id)

    def _canceled(self, client_id: str, message_id: str, request: RequestPayload, error: CallFailed) -> None:
        if self._on_canceled is not None:
            self._on_canceled(client_id, message_id, request, error)
