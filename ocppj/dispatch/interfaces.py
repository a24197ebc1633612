"""`ClientDispatcher` and `ServerDispatcher`: what a dispatcher promises. The default ones are in `dispatchers`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Callable, Optional, Protocol

from ..errors import CallFailed, OCPPError
from .pending import PendingRequestState, ServerState
from .queues import Decoder, RequestBundle, RequestPayload
from .timeouts import Timeouts

__all__ = ["ClientDispatcher", "NetworkClient", "NetworkServer", "ServerDispatcher"]

#: Called with the message id, the request and the error.
ClientCanceled = Callable[[str, RequestPayload, CallFailed], None]
#: Called with the client id, the message id, the request and the error.
ServerCanceled = Callable[[str, str, RequestPayload, CallFailed], None]


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

    def retry_request(self, message_id: str, error: OCPPError) -> bool:
        """Keep the pending request, which was answered with ``error``, if it is to be sent again. Return whether it is.

        If not, nothing has changed, and `complete_request` follows.
        """
        return False

    def open(self) -> None:
        """Prepare for `start`, before the connection is made. Raises what keeps it from taking requests: a bad file.

        `stop` undoes it.
        """

    def set_decoder(self, decode: Decoder) -> None:
        """Decode stored requests with ``decode``. Called before `open`. One that stores none may ignore it."""

    def set_request_check(self, check: Callable[[RequestBundle], Optional[CallFailed]]) -> None:
        """Call ``check`` before a request is written, and cancel the request with the error that it returns, if any.

        It knows what cannot go over the present connection: a request of another OCPP version. Called before `start`.
        """


class ServerDispatcher(ABC):
    """Sends a server's requests, one at a time per client. Every method may be called from any thread."""

    #: Whether the requests to a client that has disconnected are kept, and sent when it is back.
    durable: bool = False

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

    def set_decoder(self, decode: Decoder) -> None:
        """Decode stored requests with ``decode``. Called before `start`. One that stores none may ignore it."""

    def set_request_check(self, check: Callable[[str, RequestBundle], Optional[CallFailed]]) -> None:
        """Call ``check(client id, request)`` before it is written; as `ClientDispatcher.set_request_check`."""
