"""The state of shared readers, of the threads of handshakes, and of channels."""

from typing import Any, Optional

from ocppj.ws.readers.choice import AutoReaders
from ocppj.ws.readers.workers import perform


def workers_of(readers: Any) -> Any:
    """Return the `Workers` of `SharedReaders`."""
    return readers._workers


def set_pace(
    readers: Any,
    check_interval: Optional[float] = None,
    park_after: Optional[int] = None,
    idle_timeout: Optional[float] = None,
) -> None:
    """Set how often the monitor of `SharedReaders` checks, when it parks, and when an idle worker ends.

    To be called before the first source comes.
    """
    workers = workers_of(readers)
    if check_interval is not None:
        workers.check_interval = check_interval
    if park_after is not None:
        workers.park_after = park_after
    if idle_timeout is not None:
        workers.idle_timeout = idle_timeout


def check(readers: Any) -> None:
    """Check once which workers block, and activate others, as the monitor of `SharedReaders` does."""
    workers = workers_of(readers)
    with workers.lock:
        _, actions = workers._check()
    perform(actions)


def all_serve(readers: Any) -> bool:
    """Tell whether each active worker of `SharedReaders` serves a slot."""
    workers = workers_of(readers)
    with workers.lock:
        return all(map(_serves, workers._active))


def _serves(worker: Any) -> bool:
    return worker.started and worker.slot is not None


def is_parked(readers: Any) -> bool:
    """Tell whether the monitor of `SharedReaders` waits until it is called."""
    return bool(workers_of(readers)._parked)


def is_found_blocked(source: Any) -> bool:
    """Tell whether the step that ``source``, of `SharedReaders`, is in counts as blocked."""
    return not source.slot.reader_active


def waits_for_others(source: Any) -> bool:
    """Tell whether a job of ``source``, of `SharedReaders`, waits until fewer jobs run."""
    return bool(source.slot.backlogged)


def events_of(source: Any) -> int:
    """Return what the selector of `SharedReaders` waits for on behalf of ``source``."""
    return int(source.slot.events)


def kept(readers: Any) -> int:
    """Return of how many sources any readers keep something."""
    if isinstance(readers, AutoReaders):
        return kept(readers._own) + kept(readers._shared)
    return len(readers._slots)


def last_heard(channel: Any) -> float:
    """Return when something last came over ``channel``, a pong for example."""
    return float(channel._keepalive.heard_at)
