"""Reports in several messages, with ``seqNo`` and ``tbc``."""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, Sequence, Tuple

from ..core import Core

__all__ = ["PAGE_SIZE", "paged", "send_pages"]

#: How many entries of a report a message has at most.
PAGE_SIZE = 25

#: f(entries, number, tbc): makes the message with these entries. ``tbc``: another one follows.
MakePage = Callable[[List[Any], int, bool], Any]


def paged(entries: Sequence[Any], size: int = PAGE_SIZE) -> Iterator[Tuple[List[Any], int, bool]]:
    """Yield the entries, the number, and whether another one follows, for each message. There is at least one."""
    for number, start in enumerate(range(0, max(1, len(entries)), size)):
        yield list(entries[start : start + size]), number, start + size < len(entries)


def send_pages(
    core: Core, entries: Sequence[Any], make: MakePage, size: int = PAGE_SIZE, before_boot: bool = False
) -> None:
    """Send a report that the CSMS has asked for.

    With ``before_boot`` it may be sent before the boot is accepted (B02.FR.02 names the requests). Any other report
    waits for that.
    """
    for page, number, more in paged(entries, size):
        core.send(make(page, number, more), before_boot=before_boot, keep=not before_boot and not core.boot.accepted)
