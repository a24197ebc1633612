"""What a durable queue and a lane hold: the file, who waits for it, and what is known of requests."""

from typing import Any, Set


def file_of(queue: Any) -> Any:
    """Return the file of a durable queue, or of a map of them."""
    return queue._file


def waiting(file: Any) -> int:
    """Return how many requests stand in the line of those that wait for ``file``."""
    return len(file._line._pushes)


def clients_with_losses(dispatcher: Any) -> Set[str]:
    """Return the clients whose lost connections a server's dispatcher counts."""
    return set(dispatcher._losses)


def turn_of(lane: Any) -> Any:
    """Return what a lane knows of its requests. Tests read its fields, with the lane's lock held or nobody inside."""
    return lane._turn
