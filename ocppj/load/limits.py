"""`allow_many_sockets`: thousands of connections need as many file descriptors."""

from __future__ import annotations

__all__ = ["allow_many_sockets"]

_SPARE = 200


def allow_many_sockets(count: int) -> bool:
    """Raise the limit of file descriptors of this process as far as the system lets it.

    Args:
        count: How many sockets there will be.

    Returns:
        Whether there is room for so many.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return True
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _SPARE
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return True
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed >= wanted
