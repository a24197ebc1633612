"""Every option of every constructor, and the values that it takes: one table, and the check of what is given.

A bad value is a `UsageError` where it is given, which names the option, the value and what the option takes. Otherwise
it would make each frame fail later. Rules between two options stand where the options are used.

Some classes stand in rooms above this module. Rows name them, and do not import them.
"""

from __future__ import annotations

import reprlib
import socket
import sys
import threading
from collections.abc import Mapping as AnyMapping
from numbers import Integral
from os import PathLike
from typing import Any, Dict, Mapping, Optional, Tuple

from .callables import check_callable, check_not_async
from .errors import UsageError

__all__ = [
    "LONGEST",
    "NONE",
    "OPTIONS",
    "Choice",
    "Either",
    "Flag",
    "Function",
    "Instance",
    "Items",
    "Kind",
    "Number",
    "Parts",
    "Seconds",
    "Secret",
    "Text",
    "Whole",
    "check_option",
    "check_options",
    "row_of",
    "shown",
]  # fmt: skip

#: The longest time that an option takes, in seconds: 100 years, or what a lock of this system can wait for.
LONGEST = min(100 * 365.25 * 86_400, threading.TIMEOUT_MAX)

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 100


def shown(value: object) -> str:
    """Return the beginning of ``repr(value)``; never fails."""
    try:
        return _repr.repr(value)
    except Exception:  # an integer of more digits than Python writes
        return f"a value of the type {type(value).__name__}"


class Kind:
    """What an option takes. ``takes`` says it in words, to follow "is"."""

    takes = ""
    is_secret = False  # an error shows the type of the value only

    def fits(self, value: Any) -> bool:
        """Tell whether ``value`` is of this kind."""
        raise NotImplementedError

    def check(self, name: str, value: Any) -> None:
        """Raise `UsageError` unless the option called ``name`` takes ``value``."""
        if not self.fits(value):
            given = f"a value of the type {type(value).__name__}" if self.is_secret else shown(value)
            raise UsageError(f"{name} is {self.takes}, not {given}")


class _Nothing(Kind):
    takes = "None"

    def fits(self, value: Any) -> bool:
        return value is None


NONE = _Nothing()


class Flag(Kind):
    """``True`` or ``False``."""

    takes = "True or False"

    def fits(self, value: Any) -> bool:
        return isinstance(value, bool)


class Number(Kind):
    """A finite number from ``minimum`` to ``maximum``; ``above``: the minimum itself is too small."""

    what = "a number"
    longest: float = sys.maxsize

    def __init__(self, minimum: float = 0, maximum: Optional[float] = None, *, above: bool = False) -> None:
        self._minimum, self._above = minimum, above
        self._maximum = self.longest if maximum is None else maximum
        self.takes: str = f"{self.what}, more than {minimum}" if above else f"{self.what}, {minimum} or more"
        if self._maximum != sys.maxsize:
            self.takes += f" and at most {self._maximum:.0f}"

    def fits(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float, Integral)):  # also the integers of numpy
            return False
        number: Any = value
        if self._above and number == self._minimum:
            return False
        return bool(self._minimum <= number <= self._maximum)  # exact for integers of any size; false for NaN


class Seconds(Number):
    """A time in seconds, of at most `LONGEST`."""

    what = "a number of seconds"
    longest = LONGEST


class Whole(Number):
    """An integer from ``minimum`` to ``maximum``."""

    what = "a whole number"

    def fits(self, value: Any) -> bool:
        return not isinstance(value, float) and super().fits(value)


class Choice(Kind):
    """One of some texts or numbers."""

    def __init__(self, *values: Any) -> None:
        self._values = values
        *others, last = map(repr, values)
        self.takes: str = f"{', '.join(others)} or {last}" if others else last

    def fits(self, value: Any) -> bool:
        return any(type(value) is type(each) and value == each for each in self._values)


class Text(Kind):
    """A text. ``empty``: it may have no character."""

    def __init__(self, *, empty: bool = False) -> None:
        self._empty = empty
        self.takes = "a text" if empty else "a text that is not empty"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) and (self._empty or value != "")


class Prefix(Text):
    """A text for the names of keys, which have it in braces."""

    def __init__(self) -> None:
        super().__init__()
        self.takes = "a text that is not empty and has no braces"

    def fits(self, value: Any) -> bool:
        return super().fits(value) and not set(value) & set("{}")


