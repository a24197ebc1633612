"""`RemoteServer`: calls clients that are connected to servers of other processes. It has no connections of its own."""

from __future__ import annotations

import sys
import threading
from contextlib import nullcontext
from functools import partial
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, TypeVar, overload

from ..callables import raise_interrupt
from ..clock import SystemClock
from ..dispatch.futures import CallFuture
from ..dispatch.timeouts import DEFAULT_TIMEOUT, Timeouts
from ..errors import NotRunning, UnknownClient, UsageError
from ..exchange.connection_info import ConnectionInfo
from ..exchange.exits import stop_at_exit
from ..exchange.watches import Watch, Watches
from ..forks import register
from ..interrupted import called_by_program, calls_program, refuse_inside
from ..log_limit import LimitedLog
from ..option_checks import check_options
from ..payloads.model import Payload, Request
from ..rpc.endpoint import DigitsChoice, Endpoint
from ..rpc.features import Profile
from ..settings import LoggerLike, ValidationChoice, get_part_logger
from .base import Cluster, Message
from .holdings import info_of_holder
from .messages import Ended, Failed, read_or_log
from .remote_calls import RemoteCalls, Sender

__all__ = ["RemoteServer"]

R = TypeVar("R", bound=Payload)

_LEAVING = 5.0  # seconds that it may take to leave the cluster


