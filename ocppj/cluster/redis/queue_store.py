"""`QueueStore`: commands on the keys of stored requests, and whether Redis can be reached."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Callable, List, Optional

from ...errors import ClusterUnavailable, NotRunning, QueueFailed
from ...log_limit import LimitedLog, SafeLog, part_log
from ...settings import LoggerLike, get_part_logger
from .connection import Links, ResponseFault
from .queue_scripts import QueueKeys
from .store import Call, run_calls

__all__ = ["QueueStore", "is_lost", "parsed"]


class QueueStore:
    """The keys of the stored requests of one cluster. For any thread.

    Args:
        links: The connections. Others may use them, too.
        prefix: The prefix of all keys.
    """

    def __init__(self, links: Links, prefix: str) -> None:
        self.links = links
        self.keys: QueueKeys = QueueKeys(prefix)
        self.path: str = f"Redis ({prefix})"  #: What log lines call it.
        self.node: str = ""  #: This node: another one after each start.
        self.is_open: bool = False
        self._lost: Optional[ClusterUnavailable] = None  # why Redis cannot be reached, as far as it is known
        self.safe_log: SafeLog = part_log("queue")
        self.limited_log: LimitedLog = LimitedLog(
            partial(get_part_logger, "queue"), lines=1
        )  # each reason once a minute

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str]) -> None:
        """Log to ``logger``; see `RequestQueue.set_logger`."""
        self.safe_log.use(logger, client_id)
        self.limited_log.use(logger, client_id)

    def begin(self, node: str) -> None:
        """Take commands from now on, as that node."""
        self.node, self._lost, self.is_open = node, None, True

    @property
    def lost(self) -> bool:
        """Whether Redis could not be reached when it was tried the last time."""
        return self._lost is not None

    def note_loss(self, error: ClusterUnavailable) -> None:
        """Refuse all commands at once, from now on: no thread is to wait for a Redis that does not answer."""
        before, self._lost = self._lost, error
        if before is None:
            words = "%s cannot be reached: no requests are stored until it is back: %s"
            self.safe_log.error(words, self.path, error)

    def note_return(self) -> None:
        """Send commands again."""
        before, self._lost = self._lost, None
        if before is not None:
            self.safe_log.warning("%s can be reached again", self.path)

    def run(self, *calls: Call) -> List[Any]:
        """Run scripts, and return their results, or faults. Raises `QueueFailed` if Redis cannot be reached."""
        return self._send(lambda: self.run_anyway(*calls))

    def run_one(self, call: Call) -> Any:
        """Run a script, and return its result. Raises `QueueFailed`, also if Redis refuses it."""
        return self.checked(self.run(call)[0])

    def ask(self, *command: Any) -> Any:
        """Run a command, and return its result. Raises as `run_one`."""
        return self.checked(self._send(lambda: self.links.run(command))[0])

    def run_anyway(self, *calls: Call) -> List[Any]:
        """Do what `run` does, also if Redis could not be reached a moment ago. Raises `ClusterUnavailable`."""
        if not calls:
            return []
        with self.links.use() as link:
            return run_calls(self.keys, calls, link)

    def checked(self, result: Any) -> Any:
        """Return ``result``. Raises `QueueFailed` if Redis has refused the command."""
        if isinstance(result, ResponseFault):
            raise QueueFailed(f"{self.path} refuses it: {result.code}")
        return result

    def _send(self, send: Callable[[], List[Any]]) -> List[Any]:
        lost = self._lost
        if not self.is_open:
            raise NotRunning(f"{self.path} is not open: init() comes first")
        try:
            if lost is not None:
                raise ClusterUnavailable(lost.description)
            return send()
        except ClusterUnavailable as error:
            raise QueueFailed(f"{self.path} cannot be used: {error}") from error


def is_lost(error: Optional[BaseException]) -> bool:
    """Tell whether ``error`` says that Redis cannot be reached."""
    while error is not None:
        if isinstance(error, ClusterUnavailable):
            return True
        error = error.__cause__
    return False


def parsed(text: Any) -> Any:
    """Return what JSON says. Raises `ValueError`."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
