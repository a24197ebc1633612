"""What shared readers and the threads of handshakes hold: who waits, who rests, what is kept. Channels, too."""

from typing import Any, Optional

from ocppj.ws.readers.choice import AutoReaders
from ocppj.ws.readers.workers import run


def crew_of(readers: Any) -> Any:
    """Return the threads of `SharedReaders`."""
    return readers._pool.crew


def set_pace(
    readers: Any, pause: Optional[float] = None, quiet: Optional[int] = None, patience: Optional[float] = None
) -> None:
    """Set how long the monitor of `SharedReaders` pauses, when it parks, and how long a worker rests.

    To be called before the first source comes.
    """
    crew = crew_of(readers)
    if pause is not None:
        crew.pause = pause
    if quiet is not None:
        crew.quiet = quiet
    if patience is not None:
        crew.patience = patience


def look(readers: Any) -> None:
    """Look once who is blocked, and lend workers, as the monitor of `SharedReaders` does."""
    crew = crew_of(readers)
    with crew.lock:
        _, errands = crew._look()
    run(errands)


def is_parked(readers: Any) -> bool:
    """Tell whether the monitor of `SharedReaders` waits until it is called."""
    return bool(crew_of(readers)._parked)


def is_found_blocked(source: Any) -> bool:
    """Tell whether the step that ``source``, of `SharedReaders`, is in counts as blocked."""
    return not source.seat.reader_holds


def waits_for_others(source: Any) -> bool:
    """Tell whether a job of ``source``, of `SharedReaders`, waits until fewer jobs run."""
    return bool(source.seat.backlogged)


def events_of(source: Any) -> int:
    """Return what the selector of `SharedReaders` waits for on behalf of ``source``."""
    return int(source.seat.events)


def kept(readers: Any) -> int:
    """Return of how many sources any readers keep something."""
    if isinstance(readers, AutoReaders):
        return kept(readers._own) + kept(readers._shared)
    return len(readers._seats)


def standing(greeters: Any) -> int:
    """Return how many handshakes stand in line for a thread."""
    return len(greeters._line)


def last_heard(channel: Any) -> float:
    """Return when something last came over ``channel``, a pong for example."""
    return float(channel._keepalive.heard_at)
