"""The default dispatchers. A client's holds one `RequestSender`, a server's holds one per client."""

from __future__ import annotations

import threading
from functools import partial
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from ..callables import raise_interrupt
from ..clock import SystemClock
from ..errors import CallFailed, ConnectionLost, NotRunning, OCPPError, QueueFull, UnknownClient
from ..forks import forget_parent, register
from ..log_limit import part_log
from ..option_checks import check_options
from ..settings import LoggerLike
from .expiry import Expiries, expiry_of, has_expired
from .interfaces import (
    ClientCanceled,
    ClientDispatcher,
    EndedElsewhere,
    NetworkClient,
    NetworkServer,
    ServerCanceled,
    ServerDispatcher,
)
from .overflow import log_drop
from .pending import MayPass, PendingRequestState, ServerState
from .queues import Decoder, FIFOClientQueue, FIFOQueueMap, RequestBundle, RequestPayload, RequestQueue, ServerQueueMap
from .request_sender import RequestSender
from .retries import ConsecutiveFailures, TransactionRetries, loss_limit
from .timeouts import DEFAULT_TIMEOUT, RequestTimeout, Timeouts

__all__ = ["DEFAULT_TIMEOUT", "DefaultClientDispatcher", "DefaultServerDispatcher"]

# The defaults of ``max_losses``. In memory: 5 losses take some minutes, with the usual waits between connections, and
# the caller gets the error. In a server's file: a charge point that crashes at a command has restarted that often.
_MAX_LOSSES = 5
_MAX_LOSSES_OF_STORED_COMMANDS = 20
# The default of ``max_refusals``. A Close with such a code says that the next one will follow.
_MAX_REFUSALS = 3


# How often it is tried to store a request.
_ATTEMPTS = 5


