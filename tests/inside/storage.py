"""What a durable queue and a lane hold: the file, who waits for it, and what is known of requests."""

from typing import Any


def file_of(queue: Any) -> Any:
    """Return the file of a durable queue, or of a map of them."""
    return queue._file


def waiting(file: Any) -> int:
    """Return how many requests stand in the line of those that wait for ``file``."""
    return len(file._line._pushes)