class Function(Kind):
    """A function that is called with the arguments ``names``, and no ``async def``."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self.takes: str = f"a function f({', '.join(names)})"

    def fits(self, value: Any) -> bool:
        return callable(value) and not (self._names and isinstance(value, type))  # a class makes things of nothing

    def check(self, name: str, value: Any) -> None:
        super().check(name, value)
        check_callable(value, self._names, what=name)


class Instance(Kind):
    """An object of a class. A class of this package goes by its name: it may stand in a room above this one."""

    def __init__(self, takes: str, *classes: Any) -> None:
        self.takes = takes
        self._types: Tuple[type, ...] = tuple(each for each in classes if isinstance(each, type))
        self._names = {each for each in classes if isinstance(each, str)}

    def fits(self, value: Any) -> bool:
        if isinstance(value, self._types):
            return True
        return any(each.__name__ in self._names for each in type(value).__mro__)


class Parts(Kind):
    """An object with certain methods: what implements one of the protocols of this package."""

    def __init__(self, takes: str, *methods: str) -> None:
        self.takes: str = f"{takes}: an object with {', '.join(f'{each}()' for each in methods)}"
        self._methods = methods

    def fits(self, value: Any) -> bool:
        return not isinstance(value, type) and all(callable(getattr(value, each, None)) for each in self._methods)

    def check(self, name: str, value: Any) -> None:
        super().check(name, value)
        for each in self._methods:
            check_not_async(name, getattr(value, each))


class Items(Kind):
    """A collection, and no text."""

    def __init__(self, takes: str, method: str = "__iter__") -> None:
        self.takes = takes
        self._method = method

    def fits(self, value: Any) -> bool:
        return hasattr(value, self._method) and not isinstance(value, (str, bytes, type))


class Either(Kind):
    """One of several kinds. The first that fits decides."""

    def __init__(self, *kinds: Kind) -> None:
        self._kinds = kinds
        self.takes: str = ", or ".join(
            each.takes for each in sorted(kinds, key=lambda each: each is NONE)
        )  # "None" last

    def fits(self, value: Any) -> bool:
        return self._first(value) is not None

    def check(self, name: str, value: Any) -> None:
        super().check(name, value)
        kind = self._first(value)
        if kind is not None:
            kind.check(name, value)

    def _first(self, value: Any) -> Optional[Kind]:
        # No generator: an interrupt while one is closed would be lost, and `stop` checks its options.
        for each in self._kinds:
            if each.fits(value):
                return each
        return None


class Secret(Either):
    """As `Either`; an error does not show the value."""

    is_secret = True


_PASSWORD = Either(NONE, Instance("a text or bytes", str, bytes))
_PEM = Instance("PEM text, PEM bytes or the path of a file", str, bytes, PathLike)
_PROFILE = Choice(0, 1, 2, 3)
_SERVER_PROFILE = Either(NONE, _PROFILE, Function("request"))
_TRANSPORT = Parts("a transport", "set_connected_handler", "set_message_handler", "set_disconnected_handler")

#: The kind of each option by its name. A row ``"Server.state"`` is for that constructor alone, and goes first.
OPTIONS: Dict[str, Kind] = {
    # Client and Server
    "id": Text(),
    "profiles": Items("a list of profiles, such as v16.PROFILES"),
    "ws_client": Either(NONE, _TRANSPORT),
    "ws_server": Either(NONE, _TRANSPORT),
    "Client.dispatcher": Either(NONE, Instance("a ClientDispatcher", "ClientDispatcher")),
    "Server.dispatcher": Either(NONE, Instance("a ServerDispatcher", "ServerDispatcher")),
    "queue": Either(NONE, Instance("a RequestQueue", "RequestQueue")),
    "queues": Either(NONE, Instance("a ServerQueueMap", "ServerQueueMap")),
    "queue_map": Either(NONE, Instance("a ServerQueueMap", "ServerQueueMap")),
    "RemoteServer.cluster": Instance("a Cluster", "Cluster"),
    "cluster": Either(NONE, Instance("a Cluster", "Cluster")),
    "retries": Either(NONE, Instance("a TransactionRetries", "TransactionRetries")),
    "call.timeout": Seconds(-LONGEST),  # one that has passed is a CallTimeout, and no mistake
    "stop.timeout": Either(NONE, Seconds()),
    "drain": Either(NONE, Seconds()),
    "expires": Seconds(above=True),
    "resend": Either(NONE, Flag()),
    "max_losses": Either(NONE, Whole(0)),
    "boot_first": Either(NONE, Flag()),
    "Client.state": Either(NONE, Instance("a PendingRequestState", "PendingRequestState")),
    "Server.state": Either(NONE, Instance("a ServerState", "ServerState")),
    "timeout": Seconds(above=True),
    "reconnect": Flag(),
    "Client.reconnect": Either(NONE, Flag()),
    "clock": Either(NONE, Parts("a Clock", "monotonic", "now", "call_later", "wait")),
    "validate": Either(
        NONE,
        Choice("standard", "strict", "warn", "off"),
        Flag(),
        Instance("a Validation", "Validation"),
        Function("client_id"),
    ),
    "message_id_generator": Either(NONE, Function()),
    "logger": Either(NONE, Parts("a logger", "debug", "info", "warning", "error", "exception")),
    "max_bad_messages": Whole(1),
    "max_waiting_calls": Whole(1),
    "max_waiting_bytes": Whole(1),
    "max_memory_bytes": Either(NONE, Whole(1)),
    "max_outgoing_size": Either(NONE, Whole(64)),
    "answer_timeout": Either(NONE, Seconds(above=True)),
    "max_depth": Either(NONE, Whole(2)),  # a frame, and its payload
    "repeat_answers": Whole(0),
    "repeat_answers_for": Seconds(),
    "answer_unknown_types": Flag(),
    "signer": Either(NONE, Parts("a Signer", "sign")),
    "verifier": Either(NONE, Parts("a Verifier", "verify")),
    "datetime_digits": Either(Choice(0, 3, 6), Function("client_id")),
    "PerPeer.datetime_digits": Choice(0, 3, 6),  # what such a function returns
    "known_clients": Either(
        NONE, Items("a collection of ids, or a mapping by id", "__contains__"), Function("client_id")
    ),
    # Transports
    "port": Whole(0),  # the system decides which ports there are
    "ListenAddress.host": Text(empty=True),
    "sock": Either(NONE, Instance("a socket", socket.socket), Items("a list of sockets")),
    "reuse_port": Flag(),
    "also": Items("a list of ListenAddress"),
    "health_path": Either(NONE, Text()),
    "listen.wait": Flag(),
    "client_id": Text(empty=True),
    "network": Instance("a MemoryNetwork", "MemoryNetwork"),
    "close_timeout": Seconds(),
    "ping_interval": Either(NONE, Seconds()),
    "pong_timeout": Seconds(above=True),
    "max_message_size": Whole(64),  # a Heartbeat has 57 bytes
    "readers": Either(
        Choice("auto", "per-connection", "shared"), Instance("an object of Readers", "Readers"), Function()
    ),
    "ssl_context": Either(NONE, Instance("an ssl.SSLContext", "SSLContext")),
    "handshake_timeout": Seconds(above=True),
    "write_timeout": Seconds(above=True),
    "max_header_size": Whole(128),  # the shortest head of a handshake has as many
    "backoff": Either(Instance("a Backoff", "Backoff"), Function()),
    "default_subprotocol": Either(NONE, Text()),
    "headers": Secret(NONE, Instance("a mapping of texts by name", AnyMapping), Function()),
    "basic_auth": Secret(NONE, Instance("a pair of user and password", tuple, list), Function()),
    "security_profile": Either(NONE, _PROFILE),
    "Server.security_profile": _SERVER_PROFILE,
    "WebSocketServer.security_profile": _SERVER_PROFILE,
    "ListenAddress.security_profile": _SERVER_PROFILE,
    "max_connections": Either(NONE, Whole(1)),
    "max_connections_per_address": Either(NONE, Whole(1)),
    "max_attempts_per_second": Either(NONE, Number(above=True)),
    "max_attempts_per_second_per_address": Either(NONE, Number(above=True)),
    "trusted_proxies": Items("a list of addresses and networks, as texts"),
    "proxy_header": Choice("X-Forwarded-For", "Forwarded"),
    "plain_identities": Flag(),
    "message_timeout": Seconds(above=True),
    "idle_timeout": Either(NONE, Seconds(above=True)),
    "duplicates": Choice("replace", "reject"),
    "no_subprotocol": Choice("close", "reject", "default"),
    "prefer": Choice("client", "server"),
    "handshake": Choice("strict", "lenient"),
    "max_handshakes": Either(NONE, Whole(1)),
    "compression": Either(Flag(), Instance("a Deflate", "Deflate")),
    "server_max_window_bits": Whole(9, 15),
    "client_max_window_bits": Whole(9, 15),
    "no_context_takeover": Either(NONE, Flag()),
    "patience": Seconds(),
    "linger": Seconds(),
    "max_handlers": Whole(1),
    "selector": Function(),
    # Queues and retries
    "path": Instance("the path of a file", str, PathLike),
    "capacity": Whole(0),
    "overflow": Either(
        NONE, Choice("refuse"), Instance("a policy such as DropOldest(...) or ThinOut()", "OverflowPolicy")
    ),
    "max_bytes": Either(NONE, Whole(1)),
    "max_refusals": Either(NONE, Whole(0)),
    "on_lost": Choice("refuse", "memory"),
    "message_attempts": Whole(1),
    "message_attempt_interval": Seconds(),
    "retry_back_off_wait_minimum": Seconds(),
    "retry_back_off_random_range": Seconds(),
    "retry_back_off_repeat_times": Whole(0),
    "random": Function(),
    # Metrics
    "interval": Seconds(above=True),
    # Clusters
    "url": Text(),
    "prefix": Prefix(),
    "lease": Seconds(1),
    "max_inbox": Whole(1),
    "RedisQueueMap.cluster": Instance("a RedisCluster", "RedisCluster"),
    # Scripted peers
    "Scripted.strict": Flag(),
    "Scripted.within": Seconds(),
    "Scripted.timeout_factor": Number(above=True),
    "Scripted.call_timeout": Seconds(),
    # Simulated stations, and what drivers do there
    "SimulatedStation.network": Either(NONE, Instance("a MemoryNetwork", "MemoryNetwork")),
    "SimulatedStation.connectors": Whole(1),
    "SimulatedStation.speed": Number(above=True),
    "SimulatedStation.boot_retry": Seconds(above=True),
    "SimulatedStation.plug_in_after": Either(NONE, Seconds()),
    "SimulatedStation.password": Secret(NONE, Text(empty=True)),
    "Fleet.stations": Either(Whole(1), Items("a list of ids")),
    "Fleet.network": Either(NONE, Instance("a MemoryNetwork", "MemoryNetwork")),
    "Fleet.prefix": Text(empty=True),
    "Fleet.spread": Seconds(),
    "Fleet.threads": Whole(1),
    "driver.id_token": Either(Text(empty=True), Instance("an IdToken", "IdToken")),
    "driver.vehicle": Either(NONE, Instance("a Vehicle", "Vehicle")),
    "driver.seconds": Either(NONE, Seconds()),
    "driver.energy": Either(NONE, Number()),
    "driver.spread": Seconds(),
    "driver.on_left": Either(NONE, Function()),
    # Signatures
    "private_key": Secret(_PEM),
    "certificate": Secret(NONE, _PEM),
    "algorithm": Either(NONE, Text()),
    "password": Secret(_PASSWORD),
    "certificates": Secret(Items("a list of PEM texts or paths"), Function("x5t_s256", "client_id")),
}


def row_of(owner: str, name: str) -> Optional[Kind]:
    """Return what the constructor of ``owner``, the name of a class, takes as ``name``; ``None``: it is no option."""
    return OPTIONS.get(f"{owner}.{name}") or OPTIONS.get(name)


def check_option(owner: str, name: str, value: Any) -> None:
    """Raise `UsageError` unless ``owner`` takes ``value`` as its option ``name``."""
    kind = row_of(owner, name)
    if kind is not None:
        kind.check(name, value)


def check_options(owner: str, given: Mapping[str, Any]) -> None:
    """Check each of ``given`` as `check_option` does. A constructor gives its ``locals()``: what is no option passes.

    Raises:
        UsageError: for the first bad value.
    """
    for name, value in given.items():
        check_option(owner, name, value)
