"""`ClientDispatcher` and `ServerDispatcher`: what a dispatcher promises. The default ones are in `dispatchers`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Callable, List, Optional, Protocol, Sequence, Tuple

from ..errors import CallFailed, ConnectionLost, OCPPError
from ..settings import LoggerLike
from .pending import MayPass, PendingRequestState, ServerState
from .queues import Decoder, RequestBundle, RequestPayload
from .timeouts import Timeouts

__all__ = ["ClientDispatcher", "EndedElsewhere", "NetworkClient", "NetworkServer", "ServerDispatcher"]

#: Called with the message id, the request and the error.
ClientCanceled = Callable[[str, RequestPayload, CallFailed], None]
#: Called with the client id, the message id, the request and the error.
ServerCanceled = Callable[[str, str, RequestPayload, CallFailed], None]


class EndedElsewhere(ConnectionLost):
    """A stored request has ended over another process, which has told its handlers. Here only the future ends."""


class NetworkClient(Protocol):
    """Where a client's dispatcher writes: one frame per `send`, which raises `TransportError`."""

    def send(self, text: str) -> None: ...


class NetworkServer(Protocol):
    """Where a server's dispatcher writes, as `NetworkClient`."""

    def send(self, client_id: str, text: str) -> None: ...


class ClientDispatcher(ABC):
    """Sends a client's requests, one at a time. Every method may be called from any thread, callbacks included."""

    #: Whether requests outlive the process.
    durable: bool = False
    #: Whether `hold` works. ``boot_first`` of `ocppj.Client` needs it.
    can_hold: bool = False

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
        """Send nothing, and let nothing time out, until `resume`: the connection is lost. Requests may still be queued.

        May be called before `start`. A request that has lost too many connections in a row may be given up here.
        """

    @abstractmethod
    def resume(self) -> None:
        """Await the pending request's answer anew, with a new timeout, or send the next request."""

    @abstractmethod
    def set_timeout(self, timeout: float) -> None:
        """Give each request that is sent from now on ``timeout`` seconds to be answered."""

    @abstractmethod
    def send_request(self, bundle: RequestBundle) -> None:
        """Queue ``bundle``, and send it if nothing is pending. A failed write cancels it, with InternalError.

        Raises:
            NotRunning: before `start` and after `stop`.
            QueueFull: when the queue has no room.
        """

    @abstractmethod
    def complete_request(self, message_id: str) -> Optional[bool]:
        """End the pending request, because its answer came, and send the next.

        Return false, and log a line, if that request is not pending: it has ended already. ``None`` counts as true.
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
        """Use the endpoint's timer. Called before `start`. A dispatcher with its own timers may ignore it."""

    def cancel_request(self, message_id: str, error: CallFailed) -> bool:
        """End the request of that id, sent or not, call the canceled callback with ``error``, and go on.

        Return whether there was one. If a dispatcher cannot do this, the request goes on, and its answer is ignored.
        """
        return False

    def refused_request(self, message_id: str, how: str) -> None:
        """Take note that the peer closed the connection because of that request: ``how`` is the text of the `Close`.

        So a peer refuses a frame that is larger than it takes, for example. A request that was refused so too often is
        given up: a durable queue sets it aside. Called before `stop`, but after `pause`. One that counts nothing may
        ignore it.
        """

    def has_request(self, message_id: str) -> bool:
        """Tell whether a request of that id has not ended. Asked for one that a durable queue may have."""
        return False

    def retry_request(self, message_id: str, error: OCPPError) -> bool:
        """Keep the pending request, which was answered with ``error``, if it is to be sent again. Return whether it is.

        If not, nothing has changed, and `complete_request` follows.
        """
        return False

    def hold(self, may_pass: MayPass, keep: Optional[str] = None) -> bool:
        """Send only requests for which ``may_pass(request)`` is true, past all others, until `release` or `stop`.

        May be called before `start`. The pending request goes on. With ``keep``, the id of the pending request, which
        was answered with an error, that one waits in its place again, and nothing is held if this cannot be: it has
        ended, or may pass. Return whether requests are held now. ``may_pass`` is called with locks held, and looks at
        the request alone. Only with ``can_hold``.
        """
        return False

    def release(self) -> None:
        """End what `hold` began, and send the next request."""

    def count_requests(self) -> Optional[int]:
        """Return how many requests wait, the pending one included. ``None``: it is not known."""
        return None

    def count_held(self) -> int:
        """Return how many requests `hold` keeps back."""
        return 0

    def open(self) -> None:
        """Prepare for `start`, before the connection is made. Raises what keeps it from taking requests: a bad file.

        `stop` undoes it.
        """

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        """Log to ``logger``, that of the endpoint; ``None``: that of the process. One that does not may ignore it.

        Lines that name no client are about ``client_id``, that of a client.
        """

    def set_decoder(self, decode: Decoder) -> None:
        """Decode stored requests with ``decode``. Called before `open`. One that stores none may ignore it."""

    def keep_until_settled(self) -> None:
        """Keep a stored request that has ended in its file until `settle_request`. Called before `open`.

        Then a process that dies before the program was told of the end sends the request again. One that stores none
        may ignore it.
        """

    def settle_request(self, message_id: str, told: bool = True) -> None:
        """Forget that request, which has ended: its handlers have returned. Called with no lock held, after `stop` too.

        `stop` may leave a file open for it. If the program was not ``told``, the request is sent again after the next
        `start`.
        """

    def release_files(self) -> None:
        """Close what `stop` has left open for `settle_request`."""

    def set_request_check(self, check: Callable[[RequestBundle], Optional[CallFailed]]) -> None:
        """Call ``check`` before a request is written, and cancel the request with the error that it returns, if any.

        It knows what cannot go over the present connection: a request of another OCPP version. Called before `start`.
        """


