"""`lines_of`: the lines of the standard input, when no person types them. A signal that comes meanwhile is seen.

Python does not see a signal that comes just before it waits in a system call, until something else ends the wait. So
these functions wait in slices.
"""

from __future__ import annotations

import codecs
import os
import select
import sys
from typing import Iterator, NoReturn, Optional, TextIO

from ..events import Event

__all__ = ["lines_of", "wait_for_signal"]

_SLICE = 0.25  # seconds
_CHUNK = 65536


def lines_of(stream: TextIO) -> Iterator[str]:
    """Yield the lines of a stream, each as soon as it is there, without its end."""
    descriptor = _descriptor_of(stream)
    if descriptor is None:
        yield from (line.rstrip("\n") for line in stream)
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while True:
        if not select.select([descriptor], [], [], _SLICE)[0]:
            continue
        data = os.read(descriptor, _CHUNK)
        *lines, rest = (rest + decoder.decode(data, final=not data)).split("\n")
        yield from lines
        if not data:
            break
    if rest:
        yield rest


def _descriptor_of(stream: TextIO) -> Optional[int]:
    """Return the descriptor of a stream that can be waited for: on Windows there is none."""
    if sys.platform == "win32":
        return None
    try:
        return stream.fileno()
    except (OSError, ValueError):  # a stream of a test has none
        return None


def wait_for_signal() -> NoReturn:
    """Wait until a signal raises ``KeyboardInterrupt``."""
    while True:
        Event().wait(_SLICE)
