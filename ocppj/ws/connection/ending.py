"""Close channels and wait for their ends: what ``stop()`` does, of a server and of a client."""

from __future__ import annotations

import time
from typing import Collection, List, Sequence

from .channel import WireChannel

__all__ = ["end_channels"]

_GRACE = 1.0  # seconds for the handlers of the channels that were cut


def end_channels(
    channels: Sequence[WireChannel], code: int, reason: str, deadline: float, stoppers: Collection[int]
) -> None:
    """Close ``channels`` and wait for their ends; cut those whose peers do not answer until ``deadline``.

    A channel is not waited for when its reader is this thread or another thread that stops the same endpoint
    (``stoppers``): that reader ends the channel after its handler has returned.
    """
    for channel in channels:
        channel.begin_close(code, reason)
    cut: List[WireChannel] = []
    for channel in channels:
        while not channel.ended.is_set() and not channel.read_by(stoppers):
            left = deadline - time.monotonic()
            if left <= 0:
                channel.abort()
                cut.append(channel)
                break
            channel.ended.wait(min(left, 0.05))  # not longer: there may be new stoppers
    grace = time.monotonic() + _GRACE
    for channel in cut:
        channel.ended.wait(max(0.0, grace - time.monotonic()))
