"""`RemoteCalls`: the calls of this node to clients of other nodes, and how each of them ends.

A call is noted in a table before it is posted. It ends once, whatever comes together: an answer, an error of the other
node, its deadline, a cancellation, the end of the other node, `stop`. Whoever takes it out of the table ends it.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Callable, ContextManager, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple, Type, cast

from ..dispatch.futures import AnyCall, AwaitedCall, CallFuture, OpenCall
from ..dispatch.timeouts import Timeouts
from ..errors import (
    CallTimeout,
    ClusterUnavailable,
    ConnectionLost,
    InvalidResponse,
    MessageError,
    NoHandlerSlot,
    NotRunning,
    OcppjError,
    Stopped,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
    WouldDeadlock,
)
from ..exchange.caller import EXCUSED
from ..exchange.described import described
from ..exchange.watches import Watched, Watches
from ..option_checks import check_option
from ..payloads.lenient import decode_later
from ..payloads.model import Payload
from ..recent import Recent
from ..rpc.dialect import Dialect
from ..rpc.endpoint import Endpoint
from ..rpc.messages import CallResult, SignatureResult, check_message_id
from ..secrets import mask_secrets
from ..ws.connection.channel import check_close_code, cut_reason
from .base import Cluster
from .errors_json import error_from_json
from .messages import AnyMessage, CallMessage, Cancel, Check, Disconnect, Ended, Failed, SendMessage, write_message

__all__ = ["HAS_ENDED", "RemoteCalls"]

#: Seconds that the verdict of the other node has to arrive after the deadline of a call.
GRACE = 0.5
#: What a call ends with when the node that had it is gone.
HAS_ENDED = "the process that had the connection has ended"
#: Seconds between two checks whether the other nodes still have the calls that have no deadline.
CHECKS = 60.0
_NO_ANSWER = "no answer within"
_REMEMBERED = 1000  # nodes that have gone


class Sender(NamedTuple):
    """What `RemoteCalls` needs of the endpoint whose calls it makes."""

    endpoint: Endpoint
    timeouts: Timeouts  # for the deadlines
    timeout: float  # seconds of a call that says nothing of it
    waiting: Callable[[], ContextManager[Any]]  # in which a thread waits for an end
    now: Callable[[], Any]  # the time, for errors
    name: str  # for errors
    watches: Optional[Watches] = None  # told of the calls


class _Remote:
    """A call that has not ended."""

    __slots__ = ("action", "call", "client_id", "dialect", "goings", "node", "outages", "seconds", "withdrawn")

    def __init__(self, message: Any, call: AnyCall, dialect: Dialect, seconds: Optional[float]) -> None:
        self.client_id: str = message.client_id
        self.action: str = message.action
        self.call = call
        self.dialect = dialect
        self.seconds = seconds  # until its deadline
        self.node: Optional[str] = None  # that has it; ``None``: it is being posted
        self.outages = 0  # of the cluster, before it
        self.goings = 0  # of nodes, before it
        self.withdrawn = False  # the other node is to forget it


class _Asked:
    """The one pending request, as `Endpoint.parse_message` needs it."""

    def __init__(self, request: Payload) -> None:
        self._request = request

    def get(self, message_id: str) -> Optional[Any]:
        return self._request


class RemoteCalls:
    """The calls to clients of other nodes. Thread-safe.

    Args:
        cluster: Which moves the messages.
        sender: The endpoint whose calls they are.
    """

    def __init__(self, cluster: Cluster, sender: Sender) -> None:
        self._cluster = cluster
        self._sender = sender
        self._endpoint = sender.endpoint
        self._features = sender.endpoint._features
        self._lock = threading.Lock()  # guards what follows
        self._open: Dict[Tuple[str, str], _Remote] = {}  # by client and message id
        self._gone: Recent[str, int] = Recent(_REMEMBERED)  # the last going of each node
        self._goings = 0
        self._outages = 0
        self._checks = False  # whether there will be a check
        self._stopped = True
        self._local = threading.local()  # .answering: this thread brings the answers

    # Life cycle

    def start(self) -> None:
        """Take calls."""
        with self._lock:
            self._stopped = self._checks = False

    def stop(self) -> None:
        """Take no more calls, and end all with `Stopped`."""
        with self._lock:
            self._stopped = True
            remotes, self._open = list(self._open.values()), {}
        for remote in remotes:
            self._withdraw(remote)
            self._fail(remote, Stopped("stopped before the answer came", remote.call.message_id))

    def _after_fork(self) -> None:
        """Forget all calls, which are the parent's: see `ocppj.forks`."""
        remotes, self._open = list(self._open.values()), {}
        self._stopped = True
        self._gone.clear()
        for remote in remotes:
            if isinstance(remote.call, OpenCall):
                remote.call.future._after_fork()

    def __len__(self) -> int:
        return len(self._open)

    # Calls

    def call(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float] = None,
        signed: bool = False,
        message_id: Optional[str] = None,
    ) -> Any:
        """Send ``request`` to a client of another node, wait, and return the typed response; see `Server.call`."""
        self._refuse_answering("call()")
        with self._waits(client_id, request):  # first: if this handler must not wait, nothing is sent
            dialect, message = self._prepare(client_id, request, timeout, signed, message_id)
            return self._await(dialect, request, message, message.left)

    def send_request(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float] = None,
        signed: bool = False,
        message_id: Optional[str] = None,
        *,
        offline: bool = False,
        expires: Optional[float] = None,
        version: Optional[str] = None,
    ) -> CallFuture[Any]:
        """Have the other node queue ``request``, and return its future; see `Server.send_request`.

        With ``offline`` it has no end but ``expires`` and ``timeout``. ``version`` is that of the client, if it is
        known.
        """
        dialect, message = self._prepare(client_id, request, timeout, signed, message_id, version)
        left = message.left
        if offline:
            left = timeout if timeout is not None else expires
            message = message._replace(offline=True, expires=expires, left=timeout)
        message = message._replace(once=False)
        withdraw = partial(self._give_up, client_id)
        future: CallFuture[Any] = CallFuture(message.id, withdraw, self._waiting, self._endpoint.safe_log)
        self._begin(dialect, OpenCall(request, future), message, left)
        return future

    def send(self, client_id: str, request: Payload, signed: bool = False) -> str:
        """Have the other node send a message that is never answered, wait until it has, and return its id."""
        self._refuse_answering("send()")
        with self._waits(client_id, request):
            dialect = self._dialect_of(client_id, type(request), None)
            made = self._endpoint.create_send(request, dialect, client_id)
            parts = made.unique_id, client_id, dialect.version, made.action, made.wire_payload or {}
            message = SendMessage(*parts, left=self._sender.timeout, signed=signed)
            return str(self._await(dialect, request, message, message.left))

    def disconnect(self, client_id: str, code: int = 1000, reason: str = "") -> None:
        """Have the other node close that client's connection. Raises `UnknownClient`, and `UsageError` for the code."""
        self._check_running()
        check_close_code(code)
        self._post(Disconnect(client_id, code, cut_reason(reason)))

    def send_to_all(
        self,
        client_ids: Iterable[str],
        request: Payload,
        timeout: Optional[float],
        versions: Optional[Mapping[str, Any]] = None,
        excused: Tuple[Type[Exception], ...] = EXCUSED,
    ) -> Dict[str, CallFuture[Any]]:
        """Queue ``request`` for each client; what is ``excused`` fails the future of its client."""
        futures: Dict[str, CallFuture[Any]] = {}
        known = versions or {}
        for client_id in client_ids:
            try:
                futures[client_id] = self.send_request(client_id, request, timeout, version=known.get(client_id))
            except excused as error:
                futures[client_id] = CallFuture.failed(self._described(error, client_id, "", self._action_of(request)))
        return futures

    def is_answering(self) -> bool:
        """Tell whether the calling thread is the one that brings the answers."""
        return getattr(self._local, "answering", False)

    # What is told of the others, on a thread of the cluster

    def receive(self, sender: str, message: AnyMessage) -> None:
        """End the call that an answer, or an error, of the node ``sender`` is about."""
        if not isinstance(message, (Ended, Failed)):
            return
        remote = self._take(message.client_id, message.id, sender)
        if remote is None:
            return  # it has ended
        with _Answering(self._local):
            if isinstance(message, Failed):
                self._fail(remote, self._read_error(remote, message))
            else:
                self._end_well(remote, message)

    def node_gone(self, node_id: str) -> None:
        """End the calls that the node ``node_id`` has."""
        with self._lock:
            self._goings += 1
            self._gone.remember(node_id, self._goings)
            keys = self._keys_of(node_id)
        with _Answering(self._local):
            for key in keys:
                remote = self._take(*key, node_id)
                if remote is not None:
                    self._fail(remote, _lost(remote))

    def availability_changed(self, available: bool) -> None:
        """Note that the cluster can be reached again, or no more. The calls go on until their deadlines.

        An end may have been lost meanwhile: so the other nodes are asked for the calls that have no deadline.
        """
        if available:
            self._check_endless()
            return
        with self._lock:
            self._outages += 1

    # Sending

    def _prepare(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float],
        signed: bool,
        message_id: Optional[str],
        version: Optional[str] = None,
    ) -> Tuple[Dialect, CallMessage]:
        """Check and encode ``request``."""
        self._check_running()
        if not isinstance(client_id, str) or not client_id:
            raise UnknownClient(f"no client {client_id!r} is connected")
        if not isinstance(request, Payload):
            raise UsageError(f"a request is an object of a message type, not {mask_secrets(repr(request))}")
        if timeout is not None:
            check_option("call", "timeout", timeout)
            if timeout <= 0:
                expiry = CallTimeout(f"no answer within {timeout:g} seconds: nothing was sent")
                raise self._described(expiry, client_id, message_id, self._action_of(request))
        if message_id is not None:
            check_message_id(message_id)
        dialect = self._dialect_of(client_id, type(request), version)
        call = self._endpoint.create_call(request, dialect, message_id, client_id)
        left = self._sender.timeout if timeout is None else timeout
        payload = call.wire_payload or {}
        return dialect, CallMessage(call.unique_id, client_id, dialect.version, call.action, payload, left, signed)

    def _dialect_of(self, client_id: str, request_type: Type[Payload], version: Optional[str]) -> Dialect:
        """Return the OCPP version to make a request in: the only one that has it, or that of the connection."""
        dialects = self._features.dialects_of(request_type)
        if len(dialects) == 1:
            return dialects[0]
        if version is None:
            holder = self._cluster.holder_of(client_id)
            if holder is None:
                raise UnknownClient(f"no client {client_id!r} is connected to any process")
            version = str(holder.about.get("version", ""))
        for dialect in dialects:
            if dialect.version == version:
                return dialect
        raise UnsupportedFeature(f"no profile of OCPP {version} has {request_type.__name__}")

    def _await(self, dialect: Dialect, request: Payload, message: Any, seconds: Optional[float]) -> Any:
        call, timeouts = AwaitedCall(request, message.id), self._sender.timeouts
        try:
            self._begin(dialect, call, message, seconds)
            if timeouts.unarmed:  # no thread ends calls in time: this one does
                timeouts.stand_in(call.has_ended)
            return call.wait()
        except BaseException:
            self._give_up_call(message.client_id, call)  # an interrupted wait leaves nothing behind
            raise

    def _begin(self, dialect: Dialect, call: AnyCall, message: Any, seconds: Optional[float]) -> None:
        """Note that ``call`` is open, and post its message. It ends after ``seconds``."""
        remote = _Remote(message, call, dialect, seconds)
        watches = self._sender.watches
        if watches is not None and watches.all:
            call.on_end = watches.call_began(Watched(remote.client_id, dialect.version, remote.action, message.id))
        try:
            self._add(remote)
        except OcppjError as error:
            call.fail(error)
            raise
        try:
            if seconds is not None:
                call.expire_by(self._sender.timeouts.add(seconds + GRACE, partial(self._expire, remote)))
            node = self._post(message, seconds)
        except Exception as error:
            self._described(error, remote.client_id, call.message_id, remote.action)
            if self._discard(remote):
                self._fail(remote, error)
            raise
        except BaseException:  # such as KeyboardInterrupt: it may be posted
            self._give_up_call(message.client_id, call)
            raise
        self._note_node(remote, node)
        if seconds is None:
            self._check_later()

    def _check_later(self) -> None:
        """Have there be a check, unless there will be one."""
        with self._lock:
            waits, self._checks = self._checks, True
        if not waits:
            self._sender.timeouts.add(CHECKS, self._check)

    def _check(self) -> None:
        with self._lock:
            self._checks = False
        if self._check_endless():
            self._check_later()

    def _check_endless(self) -> bool:
        """Ask the other nodes whether they have the calls without a deadline. Return whether there are any."""
        with self._lock:
            remotes = list(self._open.values())
        endless = [remote for remote in remotes if remote.seconds is None]
        for remote in endless:
            if remote.node is not None:
                self._cluster.reply(remote.node, write_message(Check(remote.call.message_id, remote.client_id)))
        return bool(endless)

    def _post(self, message: AnyMessage, seconds: Optional[float] = None) -> str:
        client_id = message.client_id
        node = self._cluster.post(client_id, write_message(message), seconds)
        if node is None:
            raise UnknownClient(f"no client {client_id!r} is connected to any process")
        return node

    def _note_node(self, remote: _Remote, node: str) -> None:
        with self._lock:
            remote.node = node
            withdrawn, gone = remote.withdrawn, self._gone.get(node, 0) > remote.goings
        if withdrawn:
            self._tell_cancel(remote, node)
        if gone and self._discard(remote):  # in between; a node may also come back
            self._fail(remote, _lost(remote))

    # Ends

    def _end_well(self, remote: _Remote, message: Ended) -> None:
        call = remote.call
        if self._features.of_request(type(call.request), remote.dialect).response_type is None:  # of `send`
            sent: Any = str(message.payload.get("message_id", call.message_id))
            call.answer(sent)
            return
        try:
            fields, asked = [3, call.message_id, message.payload], _Asked(call.request)
            result = self._endpoint.parse_message(fields, asked, remote.dialect, remote.client_id)
            response = cast(Payload, cast(CallResult, result).payload)
            signature = None if message.signature is None else _signature(message.signature)
        except MessageError as error:
            self._fail(remote, InvalidResponse(error, call.message_id))
        except Exception as error:
            self._fail(remote, UsageError(f"the answer of another process cannot be read: {type(error).__name__}"))
        else:
            call.answer(response, signature)

    def _read_error(self, remote: _Remote, message: Failed) -> OcppjError:
        error = error_from_json(message.error)
        if isinstance(error, CallTimeout) and error.description.startswith(_NO_ANSWER):  # it names what was left
            return _timed_out(remote)
        if isinstance(error, InvalidResponse) and isinstance(error.payload, dict):
            feature = self._features.of_request(type(remote.call.request), remote.dialect)
            if feature.response_type is not None:
                error.error.response = decode_later(feature.response_type, error.payload)
        return error

    def _expire(self, remote: _Remote) -> None:
        """End a call at its deadline, unless it has ended; on the timer's thread."""
        if not self._discard(remote):
            return
        self._withdraw(remote)
        error: OcppjError = _timed_out(remote)
        if not self._cluster.available or remote.outages != self._outages:
            words = f"the cluster could not be reached, and no answer came within {remote.seconds:g} seconds"
            error = ClusterUnavailable(words, remote.call.message_id)
            error.maybe_sent = True
        self._fail(remote, error)

    def _give_up(self, client_id: str, message_id: str) -> None:
        """Withdraw a call whose future is canceled."""
        remote = self._take(client_id, message_id)
        if remote is not None:
            self._end_given_up(remote)

    def _give_up_call(self, client_id: str, call: AnyCall) -> None:
        with self._lock:
            remote = self._open.get((client_id, call.message_id))
        if remote is not None and remote.call is call and self._discard(remote):
            self._end_given_up(remote)

    def _end_given_up(self, remote: _Remote) -> None:
        try:
            self._withdraw(remote)
        finally:
            remote.call.give_up()

    def _withdraw(self, remote: _Remote) -> None:
        """Have the other node forget a call, as soon as it is known which node that is."""
        with self._lock:
            remote.withdrawn, node = True, remote.node
        if node is not None:
            self._tell_cancel(remote, node)

    def _tell_cancel(self, remote: _Remote, node: str) -> None:
        self._cluster.reply(node, write_message(Cancel(remote.call.message_id, remote.client_id)))

    def _fail(self, remote: _Remote, error: BaseException) -> None:
        """End a call that was taken out of the table."""
        remote.call.fail(self._described(error, remote.client_id, remote.call.message_id, remote.action))

    def _described(
        self, error: BaseException, client_id: str, message_id: Optional[str], action: Optional[str]
    ) -> BaseException:
        return described(error, client_id, message_id, action, self._sender.now)

    # The table

    def _add(self, remote: _Remote) -> None:
        key = remote.client_id, remote.call.message_id
        remote.call.client_id = remote.client_id
        with self._lock:
            if self._stopped:
                raise self._not_running()
            remote.outages, remote.goings = self._outages, self._goings
            known = self._open.setdefault(key, remote) is not remote
        if known:
            raise UsageError(f"a request with the id {key[1]!r} is waiting already")

    def _take(self, client_id: str, message_id: str, node: Optional[str] = None) -> Optional[_Remote]:
        """Take a call out, if it is there; with ``node`` only one that this node has, as far as it is known."""
        with self._lock:
            remote = self._open.get((client_id, message_id))
            if remote is None or (node is not None and remote.node not in (None, node)):
                return None
            del self._open[client_id, message_id]
            return remote

    def _discard(self, remote: _Remote) -> bool:
        """Take ``remote`` out, and return whether it was there."""
        key = remote.client_id, remote.call.message_id
        with self._lock:
            if self._open.get(key) is not remote:
                return False
            del self._open[key]
            return True

    def _keys_of(self, node_id: str) -> List[Tuple[str, str]]:
        return [key for key, remote in self._open.items() if remote.node == node_id]

    # Where calls may be made

    def _check_running(self) -> None:
        if self._stopped:
            raise self._not_running()

    def _not_running(self) -> NotRunning:
        return NotRunning(f"{self._sender.name} is not started")

    def _refuse_answering(self, what: str) -> None:
        if self.is_answering():
            raise WouldDeadlock(f"{what} on the thread that brings the answers of other processes: use a callback")
        if self._sender.timeouts.is_firing():
            raise WouldDeadlock(f"{what} on the thread that ends requests in time: use a callback")

    def _waiting(self) -> ContextManager[Any]:
        """Return the context in which a thread waits for a future."""
        self._refuse_answering("result()")
        return self._sender.waiting()

    def _waits(self, client_id: str, request: Payload) -> ContextManager[Any]:
        return _Waiting(self._sender.waiting, partial(self._describe_slot, client_id, request))

    def _describe_slot(self, client_id: str, request: Payload, error: NoHandlerSlot) -> None:
        self._described(error, client_id, None, self._action_of(request))

    def _action_of(self, request: object) -> Optional[str]:
        return self._features.action_of(type(request))


