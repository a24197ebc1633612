"""`BusyHandler`: what a handler's thread is doing, at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional

from ..rpc.messages import Call
from ..ws.base import RunningJob

__all__ = ["BusyHandler", "busy_handlers"]


@dataclass(frozen=True)
class BusyHandler:
    """A handler that runs, or blocks, as it was when `Server.busy_handlers` or `Client.busy_handlers` returned.

    Attributes:
        client_id: The charge point whose connection it belongs to.
        seconds: For how long it has run or blocked. 0 for one that may have begun just now.
        action: That of the CALL or SEND that it handles. ``None`` for another handler, such as that of a response.
        message_id: The id of that CALL or SEND.
        waiting: Whether it waits in ``call()``, and so holds one of the slots for such handlers (``readers="shared"``).
        released: Whether it ran for longer than ``answer_timeout``, so that the next messages do not wait for it.
    """

    client_id: str
    seconds: float
    action: Optional[str] = None
    message_id: Optional[str] = None
    waiting: bool = False
    released: bool = False


def busy_handlers(jobs: Iterable[RunningJob], handled: Dict[int, Call]) -> List[BusyHandler]:
    """Return what ``jobs`` are, the longest first. ``handled`` has the CALL that each thread handles."""
    found = []
    for job in jobs:
        call = handled.get(job.ident)
        action, message_id = (None, None) if call is None else (call.action, call.unique_id)
        found.append(BusyHandler(job.client_id, job.seconds, action, message_id, job.waiting, job.released))
    return sorted(found, key=lambda busy: -busy.seconds)
