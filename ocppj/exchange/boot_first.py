"""`BootFirst`: until its BootNotification is accepted, a client holds its other requests.

The rules: OCPP 1.6 edition 2 section 4.2, stored messages included; OCPP 2.x Part 2, B01.FR.08 and B02.FR.02. A central
system answers what comes too early with SecurityError (B01.FR.10). A stored request that got this answer is kept.

A hold begins with a session, unless the client was told otherwise; when a later BootNotification is answered Pending or
Rejected; and when a stored request was refused so. It ends when a BootNotification is accepted. A reconnect changes
nothing, unless a stored request is refused so over the new connection. The dispatcher keeps the requests back
(`ClientDispatcher.hold`); here it is decided when, and logged.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Callable, Optional, Set

from ..clock import Clock
from ..dispatch.interfaces import ClientDispatcher
from ..dispatch.pending import PendingRequestState
from ..dispatch.queues import RequestBundle
from ..dispatch.timeouts import Deadline, Timeouts
from ..errors import ErrorCode, OCPPError, UsageError
from ..rpc.endpoint import Endpoint
from ..rpc.feature_registry import FeatureRegistry
from .boot import ACCEPTED, BOOT_NOTIFICATION, boot_status
from .connection import Connection

__all__ = ["BootFirst"]

# Seconds until the first warning that requests are still held, and the longest time between two of them: each wait is
# twice the one before. A boot takes seconds.
_FIRST_WARNING = 60.0
_LONGEST_WAIT = 3600.0


class BootFirst:
    """Whether the boot of a client was accepted in this session, and what is held until it is. Thread-safe.

    ``wanted`` is the option of the client: ``None`` holds requests of a durable queue.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        features: FeatureRegistry,
        dispatcher: ClientDispatcher,
        state: PendingRequestState,
        timeouts: Timeouts,
        clock: Clock,
        wanted: Optional[bool],
        is_connected: Callable[[], bool],
    ) -> None:
        self._name = name
        self._endpoint = endpoint
        self._features = features
        self._dispatcher = dispatcher
        self._state = state
        self._timeouts = timeouts
        self._clock = clock
        self._wanted = wanted
        self._is_connected = is_connected
        self.holding: bool = False  # read without the lock
        self._lock = threading.Lock()  # guards the fields below, and changes of `holding`
        self._on = False  # whether this session holds what is not answered SecurityError, too
        self._accepted: Optional[Connection] = None  # over which the last BootNotification was accepted
        self._session: object = None
        self._too_early: Set[str] = set()  # requests that were let through, and answered SecurityError
        self._hold: object = None  # the present hold, once the log has told of it
        self._since = 0.0
        self._warning: Optional[Deadline] = None

    # The course of a session

    def begin(self, session: object) -> None:
        """Begin a session. Raises `UsageError` if a version that is offered has no BootNotification to wait for."""
        features = self._features
        lacking = [each for each in features.dialects if (each, BOOT_NOTIFICATION) not in features.by_action]
        if self._wanted and lacking:
            raise UsageError(f"boot_first: no profile of OCPP {lacking[0].version} has a BootNotification to wait for")
        dispatcher = self._dispatcher
        by_default = dispatcher.durable and dispatcher.can_hold and not lacking
        with self._lock:
            self._session = session
            self._accepted = None
            self._too_early.clear()
            self._on = self.holding = by_default if self._wanted is None else self._wanted
            warning = self._forget_warning()
        if warning is not None:
            warning.cancel()
        if self.holding:
            dispatcher.hold(self._may_pass)
        else:
            dispatcher.release()

    def answered(self, connection: Connection, response: object) -> bool:
        """Take note of ``response`` if it answers a BootNotification. Return whether a hold begins.

        To be called before the next request is sent, on the reading thread.
        """
        feature = self._features.by_action.get((connection.dialect, BOOT_NOTIFICATION))
        if feature is None or not feature.is_loaded or type(response) is not feature.response_type:
            return False
        status = boot_status(response)
        if status is None:  # a lenient check lets it through
            self._endpoint.peer_log.warning(
                "%s: a BootNotification was answered without a status", connection.client_id
            )
            return False
        if status == ACCEPTED:
            self._release(connection)
            return False
        with self._lock:
            if connection.session is not self._session:
                return False
            self._accepted = None
            begins = self._on and not self.holding
            self.holding = self.holding or begins
        if begins:
            self._dispatcher.hold(self._may_pass)
            self.look()
        return begins

    def keeps(self, connection: Connection, message_id: str, error: OCPPError) -> bool:
        """Tell whether the stored request ``message_id``, which was answered with ``error``, is held from now on.

        So it is, too, if the boot was accepted over an earlier connection: a central system that has started again may
        have forgotten it, and would refuse one request after the other.
        """
        dispatcher = self._dispatcher
        if error.code is not ErrorCode.SECURITY_ERROR or not dispatcher.durable:
            return False
        with self._lock:
            if self._accepted is connection or connection.session is not self._session:
                return False
            self._too_early.add(message_id)
            forgotten = self._accepted is not None
        if not dispatcher.hold(self._may_pass, message_id):  # a BootNotification itself, or it has ended
            with self._lock:
                self._too_early.discard(message_id)
            return False
        self.holding = True
        why = "it came before a BootNotification was accepted"
        if forgotten:
            why = "the central system seems to have forgotten the boot. A new BootNotification is needed"
        self._endpoint.peer_log.warning("%s: request %r is kept: %s: %s", connection.client_id, message_id, why, error)
        self.look()
        return True

    def _release(self, connection: Connection) -> None:
        count = self._dispatcher.count_held() if self._hold is not None else 0
        with self._lock:
            if connection.session is not self._session:
                return
            self._accepted = connection
            self._too_early.clear()
            held, self.holding = self.holding, False
            told, since, warning = self._hold is not None, self._since, self._forget_warning()
        if warning is not None:
            warning.cancel()
        if told:
            words = "%s: a BootNotification was accepted; %d requests that were held for %.0f seconds are sent now"
            self._endpoint.safe_log.info(words, self._name, count, self._clock.monotonic() - since)
        if held:
            self._dispatcher.release()

    def _may_pass(self, bundle: RequestBundle) -> bool:
        if bundle.call.action == BOOT_NOTIFICATION:
            return True
        return bundle.before_boot and bundle.message_id not in self._too_early

    def holds(self, message_id: str) -> bool:
        """Tell whether a request that has not ended is held."""
        return self.holding and self._state.get(message_id) is None

    # The log

    def look(self) -> None:
        """Log that requests are held, when there are the first; after each step that may make one of them wait."""
        if self._hold is not None or not self._is_connected():  # without a connection they would wait all the same
            return
        count = self._dispatcher.count_held()
        with self._lock:
            if not count or not self.holding or self._hold is not None:
                return
            hold = self._hold = object()
            self._since = self._clock.monotonic()
        words = "%s: %d requests are held until a BootNotification is accepted, since %s"
        self._endpoint.safe_log.info(words, self._name, count, self._clock.now().isoformat(timespec="seconds"))
        self._warn_later(hold, _FIRST_WARNING)

    def _warn_later(self, hold: object, wait: float) -> None:
        warning = self._timeouts.add(wait, partial(self._warn, hold, wait))
        with self._lock:
            over = self._hold is not hold
            if not over:
                self._warning = warning
        if over:
            warning.cancel()

    def _warn(self, hold: object, wait: float) -> None:
        count = self._dispatcher.count_held()
        with self._lock:
            if self._hold is not hold:
                return
            since = self._since
        if count and self._is_connected():
            words = "%s: %d requests are held, for %.0f seconds now: no BootNotification was accepted"
            self._endpoint.safe_log.warning(words, self._name, count, self._clock.monotonic() - since)
        self._warn_later(hold, min(2 * wait, _LONGEST_WAIT))

    def _forget_warning(self) -> Optional[Deadline]:
        """Let the log tell of the next hold anew. Return the deadline to cancel. Called with the lock held."""
        warning, self._warning, self._hold = self._warning, None, None
        return warning