def _is_not_offline(bundle: RequestBundle) -> bool:
    return not bundle.offline


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
        max_refusals: How many connections the peer may close because of the same request (see `refused_request`). Then
            it is given up in the same way. 0 means no limit. The default is 3. Counted in memory, for as long as the
            dispatcher lives.

    Raises:
        UsageError: for such a ``max_losses`` or ``max_refusals`` as -1.
    """

    can_hold = True

    def __init__(
        self,
        queue: Optional[RequestQueue] = None,
        *,
        retries: Optional[TransactionRetries] = None,
        resend: Optional[bool] = None,
        max_losses: Optional[int] = None,
        max_refusals: Optional[int] = None,
    ) -> None:
        check_options("DefaultClientDispatcher", locals())
        self._log = part_log("queue")
        self._queue = FIFOClientQueue() if queue is None else queue
        self.durable: bool = self._queue.durable
        self._retries = retries
        self._resend = self.durable if resend is None else resend
        self._max_losses = loss_limit(max_losses, 0 if self.durable else _MAX_LOSSES)
        # Not for each start: a program may connect anew after each loss.
        self._refusals = ConsecutiveFailures(loss_limit(max_refusals, _MAX_REFUSALS))
        self._timeout = RequestTimeout()
        self._own_timeouts = self._timeouts = Timeouts(
            SystemClock(), log=self._log
        )  # without an endpoint it uses its own
        self._state = PendingRequestState()
        self._network: Optional[NetworkClient] = None
        self._on_canceled: Optional[ClientCanceled] = None
        self._check: Optional[Callable[[RequestBundle], Optional[CallFailed]]] = None
        self._opening = threading.Lock()  # one thread at a time opens or closes the queue
        self._opened = False
        self._left_open = False  # stopped, while requests that have ended are not settled
        self._detaching = False
        self._lock = threading.Lock()  # guards the fields below; `_sender` is read without it
        self._sender: Optional[RequestSender] = None  # `None` when it is not running
        self._paused = False  # by `pause` before `start`
        self._may_pass: Optional[MayPass] = None  # by `hold` before `start`
        register(self)

    def _after_fork(self) -> None:
        """Send nothing: the requests are the parent's. See `ocppj.forks`."""
        self._sender, self._paused, self._may_pass = None, False, None
        self._opened = self._left_open = False
        forget_parent(self._queue)

    def open(self) -> None:
        with self._opening:
            if not self._opened:
                self._queue.init()  # before requests are taken: it may empty the queue
                self._opened, self._left_open = True, False

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
                may_pass=self._may_pass,
                losses=ConsecutiveFailures(self._max_losses),
                detaching=self._detaching,
                refusals=self._refusals,
                log=self._log,
            )
        sender.send_next()  # a queue that outlives the process may hold requests already

    def stop(self) -> None:
        with self._lock:
            sender, self._sender, self._paused, self._may_pass = self._sender, None, False, None
        if sender is not None:
            sender.close()
        with self._opening:
            if self._opened and self._sender is None:
                self._opened = False
                self._left_open = self._detaching and self._queue.unsettled() > 0
                if not self._left_open:
                    self._queue.close()
        self._own_timeouts.stop()

    def keep_until_settled(self) -> None:
        self._detaching = self.durable

    def settle_request(self, message_id: str, told: bool = True) -> None:
        self._queue.settle(message_id, told)
        if self._sender is None and not self._queue.unsettled():
            self.release_files()

    def release_files(self) -> None:
        with self._opening:
            if self._left_open:
                self._left_open = False
                self._queue.close()

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

    def hold(self, may_pass: MayPass, keep: Optional[str] = None) -> bool:
        with self._lock:
            sender = self._sender
            if sender is None and keep is None:
                self._may_pass = may_pass
        return keep is None if sender is None else sender.hold(may_pass, keep)

    def release(self) -> None:
        with self._lock:
            sender, self._may_pass = self._sender, None
        if sender is not None:
            sender.release()

    def count_requests(self) -> Optional[int]:
        return len(self._queue)

    def count_held(self) -> int:
        sender = self._sender
        return 0 if sender is None else sender.count_held()

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

    def refused_request(self, message_id: str, how: str) -> None:
        sender = self._sender
        if sender is not None:
            sender.refused(message_id, how)

    def has_request(self, message_id: str) -> bool:
        sender = self._sender
        return sender is not None and sender.has(message_id)

    def retry_request(self, message_id: str, error: OCPPError) -> bool:
        sender = self._sender
        return sender is not None and sender.retry(message_id, error)

    def set_timeout(self, timeout: float) -> None:
        self._timeout.set(timeout)

    def set_timeouts(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        self._log.use(logger, client_id)
        self._queue.set_logger(logger, client_id)

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
        max_refusals: Only for a durable map, too: how many connections a client may close because of the same request.
            Then it is set aside. 0 means no limit, the default is 3. Counted in memory, from the start on.

    Raises:
        UsageError: for such a ``max_losses`` or ``max_refusals`` as -1.
    """

    # The senders, the queue map and the pending states change together, under `_lock`. Otherwise a client that comes
    # back while its old connection is removed would get tables that are about to be forgotten.

    def __init__(
        self,
        queue_map: Optional[ServerQueueMap] = None,
        *,
        max_losses: Optional[int] = None,
        max_refusals: Optional[int] = None,
    ) -> None:
        check_options("DefaultServerDispatcher", locals())
        self._log = part_log("queue")
        self._queue_map = FIFOQueueMap() if queue_map is None else queue_map
        self.durable: bool = self._queue_map.durable
        self.takes_offline: bool = self._queue_map.takes_offline
        self._queue_map.set_owner(self)
        self._expiries = Expiries(self._queue_map, self.cancel_request, self._log)
        self._max_losses = loss_limit(max_losses, _MAX_LOSSES_OF_STORED_COMMANDS)
        self._max_refusals = loss_limit(max_refusals, _MAX_REFUSALS)
        self._timeout = RequestTimeout()
        self._own_timeouts = self._timeouts = Timeouts(
            SystemClock(), log=self._log
        )  # without an endpoint it uses its own
        self._state = ServerState()
        self._network: Optional[NetworkServer] = None
        self._on_canceled: Optional[ServerCanceled] = None
        self._check: Optional[Callable[[str, RequestBundle], Optional[CallFailed]]] = None
        self._lock = threading.Lock()  # guards the fields below; a sender is looked up without it
        self._running = False
        self._left_open = False  # stopped, while requests that have ended are not settled
        self._detaching = False
        # Of clients with requests in a durable map:
        self._losses: Dict[str, ConsecutiveFailures] = {}
        self._refusals: Dict[str, ConsecutiveFailures] = {}
        self._booted: Set[str] = set()  # clients whose requests made with ``offline`` are not held
        self._senders: Dict[str, RequestSender] = {}
        register(self)

    def _after_fork(self) -> None:
        """Send nothing: the requests are the parent's. See `ocppj.forks`."""
        self._running = self._left_open = False
        self._losses, self._refusals, self._booted, self._senders = {}, {}, set(), {}
        forget_parent(self._queue_map)

    def start(self) -> None:
        if self._network is None:
            raise NotRunning("the dispatcher has no network: call set_network_server first")
        with self._lock:
            if self._running:
                return
            self._queue_map.init()  # before requests are taken: it may empty the queues
            self._running, self._left_open = True, False
        if self.takes_offline:
            self._own_timeouts.start()
            self._expiries.begin(self._timeouts)

    def stop(self) -> None:
        with self._lock:
            self._booted.clear()
            for client_id in self._senders:
                self._forget(client_id)
            senders, self._senders = self._senders, {}
            self._losses.clear()
            self._refusals.clear()
            self._running = False
        for sender in senders.values():
            sender.close()
        with self._lock:
            self._left_open = self._detaching and not self._running and self._queue_map.unsettled() > 0
            left_open = self._left_open
        if not left_open:
            self._queue_map.close()
        self._own_timeouts.stop()

    def keep_until_settled(self) -> None:
        self._detaching = self.durable

    def settle_request(self, client_id: str, message_id: str, told: bool = True) -> None:
        self._queue_map.settle(client_id, message_id, told)
        if not self._running and not self._queue_map.unsettled():
            self.release_files()

    def release_files(self) -> None:
        with self._lock:  # as `start` opens them
            if self._left_open:
                self._left_open = False
                self._queue_map.close()

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
            losses = refusals = None
            if self.durable:
                losses = self._losses.setdefault(client_id, ConsecutiveFailures(self._max_losses))
                refusals = self._refusals.setdefault(client_id, ConsecutiveFailures(self._max_refusals))
            sender = self._senders[client_id] = RequestSender(
                self._queue_map.get_or_create(client_id),
                self._state.get_client_state(client_id),
                self._timeouts,
                self._timeout,
                partial(network.send, client_id),
                partial(self._canceled, client_id),
                check=self._check_for(client_id),
                may_pass=_is_not_offline if self.takes_offline and client_id not in self._booted else None,
                losses=losses,
                detaching=self._detaching,
                refusals=refusals,
                log=self._log,
                client_id=client_id,
            )
        sender.send_next()  # a queue that outlives the connection may hold requests already

    def delete_client(self, client_id: str) -> None:
        lost = self._senders.get(client_id) if self.durable else None
        if lost is not None:
            try:
                lost.pause()  # counts the loss, as long as the queue can still set a request aside
            except Exception:  # from a queue of the program's own
                self._log.exception("client %r: a request cannot be set aside", client_id, client_id=client_id)
        with self._lock:
            self._booted.discard(client_id)
            sender = self._senders.pop(client_id, None)
            if sender is not None:
                self._forget(client_id)
        if sender is not None:
            sender.cancel_all(partial(ConnectionLost, "the connection was lost"))

    def send_request(self, client_id: str, bundle: RequestBundle) -> None:
        sender = self._senders.get(client_id)
        if sender is not None:
            try:
                sender.push(bundle)
                if bundle.expires is not None:  # not before: a look that finds no such request yet does not come again
                    self._expiries.watch(bundle.expires, self._timeouts)
                return
            except NotRunning:  # the client has just left
                pass
        if not self.is_running():
            raise NotRunning("the dispatcher is not running")
        if not bundle.offline:
            raise UnknownClient(f"no client {client_id!r} is connected")
        self._store(client_id, bundle)

    def send_requests(self, requests: Sequence[Tuple[str, RequestBundle]]) -> List[Optional[Exception]]:
        if not self.durable or not self.is_running():
            return super().send_requests(requests)
        ready = [each for each in requests if each[1].offline or each[0] in self._senders]
        ends = dict(zip((id(bundle) for _, bundle in ready), self._queue_map.push_all(ready)))
        return [self._end_of_push(*each, ends) for each in requests]

    def _end_of_push(
        self, client_id: str, bundle: RequestBundle, ends: Mapping[int, Optional[Exception]]
    ) -> Optional[Exception]:
        """Go on with a request that was pushed with others. Return why it could not be queued, if so."""
        error = ends.get(id(bundle))
        if id(bundle) not in ends or isinstance(error, (NotRunning, QueueFull)):
            return self._try_to_send(client_id, bundle)  # the client may be back, or the policy may drop another
        if error is None:
            try:
                self._queued(client_id, bundle)
            except Exception as failure:  # from a queue of the program's own
                error = failure
        return error

    def _store(self, client_id: str, bundle: RequestBundle) -> None:
        """Keep a request for a client that is not connected, or was not a moment ago."""
        for _ in range(_ATTEMPTS):  # its client may come or leave at any moment
            error = self._queue_map.push_all([(client_id, bundle)])[0]
            sender = self._senders.get(client_id)
            try:
                if error is None:
                    self._queued(client_id, bundle)
                elif sender is not None:
                    sender.push(bundle)
                elif isinstance(error, QueueFull):
                    dropped = self._queue_map.push_in_place(client_id, bundle)
                    self._queued(client_id, bundle)
                    if dropped is not None:
                        self._report(client_id, dropped, log_drop(dropped, bundle, self._log, client_id))
                elif not isinstance(error, NotRunning):
                    raise error
                else:
                    continue
                return
            except NotRunning:
                continue
        raise NotRunning("the dispatcher is not running")

    def _queued(self, client_id: str, bundle: RequestBundle) -> None:
        """Send ``bundle``, which is in the queue by now, if its client is there."""
        if bundle.expires is not None:
            self._expiries.watch(bundle.expires, self._timeouts)
        sender = self._senders.get(client_id)
        if sender is not None:
            sender.push(bundle, queued=True)

    def set_booted(self, client_id: str, booted: bool) -> None:
        if not self.takes_offline:
            return
        with self._lock:
            if booted:
                self._booted.add(client_id)
            else:
                self._booted.discard(client_id)
            sender = self._senders.get(client_id)
        if sender is not None and booted:
            sender.release()
        elif sender is not None:
            sender.hold(_is_not_offline)

    def is_pending(self, client_id: str, message_id: str) -> bool:
        sender = self._senders.get(client_id)
        return sender is not None and sender.is_pending(message_id)

    def queue_grew(self, client_id: str, bundles: Sequence[RequestBundle]) -> None:
        for bundle in bundles:
            if bundle.expires is not None:
                self._expiries.watch(bundle.expires, self._timeouts)
        sender = self._senders.get(client_id)
        if sender is not None:
            sender.send_next()

    def ended_elsewhere(self, client_id: str, message_id: str) -> None:
        error = EndedElsewhere("the request has ended over another process", message_id)
        self._canceled(client_id, message_id, {}, error)

    def complete_request(self, client_id: str, message_id: str) -> bool:
        sender = self._senders.get(client_id)
        return sender is not None and sender.complete(message_id)

    def cancel_request(self, client_id: str, message_id: str, error: CallFailed) -> bool:
        while True:
            sender, bundle = self._senders.get(client_id), None
            if sender is None and self.durable and self.is_running():
                # Otherwise it would be sent when the client is back.
                withdraw = self._queue_map.detach if self._detaching else self._queue_map.withdraw
                bundle = withdraw(client_id, message_id)
                sender = self._senders.get(client_id)  # the client may be back since, and the request pending
            if sender is not None and sender.cancel(message_id, error):
                return True
            if bundle is not None:
                break
            if sender is self._senders.get(client_id):
                return False
            # The client has just left or come back: its stored requests were in no sender that was looked at.
        self._report(client_id, bundle, error)
        return True

    def _report(self, client_id: str, bundle: RequestBundle, error: CallFailed) -> None:
        try:
            self._canceled(client_id, bundle.message_id, bundle.call.payload, error)
        except BaseException as failure:
            about = {"client_id": client_id, "action": bundle.call.action, "message_id": bundle.message_id}
            self._log.exception("a canceled-request callback failed", **about)
            raise_interrupt(failure)

    def _check_for(self, client_id: str) -> Optional[Callable[[RequestBundle], Optional[CallFailed]]]:
        """Return what a request sender asks before it writes."""
        check = None if self._check is None else partial(self._check, client_id)
        if not self.takes_offline:
            return check

        def refuse(bundle: RequestBundle) -> Optional[CallFailed]:
            if has_expired(bundle, self._timeouts):  # the timer may be late
                return expiry_of(bundle.message_id)
            return None if check is None else check(bundle)

        return refuse

    def refused_request(self, client_id: str, message_id: str, how: str) -> None:
        sender = self._senders.get(client_id) if self.durable else None
        if sender is not None:
            sender.refused(message_id, how)

    def count_requests(self, client_id: str) -> Optional[int]:
        with self._lock:
            queue = self._queue_map.get(client_id)
            return None if queue is None else len(queue)

    def has_request(self, client_id: str, message_id: str) -> bool:
        sender = self._senders.get(client_id)
        return self._queue_map.has_stored(client_id, message_id) if sender is None else sender.has(message_id)

    def set_timeout(self, timeout: float) -> None:
        self._timeout.set(timeout)

    def set_timeouts(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        self._log.use(logger, client_id)
        self._queue_map.set_logger(logger, client_id)

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
                self._refusals.pop(client_id, None)
        self._queue_map.remove(client_id)
        self._state.clear_client(client_id)

    def _canceled(self, client_id: str, message_id: str, request: RequestPayload, error: CallFailed) -> None:
        if self._on_canceled is not None:
            self._on_canceled(client_id, message_id, request, error)
