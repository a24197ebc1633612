"""Connections to Redis. The only module that knows the package ``redis``.

A `Link` is one connection. It sends commands, and reads their results, and never sends anything twice. The package's
own clients send a command again after a fault, and how they do it differs by version: so only its connections are used.
"""

from __future__ import annotations

import inspect
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple, Union

from ...errors import ClusterUnavailable, UsageError

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.connection import AbstractConnection
    from redis.exceptions import AuthenticationError, BusyLoadingError, ReadOnlyError, RedisError, ResponseError
    from redis.retry import Retry
except ImportError:  # RedisCluster says so
    redis = None  # type: ignore[assignment, unused-ignore]

__all__ = ["Command", "Link", "Links", "ResponseFault", "result_of", "settings_of", "text_of"]

#: The words of a command.
Command = Sequence[Union[str, bytes, int]]

#: So many connections at most carry commands at a time. More threads wait for one.
_MOST = 16
_LONGEST_TEXT = 200  # characters of an error of Redis
_SCHEMES = ("redis://", "rediss://", "unix://")  # of URLs that the package understands
#: Settings of the program's client that are not for connections of ours: how to try again, and what RESP3 has more.
_NOT_OURS = ("retry_on_", "maint_notifications", "orig_", "oss_cluster_maint", "event_dispatcher")

#: What an option of `RedisCluster`, or how it works, decides.
_REPLACED = {
    "socket_timeout": "timeout=",
    "socket_connect_timeout": "timeout=",
    **dict.fromkeys(
        (
            "decode_responses",
            "encoding",
            "encoding_errors",
            "health_check_interval",
            "max_connections",
            "protocol",
            "retry",
            "retry_on_error",
            "retry_on_timeout",
        ),
        "RedisCluster",
    ),
}


class ResponseFault:
    """What stands in a list of results for a command that Redis has refused. It has changed nothing.

    Attributes:
        text: Why, without what the command has said.
        code: The first word of the error, such as "OOM", or the name of the error in the package ``redis``.
    """

    def __init__(self, error: Exception) -> None:
        name = type(error).__name__
        self.code: str = str(error).partition(" ")[0] if name == "ResponseError" else name
        self.text: str = f"{name}: {error}".partition(", with args")[0][:_LONGEST_TEXT]

    @property
    def is_unknown_script(self) -> bool:
        """Whether Redis does not know the script of that name."""
        return self.code == "NoScriptError"


def result_of(result: Any) -> Any:
    """Return the result of a command. Raises `ClusterUnavailable` if Redis has refused it."""
    if isinstance(result, ResponseFault):
        raise ClusterUnavailable(f"Redis refuses it: {result.text}")
    return result