class _Waiting:
    """The context in which a thread waits. A `NoHandlerSlot` says which request it is about."""

    def __init__(self, waiting: Callable[[], ContextManager[Any]], describe: Callable[[NoHandlerSlot], object]) -> None:
        self._waiting = waiting
        self._describe = describe
        self._context: Optional[ContextManager[Any]] = None

    def __enter__(self) -> None:
        try:
            self._context = self._waiting()
            self._context.__enter__()
        except NoHandlerSlot as error:
            self._describe(error)
            raise

    def __exit__(self, *error: Any) -> None:
        if self._context is not None:
            self._context.__exit__(*error)


class _Answering:
    """A context in which this thread brings answers: functions of the program that run there must not wait for one."""

    def __init__(self, local: Any) -> None:
        self._local = local

    def __enter__(self) -> None:
        self._local.answering = True

    def __exit__(self, *error: object) -> None:
        self._local.answering = False


def _timed_out(remote: _Remote) -> CallTimeout:
    return CallTimeout(f"{_NO_ANSWER} {remote.seconds:g} seconds", remote.call.message_id)


def _lost(remote: _Remote) -> ConnectionLost:
    return ConnectionLost(HAS_ENDED, remote.call.message_id)


def _signature(data: Mapping[str, Any]) -> SignatureResult:
    """Return the result of the check that the other node has made."""
    return SignatureResult(
        data.get("valid"),
        str(data.get("reason", "")),
        data.get("algorithm"),
        data.get("x5t_s256"),
        data.get("header") or {},
    )
