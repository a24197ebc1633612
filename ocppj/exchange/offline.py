"""Requests to clients that may be away (``offline=True``): for whom, in which OCPP version, and until when.

A `SQLiteQueueMap` keeps them, and the dispatcher holds them until the client has booted: see
`ServerDispatcher.set_booted`.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Collection, Iterable, List, NamedTuple, Optional, Type, Union

from ..callables import refuse_coroutine
from ..clock import Clock
from ..errors import UnknownClient, UnsupportedFeature, UsageError
from ..interrupted import calls_program
from ..option_checks import check_option
from ..payloads.model import Payload
from ..recent import Recent
from ..rpc.dialect import Dialect
from ..rpc.feature_registry import FeatureRegistry

__all__ = ["KnownClients", "Offline", "OfflineRequests"]

#: Clients that offline requests are taken for: their ids, a mapping that has them, or ``f(client_id) -> bool``.
KnownClients = Union[None, Collection[str], Callable[[str], bool]]

# Clients whose version a server remembers at most. It forgets the one that connected the longest time ago.
_MAX_REMEMBERED = 100_000


class Offline(NamedTuple):
    """How one request is sent that was made with ``offline=True``.

    ``expires`` is in seconds, as `time.time`. ``dialect_of(client_id, request type)`` returns the version in which it
    is made for a client that is not connected, or raises why it is not taken.
    """

    expires: Optional[float]
    dialect_of: Callable[[str, Type[Payload]], Dialect]


class OfflineRequests:
    """The options of a server's requests to clients that may be away."""

    def __init__(self, features: FeatureRegistry, clock: Clock, known_clients: KnownClients, takes: bool) -> None:
        self._features = features
        self._clock = clock
        self._known = known_clients
        self._takes = takes
        self._lock = threading.Lock()
        self._versions: Recent[str, str] = Recent(_MAX_REMEMBERED)  # of the last connection of each client

    def options(self, offline: bool, expires: Optional[float], version: Optional[str]) -> Optional[Offline]:
        """Return the options of a request, ``None`` for one that is not made ``offline``. Raises `UsageError`."""
        if not offline:
            if expires is not None or version is not None:
                raise UsageError("expires and version are for offline=True")
            return None
        if not self._takes:
            raise UsageError("offline=True needs queues that last: queues= is a SQLiteQueueMap or a RedisQueueMap")
        if expires is not None:
            check_option("call", "expires", expires)
            expires += self._clock.now().timestamp()
        return Offline(expires, lambda client_id, request_type: self._dialect_of(client_id, request_type, version))

    def note_version(self, client_id: str, version: str) -> None:
        """Remember the OCPP version of a connection."""
        with self._lock:
            self._versions.remember(client_id, version)

    def known_ids(self) -> List[str]:
        """Return the ids of the known clients, as far as they can be listed."""
        return list(self._known) if isinstance(self._known, Iterable) else []

    def _dialect_of(self, client_id: str, request_type: Type[Payload], version: Optional[str]) -> Dialect:
        if not isinstance(client_id, str) or not client_id:
            raise UsageError(f"a client's id is a text, not {client_id!r}")
        if not self._is_known(client_id):
            raise UnknownClient(f"no client {client_id!r} is connected, and it is none of known_clients")
        dialects = self._features.dialects_of(request_type)
        wanted = version or (self._versions.get(client_id) if len(dialects) > 1 else None)
        chosen = [each for each in dialects if wanted in (None, each.version)]
        if version is not None and not chosen:
            raise UnsupportedFeature(f"no profile of OCPP {version} has {request_type.__name__}")
        if len(chosen) != 1:
            versions = ", ".join(each.version for each in dialects)
            what = f"{request_type.__name__} is of the OCPP versions {versions}"
            raise UnsupportedFeature(f"{what}, and which one {client_id!r} speaks is not known: say so with version=")
        if not chosen[0].allows_identity(client_id):
            raise UsageError(f"OCPP {chosen[0].version} does not allow such an identity as {client_id!r}")
        return chosen[0]

    @calls_program
    def _is_known(self, client_id: str) -> bool:
        known: Any = self._known
        if known is None:
            return True
        if hasattr(known, "__contains__"):
            return client_id in known
        said = known(client_id)
        refuse_coroutine(known, said)
        return bool(said)
