"""`Serving`: does what other nodes ask this one for: calls to the clients that are connected here."""

from __future__ import annotations

import threading
from dataclasses import asdict
from functools import partial
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from ..dispatch.futures import CallFuture
from ..errors import (
    CallFailed,
    CallTimeout,
    ClusterUnavailable,
    ConnectionLost,
    NotRunning,
    OcppjError,
    Stopped,
    UnknownClient,
    UnsupportedFeature,
)
from ..log_limit import LimitedLog
from ..payloads.lenient import decode_leniently
from ..payloads.model import Payload
from ..rpc.endpoint import Endpoint
from .base import Cluster
from .errors_json import error_to_json
from .messages import AnyMessage, CallMessage, Cancel, Check, Disconnect, Ended, Failed, SendMessage, write_message

__all__ = ["WAS_STOPPED", "LocalServer", "Serving"]

WAS_STOPPED = "the process that had the connection was stopped"  # what a call ends with there

_Key = Tuple[str, str, str]  # the node that asked, the client, the message id


class LocalServer(NamedTuple):
    """What `Serving` asks of the server of this process. None of these functions goes to the cluster.

    ``send_request(client_id, request, timeout, signed=, message_id=, once=, offline=, expires=, version=)`` queues a
    request, and returns its future. ``send(client_id, request, signed)`` writes a message that is never answered,
    without waiting for the network, and returns its id. ``close(client_id, code, reason)`` closes a connection.
    ``may_wait`` tells whether ``send_request`` may wait for a disk or a network.
    """

    endpoint: Endpoint
    send_request: Callable[..., CallFuture[Any]]
    send: Callable[[str, Payload, bool], str]
    close: Callable[[str, int, str], object]
    may_wait: bool


class Serving:
    """Runs what comes from other nodes, and replies. No thread waits for the end of a call. Thread-safe.

    Args:
        cluster: Which brings the replies.
        server: The server of this process.
        log: For what cannot be done, and nobody is told.
    """

    def __init__(self, cluster: Cluster, server: LocalServer, log: LimitedLog) -> None:
        self._cluster = cluster
        self._server = server
        self._log = log
        self._features = server.endpoint._features
        self._lock = threading.Lock()
        self._open: Dict[_Key, CallFuture[Any]] = {}  # the calls that have not ended; guarded by the lock

    def __len__(self) -> int:
        return len(self._open)

    def _after_fork(self) -> None:
        """Forget all calls, which are the parent's: see `ocppj.forks`."""
        self._open.clear()

    def serve(self, sender: str, message: AnyMessage, age: float) -> None:
        """Do what the node ``sender`` asked for ``age`` seconds ago."""
        if isinstance(message, CallMessage):
            self._attempt(sender, message, partial(self._call, sender, message, max(0.0, age)))
        elif isinstance(message, SendMessage):
            self._attempt(sender, message, partial(self._send, sender, message, max(0.0, age)))
        elif isinstance(message, Cancel):
            self._cancel(sender, message)
        elif isinstance(message, Check):
            self._check(sender, message)
        elif isinstance(message, Disconnect):
            self._close(message)

    def refuse(self, sender: str, message: Any) -> None:
        """Reply that too much waits here already."""
        words = "too many messages wait in the process that has the connection"
        self._reply_error(sender, message.client_id, message.id, ClusterUnavailable(words, message.id))

    def _attempt(self, sender: str, message: Any, step: Callable[[], None]) -> None:
        """Call ``step``. Reply with what it raises."""
        try:
            step()
        except Exception as error:
            self._reply_error(sender, message.client_id, message.id, error)

    def _call(self, sender: str, message: CallMessage, age: float) -> None:
        left = _left(message.left, age)
        expires = None if message.expires is None else message.expires - age
        if expires is not None and expires <= 0:
            raise _too_late()
        request = self._read_request(message)
        options: Dict[str, Any] = {"signed": message.signed, "message_id": message.id, "once": message.once}
        if message.offline:
            options.update(offline=True, expires=expires, version=message.version)
        future = self._server.send_request(message.client_id, request, left, **options)
        key = sender, message.client_id, message.id
        with self._lock:
            self._open[key] = future
        future.add_done_callback(partial(self._ended, key))

    def _ended(self, key: _Key, future: CallFuture[Any]) -> None:
        """Tell the node that asked how its call has ended; on whatever thread ended it."""
        try:
            self._tell_end(key, future)
        finally:
            with self._lock:  # after it: see `_check`
                if self._open.get(key) is future:
                    del self._open[key]

    def _tell_end(self, key: _Key, future: CallFuture[Any]) -> None:
        sender, client_id, message_id = key
        if future.cancelled():  # that node has asked for it
            return
        try:
            error = future.exception()
            if error is not None:
                self._reply_error(sender, client_id, message_id, error)
                return
            signature = None if future.signature is None else asdict(future.signature)
            ended = Ended(message_id, client_id, future.result().to_wire(), signature)
            self._cluster.reply(sender, write_message(ended))
        except Exception as failure:  # the answer has no form as JSON
            words = f"the answer cannot be passed on: {type(failure).__name__}"
            self._reply_error(sender, client_id, message_id, CallFailed(words, message_id))

    def _send(self, sender: str, message: SendMessage, age: float) -> None:
        _left(message.left, age)
        sent = self._server.send(message.client_id, self._read_request(message), message.signed)
        ended = Ended(message.id, message.client_id, {"message_id": sent})
        self._cluster.reply(sender, write_message(ended))

    def _cancel(self, sender: str, message: Cancel) -> None:
        with self._lock:
            future = self._open.get((sender, message.client_id, message.id))
        if future is not None:
            future.cancel()

    def _check(self, sender: str, message: Check) -> None:
        """Reply if that call has ended. What it has ended with was given to the cluster before this reply."""
        with self._lock:
            known = (sender, message.client_id, message.id) in self._open
        if not known:
            lost = ConnectionLost("it has ended, but its end was lost on the way", message.id)
            self._reply_error(sender, message.client_id, message.id, lost)

    def _close(self, message: Disconnect) -> None:
        try:
            self._server.close(message.client_id, message.code, message.reason)
        except UnknownClient:
            self._log.debug("%s: another process asked to disconnect it, and it has gone", message.client_id)
        except OcppjError as error:
            self._log.warning("%s: another process asked to disconnect it: %s", message.client_id, error)

    def _read_request(self, message: Any) -> Payload:
        """Return the typed request. It is checked when it is encoded again."""
        dialects = {each.version: each for each in self._server.endpoint.dialects}
        dialect = dialects.get(message.version)
        if dialect is None:
            raise UnsupportedFeature(f"the process that has the connection has no profiles of OCPP {message.version}")
        request_type = self._features.of_action(message.action, dialect).request_type
        try:
            return request_type.from_wire(message.payload)
        except Exception:  # it was made with weaker checks
            return decode_leniently(request_type, message.payload)

    def _reply_error(self, sender: str, client_id: str, message_id: str, error: BaseException) -> None:
        if isinstance(error, (Stopped, NotRunning)):  # of this server: the process that asked goes on
            error = ConnectionLost(WAS_STOPPED, message_id)
        self._cluster.reply(sender, write_message(Failed(message_id, client_id, error_to_json(error))))


def _left(seconds: Optional[float], age: float) -> Optional[float]:
    """Return how many of the ``seconds`` are left. Raises `CallTimeout` when none are."""
    if seconds is None:
        return None
    if seconds <= age:
        raise _too_late()
    return seconds - age


def _too_late() -> CallTimeout:
    return CallTimeout("it came too late to the process that has the connection: nothing was sent")