class RemoteServer:
    """Calls the clients of all servers of a cluster, from a process without connections: a task, a script, a shell.

    ::

        remote = RemoteServer(RedisCluster("redis://localhost/0"), profiles=v16.PROFILES)
        remote.call("CP_1", v16.ResetRequest(type="Soft"), timeout=10)

    It joins the cluster at its first use, in the process that uses it. So it may be made before a process is forked.
    Any thread may use it. It can be used as a context manager, which stops it: futures that have not ended yet end with
    `Stopped`. So wait for them inside the ``with`` block.

    The request is checked and encoded here, and again where the client is connected. The request handlers of the
    servers, and the handlers for ended requests, run there.

    Args:
        cluster: A `RedisCluster`, or another `Cluster`, which nothing else uses.
        profiles: What it speaks, such as ``v16.PROFILES``.
        timeout: Seconds that a request may stay unanswered, in the queue too, if it does not say that itself.
        validate: As in `Server`. Arguments that are not described here are as in `Server`, too.
        message_id_generator: Returns the id of a new message.
        logger: For the lines of this object and of the cluster.
        datetime_digits: How many fractional digits the date-times have. The server writes them anew.

    Raises:
        UsageError: An argument cannot be used.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        profiles: Iterable[Profile],
        timeout: float = DEFAULT_TIMEOUT,
        validate: Optional[ValidationChoice] = None,
        message_id_generator: Optional[Callable[[], str]] = None,
        logger: Optional[LoggerLike] = None,
        datetime_digits: DigitsChoice = 3,
    ) -> None:
        check_options("RemoteServer", locals())
        self._cluster = cluster
        self._logger = logger
        self._limited_log = LimitedLog(partial(get_part_logger, "cluster"))
        self._limited_log.use(logger)
        self._endpoint = Endpoint(
            profiles,
            validate=validate,
            message_id_generator=message_id_generator,
            logger=logger,
            datetime_digits=datetime_digits,
        )
        if not self._endpoint.profiles:
            raise UsageError("the remote server has no profiles, hence no OCPP version to speak")
        clock = SystemClock()
        self._timeouts = Timeouts(clock, log=self._endpoint.safe_log)
        self._watches = Watches(partial(_call_watch, self._limited_log))
        sender = Sender(self._endpoint, self._timeouts, timeout, nullcontext, clock.now, str(self), self._watches)
        self._remote = RemoteCalls(cluster, sender)
        self._joining = threading.Lock()  # held by a thread that joins or leaves
        self._joined = False
        self._stopped = False
        register(self)
        stop_at_exit(self)

    def __str__(self) -> str:
        return "the remote server"

    # Life cycle

    def _begin(self) -> RemoteCalls:
        """Join the cluster, unless that was done. Return what makes the calls. Raises `NotRunning` after `stop`."""
        if not self._joined:
            with self._joining:
                self._join()
        return self._remote

    def _join(self) -> None:
        if self._stopped:
            raise NotRunning("the remote server was stopped")
        if not self._joined:
            self._cluster.join(_Listening(self._remote, self._limited_log), self._logger)
            self._timeouts.start()
            self._remote.start()
            self._joined = True

    def stop(self) -> None:
        """End all requests with `Stopped`, and leave the cluster. It cannot be used any more."""
        if sys.is_finalizing():
            return
        refuse_inside("stop()", waits=True)
        self._stop(_LEAVING)

    def _stop(self, seconds: float) -> None:
        self._stopped = True
        self._remote.stop()
        with self._joining:
            joined, self._joined = self._joined, False
        self._remote.stop()  # a thread that was joining has begun it again
        if joined:
            self._cluster.leave(seconds)
            self._timeouts.stop(seconds)

    def _stop_at_exit(self, seconds: float) -> None:
        """Stop at the end of the program: see `ocppj.exchange.exits`. For the library."""
        self._stop(min(seconds, _LEAVING))

    def _after_fork(self) -> None:
        """Forget that it has joined: see `ocppj.forks`."""
        self._joined = False
        self._remote._after_fork()

    def __enter__(self) -> "RemoteServer":
        return self

    @called_by_program
    def __exit__(self, *error: object) -> None:
        self.stop()

    # Requests

    @overload
    def call(
        self,
        client_id: str,
        request: Request[R],
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
    ) -> R: ...

    @overload
    def call(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
    ) -> Any: ...

    def call(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
    ) -> Any:
        """Send ``request`` to that client, wait, and return the typed response.

        It reaches the client at most once.

        Args:
            client_id: A client that is connected to any server of the cluster.
            request: A request of one of the profiles.
            timeout: Seconds to wait, in the queue too. Without it: the ``timeout`` of this object.
            signed: As in `Server.call`. The server signs it.
            message_id: As in `Server.call`.

        Raises:
            UnknownClient: No such client is connected to any server.
            ClusterUnavailable: The servers cannot be reached, or could not be when the answer was to come. Then its
                ``maybe_sent`` says whether the client may have got the request.
            ConnectionLost: The connection was lost before the answer came, or the process that had it has ended.
            OcppjError: What else `Server.call` raises.
        """
        refuse_inside("call()", waits=True)
        return self._begin().call(client_id, request, timeout, signed, message_id)

    @overload
    def send_request(
        self,
        client_id: str,
        request: Request[R],
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
    ) -> CallFuture[R]: ...

    @overload
    def send_request(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
    ) -> CallFuture[Any]: ...

    def send_request(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
    ) -> CallFuture[Any]:
        """Have the server queue ``request`` for that client, and return a future of the response.

        The callbacks of the future run on a thread of the cluster. They must not block, and ``call()`` there raises
        `WouldDeadlock`.

        Args:
            client_id: As in `call`.
            request: As in `call`.
            timeout: As in `call`.
            signed: As in `call`.
            message_id: As in `call`.

        Raises:
            OcppjError: What `call` raises before anything is sent. The rest is the end of the future.
        """
        refuse_inside("send_request()", waits=True)
        return self._begin().send_request(client_id, request, timeout, signed, message_id)

    @overload
    def broadcast(
        self, request: Request[R], client_ids: Optional[Iterable[str]] = None, timeout: Optional[float] = None
    ) -> Dict[str, CallFuture[R]]: ...

    @overload
    def broadcast(
        self, request: Payload, client_ids: Optional[Iterable[str]] = None, timeout: Optional[float] = None
    ) -> Dict[str, CallFuture[Any]]: ...

    def broadcast(
        self, request: Payload, client_ids: Optional[Iterable[str]] = None, timeout: Optional[float] = None
    ) -> Dict[str, CallFuture[Any]]:
        """Have ``request`` queued for each of ``client_ids``, by default all that are connected to any server.

        Args:
            request: A request of one of the profiles.
            client_ids: Their ids.
            timeout: As in `call`.

        Returns:
            A future for each id. What keeps the request from one client fails that client's future.

        Raises:
            ValidationError: The payload breaks its schema.
            EncodingError: A field cannot be written.
            ClusterUnavailable: Without ``client_ids``: the servers cannot be asked now.
            UsageError: ``client_ids`` is one text.
        """
        refuse_inside("broadcast()", waits=True)
        if isinstance(client_ids, str):
            raise UsageError("client_ids is a sequence of ids, not one text")
        remote = self._begin()
        versions: Optional[Dict[str, Any]] = None
        if client_ids is None:
            versions = {each.client_id: each.about.get("version") for each in self._cluster.holders()}
            client_ids = list(versions)
        return remote.send_to_all(dict.fromkeys(client_ids), request, timeout, versions)

    def send(self, client_id: str, request: Payload, *, signed: bool = False) -> str:
        """Have the server send a message that is never answered, and return its id: see `Server.send`.

        It waits until the server has written it, at most ``timeout`` seconds of this object.

        Args:
            client_id: As in `call`.
            request: A message of one of the profiles that has no answer.
            signed: As in `call`.

        Raises:
            CallTimeout: The server has not written it in time.
            OcppjError: What else `call` raises.
        """
        refuse_inside("send()", waits=True)
        return self._begin().send(client_id, request, signed)

    def disconnect(self, client_id: str, code: int = 1000, reason: str = "") -> None:
        """Have the server close that client's connection. Does not wait for that.

        Args:
            client_id: A client that is connected to any server.
            code: The close code that the client gets (RFC 6455 section 7.4).
            reason: The reason that the client gets.

        Raises:
            UnknownClient: No such client is connected to any server.
            ClusterUnavailable: The server cannot be told now.
            UsageError: ``code`` cannot be sent.
        """
        refuse_inside("disconnect()", waits=True)
        self._begin().disconnect(client_id, code, reason)

    def make_request(
        self,
        client_id: str,
        action: str,
        payload: Optional[Mapping[str, Any]] = None,
        *,
        version: Optional[str] = None,
    ) -> Any:
        """Return the typed request of ``action`` with a JSON payload: see `Server.make_request`.

        Args:
            client_id: A client.
            action: Its name, such as "Reset".
            payload: JSON values by name.
            version: The OCPP version. Without it, that of the client's connection is asked for.

        Raises:
            UnknownClient: Without ``version``: no such client is connected to any server.
            ClusterUnavailable: Without ``version``: it cannot be asked for now.
            UsageError: This object does not speak that version.
            OcppjError: What else `Server.make_request` raises.
        """
        refuse_inside("make_request()", waits=True)
        dialects = {each.version: each for each in self._endpoint.dialects}
        version = self._version_of(client_id) if version is None else version
        if version not in dialects:
            raise UsageError(f"{self} speaks OCPP {', '.join(dialects)}, not {version!r}")
        return self._endpoint.create_request(action, {} if payload is None else payload, dialects[version])

    def add_watch(self, watch: Watch) -> None:
        """Tell ``watch`` where each call begins and ends: for tracing, see `ocppj.tracing`.

        Args:
            watch: As in `Server.add_watch`. Its ``handler_began`` is not called: there are no handlers here.

        Raises:
            UsageError: It lacks one of its methods.
        """
        self._watches.add(watch)

    def remove_watch(self, watch: Watch) -> None:
        """Take away what `add_watch` added. What has begun is still told of its end.

        Raises:
            UsageError: It is not there.
        """
        self._watches.remove(watch)

    # Questions

    def client_ids(self) -> List[str]:
        """Return the ids of the clients that are connected to any server. Raises `ClusterUnavailable`."""
        refuse_inside("client_ids()", waits=True)
        self._begin()
        return [each.client_id for each in self._cluster.holders()]

    def connections(self) -> List[ConnectionInfo]:
        """Return what is known of the clients that are connected to any server, in no order.

        The entry ``node_id`` in the documentation of `ConnectionInfo` says what is known of them.

        Raises:
            ClusterUnavailable: The cluster cannot be asked now.
        """
        refuse_inside("connections()", waits=True)
        self._begin()
        return [info_of_holder(each) for each in self._cluster.holders()]

    def version_of(self, client_id: str) -> str:
        """Return the OCPP version spoken with that client, such as "1.6".

        Args:
            client_id: The client.

        Raises:
            UnknownClient: No such client is connected to any server.
            ClusterUnavailable: It cannot be asked for now.
        """
        refuse_inside("version_of()", waits=True)
        return self._version_of(client_id)

    def _version_of(self, client_id: str) -> str:
        self._begin()
        holder = self._cluster.holder_of(client_id)
        if holder is None:
            raise UnknownClient(f"no client {client_id!r} is connected to any process")
        return str(holder.about.get("version", ""))


@calls_program
def _call_watch(log: LimitedLog, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a watch, and return what it returns. What it raises is logged, and ``None`` is returned."""
    try:
        return function(*arguments)
    except BaseException as error:  # sys.exit() too: the thread may have other calls to end
        log.exception("%s failed", getattr(function, "__qualname__", function), client_id=None)
        raise_interrupt(error)
        return None


class _Listening:
    """A `Member` that has no clients: it takes answers."""

    def __init__(self, remote: RemoteCalls, log: LimitedLog) -> None:
        self._remote = remote
        self._log = log

    def receive(self, sender: str, message: Message, age: float) -> None:
        known = read_or_log(sender, message, self._log)
        if isinstance(known, (Ended, Failed)):
            self._remote.receive(sender, known)

    def claim_lost(self, client_id: str, claim: str) -> None:
        pass

    def node_gone(self, node_id: str) -> None:
        self._remote.node_gone(node_id)

    def availability_changed(self, available: bool) -> None:
        self._remote.availability_changed(available)