def text_of(data: bytes) -> str:
    """Return a text that was sent. What others have written may be no text: then it is a text that nobody looks for."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "backslashreplace")


def settings_of(
    url: str, client: Optional[Any], timeout: float, redis_options: Dict[str, Any]
) -> Tuple[Callable[..., Any], Dict[str, Any]]:
    """Return the class of connections, and what makes one, for that URL, or like those of the program's own client.

    Raises:
        UsageError: The package ``redis`` is missing, or the client is none, or URL and options are not understood.
    """
    if redis is None:
        raise UsageError("RedisCluster needs the package redis: pip install 'ocppj[redis]'")
    replaced = [f"{name} ({_REPLACED[name]} decides that)" for name in redis_options if name in _REPLACED]
    if replaced and client is None:
        raise UsageError(f"redis_options would not be used: {', '.join(replaced)}")
    own = client
    if client is None:
        try:
            client = redis.Redis.from_url(url, **redis_options)
        except (ValueError, TypeError) as error:
            # The error may quote a part of the password.
            raise UsageError(f"redis.Redis.from_url refuses url or redis_options: {_fault_of(url, error)}") from None
    elif redis_options:
        raise UsageError(f"client has its own options: {', '.join(redis_options)} would not be used")
    pool = getattr(client, "connection_pool", None)
    if pool is None or not hasattr(pool, "connection_class"):
        raise UsageError(f"client is a redis.Redis, not a {type(client).__name__}")
    if inspect.iscoroutinefunction(getattr(pool.connection_class, "connect", None)):
        raise UsageError("client is a redis.Redis, not one of redis.asyncio")
    if isinstance(pool.connection_class, type) and not issubclass(pool.connection_class, AbstractConnection):
        name = f"{type(client).__module__}.{type(client).__name__}"
        raise UsageError(f"client is a redis.Redis, not a {name}: the package redis is for Valkey, too")
    options = {name: value for name, value in pool.connection_kwargs.items() if not name.startswith(_NOT_OURS)}
    options.update(
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        decode_responses=False,
        encoding="utf-8",
        encoding_errors="surrogatepass",  # as in `text_of`
        protocol=2,
        health_check_interval=0,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
    )
    try:
        pool.connection_class(**options)  # it does not connect yet
    except (ValueError, TypeError, RedisError) as error:
        raise UsageError(f"{'url and redis_options' if own is None else 'client'}: {error}") from error
    options["keep"] = client  # connections of a Sentinel's client ask its pool for the address
    return pool.connection_class, options


def _fault_of(url: str, error: Exception) -> str:
    """Say what is wrong with a URL, without a part of its password."""
    if not url.startswith(_SCHEMES):
        return f"a URL begins with {_SCHEMES[0]} or, with TLS, {_SCHEMES[1]} or, for a Unix socket, {_SCHEMES[2]}"
    return f"{type(error).__name__}; in its user and password, / and : and @ are written as %2F, %3A and %40"


class Link:
    """One connection. For one thread at a time. It connects when it is used, and again after each fault.

    Args:
        make: Makes a connection of the package.
        greet: Called with this link when it has connected, before anything else is sent. May use `run`.
    """

    def __init__(self, make: Callable[[], Any], greet: Optional[Callable[["Link"], object]] = None) -> None:
        self._connection = make()
        self._greet = greet
        self._connected = False
        self._stopped = False  # whether it is not used any more
        self._usual = self._connection.socket_timeout
        self._deadline: Optional[float] = None  # see `hurry`
        self._hurried = False  # whether the socket has a shorter timeout than usual

    def hurry(self, timeout: Optional[float]) -> None:
        """Let all that follows take so many seconds together. ``None``: each command as long as usual."""
        self._deadline = None if timeout is None or timeout >= self._usual else time.monotonic() + timeout

    def run(self, *commands: Command, look: bool = True) -> List[Any]:
        """Send the commands at once, and return their results; in place of one that is refused, a `ResponseFault`.

        Without a ``look``, which costs as much as a command, a connection that has ended is noticed by the fault.

        Raises:
            ClusterUnavailable: Redis cannot be reached, or does not answer, or is a replica. ``maybe_sent`` says
                whether Redis may have run the commands.
        """
        self._connect(look)
        sent = False
        try:
            packed = self._connection.pack_commands(commands)
            sent = True
            self._connection.send_packed_command(packed, check_health=False)
            return [self._result_in_time() for _ in commands]
        except (RedisError, OSError) as error:
            self.close()
            unavailable = ClusterUnavailable(_text_of(error))
            unavailable.maybe_sent = sent and not isinstance(error, (BusyLoadingError, ReadOnlyError))
            raise unavailable from error
        except BaseException:  # an interrupt: results may be left unread
            self.close()
            raise

    def send(self, command: Command) -> None:
        """Send a command whose results `receive` returns. Raises `ClusterUnavailable`."""
        self._connect(look=False)
        try:
            self._connection.send_packed_command(self._connection.pack_commands([command]), check_health=False)
        except (RedisError, OSError) as error:
            self.close()
            raise ClusterUnavailable(_text_of(error)) from error

    def receive(self, timeout: float) -> Any:
        """Return the next result, or ``None`` if none has come in time. Raises `ClusterUnavailable`."""
        try:
            return self._result() if self._connection.can_read(timeout) else None
        except (RedisError, OSError) as error:
            self.close()
            raise ClusterUnavailable(_text_of(error)) from error

    def connect(self) -> None:
        """Connect, if it is not connected. Raises `ClusterUnavailable`."""
        self._connect(look=False)

    def close(self) -> None:
        """End the connection. It is made again when it is used again."""
        self._connected = False
        with suppress(Exception):
            self._connection.disconnect()

    def stop(self) -> None:
        """End what another thread waits for, and refuse what it begins from now on. On any thread."""
        self._stopped = True
        stream = getattr(self._connection, "_sock", None)  # the package shows it nowhere else
        if stream is not None:
            with suppress(OSError):
                # Not `ssl.SSLSocket.shutdown`: it drops the TLS state first, and a thread might write in clear.
                socket.socket.shutdown(stream, socket.SHUT_RDWR)

    def _connect(self, look: bool = True) -> None:
        """Connect, if it is not connected, or if a ``look`` finds that the connection has ended."""
        if self._connected and (self._hurried or (look and self._is_stale())):
            self.close()
        self._refuse_if_stopped()
        if self._connected:
            return
        try:
            self._set_timeout()
            self._connection.connect()
            self._connected = True
            self._refuse_if_stopped()
            if self._greet is not None:
                self._greet(self)
        except ClusterUnavailable as error:  # of the greeting
            self.close()
            error.maybe_sent = False
            raise
        except (RedisError, OSError) as error:
            self.close()
            raise ClusterUnavailable(_text_of(error)) from error
        except BaseException:
            self.close()
            raise

    def _refuse_if_stopped(self) -> None:
        """Raise `ClusterUnavailable` after `stop`. It is asked after connecting too: before, `stop` finds no socket."""
        if self._stopped:
            self.close()
            raise ClusterUnavailable("Redis: this connection is not used any more")

    def _is_stale(self) -> bool:
        """Return whether Redis has closed the connection, or results are left."""
        try:
            return bool(self._connection.can_read(0))
        except (RedisError, OSError):
            return True

    def _set_timeout(self) -> None:
        """Set the timeout of the socket that is made next: it keeps it."""
        left = self._left()
        self._hurried = left is not None
        seconds = self._usual if left is None else left
        self._connection.socket_timeout = self._connection.socket_connect_timeout = seconds

    def _left(self) -> Optional[float]:
        """Return the seconds until the deadline; ``None``: there is none. Raises ``OSError`` when it is over."""
        if self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise OSError("there was no time left")
        return left

    def _result_in_time(self) -> Any:
        left = self._left()
        if left is not None and not self._connection.can_read(left):
            raise OSError("it does not answer in time")
        return self._result()

    def _result(self) -> Any:
        try:
            return self._connection.read_response(disable_decoding=True)
        except ReadOnlyError:
            raise
        except ResponseError as error:
            if "unauthenticated" in str(error):  # so Redis refuses a long command, and ends the connection
                raise AuthenticationError("Authentication required.") from error
            return ResponseFault(error)


def _text_of(error: Exception) -> str:
    """Return what failed, without what a command has said."""
    return f"Redis: {type(error).__name__}: {error}"


class Links:
    """The connections of one process to one Redis. For any thread.

    Args:
        settings: What `settings_of` returned.
        timeout: How long a command may take, and how long a thread waits for a connection, in seconds.
    """

    def __init__(self, settings: Tuple[Callable[..., Any], Dict[str, Any]], timeout: float) -> None:
        kind, options = settings
        self._client = options.pop("keep", None)
        self._kind, self._options = kind, options
        #: The number of the database.
        self.database: int = options.get("db") or 0
        self.timeout = timeout
        self._lock = threading.Lock()
        self._idle: List[Link] = []
        self._all: Set[Link] = set()
        self._room = threading.BoundedSemaphore(_MOST)

    def new(self, greet: Optional[Callable[[Link], object]] = None) -> Link:
        """Return a new link, which its owner gives to `end`."""
        link = Link(self._make, greet)
        with self._lock:
            self._all.add(link)
        return link

    def _make(self) -> Any:
        connection = self._kind(**self._options)
        connection.socket_timeout = self.timeout  # redis 5.0 forgets that of a Unix socket
        return connection

    def end(self, link: Link) -> None:
        """Close a link for ever."""
        with self._lock:
            self._all.discard(link)
        link.close()

    def run(self, *commands: Command) -> List[Any]:
        """Do `Link.run` over one of the links."""
        with self.use() as link:
            return link.run(*commands)

    @contextmanager
    def use(self, timeout: Optional[float] = None) -> Iterator[Link]:
        """Lend a link that is idle, or a new one. Raises `ClusterUnavailable` when too many are in use.

        Args:
            timeout: The seconds that this, and all that is run then, may take. ``None``: the usual for each.
        """
        began = time.monotonic()
        patience = self.timeout if timeout is None else min(timeout, self.timeout)
        if not self._room.acquire(timeout=patience):
            raise ClusterUnavailable("Redis: all connections are in use")
        try:
            with self._lock:
                link = self._idle.pop() if self._idle else None
            if link is None:
                link = self.new()
            link.hurry(None if timeout is None else timeout - (time.monotonic() - began))
            try:
                yield link
            finally:
                with self._lock:
                    self._idle.append(link)
        finally:
            self._room.release()

    def close(self) -> None:
        """Close all connections that are idle. They are made again when they are used."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._all.difference_update(idle)
        for link in idle:
            link.close()

    def _after_fork(self) -> None:
        """Close the copies of the parent's sockets, in the child. See `ocppj.forks`."""
        for link in list(self._all):
            link.close()  # in the child, it does not shut the parent's connection down
        self._idle, self._all = [], set()
        self._room = threading.BoundedSemaphore(_MOST)