class ServerDispatcher(ABC):
    """Sends a server's requests, one at a time per client. Every method may be called from any thread."""

    #: Whether the requests to a client that has disconnected are kept, and sent when it is back.
    durable: bool = False
    #: Whether it takes requests for clients that are not connected: a `RequestBundle` with ``offline``.
    takes_offline: bool = False

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
        """Queue ``bundle`` for that client, and send it if nothing is pending. A failed write cancels it.

        Raises:
            NotRunning: before `start` and after `stop`.
            UnknownClient: when that client is not connected.
            QueueFull: when its queue has no room.
        """

    @abstractmethod
    def complete_request(self, client_id: str, message_id: str) -> Optional[bool]:
        """End that client's pending request, and send the next; as `ClientDispatcher.complete_request`."""

    @abstractmethod
    def delete_client(self, client_id: str) -> None:
        """Discard that client's requests, calling the canceled callback for each, and refuse new ones."""

    @abstractmethod
    def set_on_request_canceled(self, callback: ServerCanceled) -> None:
        """Call ``callback(client id, message id, request, error)`` for each request that ends without an answer."""

    @abstractmethod
    def set_network_server(self, network: NetworkServer) -> None:
        """Write to ``network``."""

    def count_requests(self, client_id: str) -> Optional[int]:
        """Return how many requests wait for that client, the pending one included. ``None``: it is not known."""
        return None

    @abstractmethod
    def set_pending_request_state(self, state: ServerState) -> None:
        """Keep what is pending in ``state``."""

    def create_client(self, client_id: str) -> None:
        """Take requests for that client from now on. Called when the client has connected."""

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Use the endpoint's timer. Called before `start`. A dispatcher with its own timers may ignore it."""

    def cancel_request(self, client_id: str, message_id: str, error: CallFailed) -> bool:
        """End that request, sent or not; as `ClientDispatcher.cancel_request`."""
        return False

    def refused_request(self, client_id: str, message_id: str, how: str) -> None:
        """Take note that the client closed the connection because of that request; as `ClientDispatcher` does.

        Called before `delete_client`.
        """

    def has_request(self, client_id: str, message_id: str) -> bool:
        """Tell whether a request of that id to that client has not ended; as `ClientDispatcher.has_request`."""
        return False

    def send_requests(self, requests: Sequence[Tuple[str, RequestBundle]]) -> List[Optional[Exception]]:
        """Queue each of ``requests`` (client id, request), as `send_request`. A durable queue syncs once for all.

        Return for each ``None``, or the error that `send_request` would raise.
        """
        return [self._try_to_send(client_id, bundle) for client_id, bundle in requests]

    def _try_to_send(self, client_id: str, bundle: RequestBundle) -> Optional[Exception]:
        try:
            self.send_request(client_id, bundle)
        except Exception as error:
            return error
        return None

    def set_booted(self, client_id: str, booted: bool) -> None:
        """Send that client what was made with ``offline``, or hold it: whether its BootNotification was accepted.

        Called before `create_client`, and when it changes. Only if `takes_offline`.
        """

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        """Log to ``logger``, that of the endpoint; ``None``: that of the process. One that does not may ignore it.

        Lines that name no client are about ``client_id``, that of a client.
        """

    def set_decoder(self, decode: Decoder) -> None:
        """Decode stored requests with ``decode``. Called before `start`. One that stores none may ignore it."""

    def keep_until_settled(self) -> None:
        """Keep a stored request that has ended; as `ClientDispatcher.keep_until_settled`."""

    def settle_request(self, client_id: str, message_id: str, told: bool = True) -> None:
        """Forget that request of that client; as `ClientDispatcher.settle_request`."""

    def release_files(self) -> None:
        """Close what `stop` has left open; as `ClientDispatcher.release_files`."""

    def set_request_check(self, check: Callable[[str, RequestBundle], Optional[CallFailed]]) -> None:
        """Call ``check(client id, request)`` before it is written; as `ClientDispatcher.set_request_check`."""
