"""What a durable queue and a sender hold: the file, the threads that wait for it, and the requests."""

import contextlib
from typing import Any, Iterator, Set


def file_of(queue: Any) -> Any:
    """Return the file of a durable queue, or of a map of them."""
    return queue._database


@contextlib.contextmanager
def held(file: Any) -> Iterator[None]:
    """Have the file of a durable queue, as a thread that uses it."""
    with file._in_turn(), file._lock:
        yield


def waiting(file: Any) -> int:
    """Return how many requests wait to be inserted into ``file``."""
    return len(file._commits._waiting)


def clients_with_losses(dispatcher: Any) -> Set[str]:
    """Return the clients whose lost connections a server's dispatcher counts."""
    return set(dispatcher._losses)


def inflight_of(sender: Any) -> Any:
    """Return the `InFlight` of a sender. Read its fields with the sender's lock held, or with no thread inside."""
    return sender._inflight
