"""`read_any`: what was recorded, or the frames in the log of another program."""

from __future__ import annotations

import os
from typing import Callable, Iterator, Optional, Union

from .foreign import open_log
from .recorded import Recorded, begins_recording, read_recording

__all__ = ["is_recording", "read_any"]

_LONGEST = 16 * 1024 * 1024  # of the first line


def is_recording(path: Union[str, "os.PathLike[str]"]) -> bool:
    """Tell whether a file is a recording, by its first line. Raises ``OSError``.

    A file that is empty is one if there is one that was put aside: its program was killed before it wrote on.
    """
    with open(path, "rb") as file:
        line = file.readline(_LONGEST)
    if not line and os.path.exists(f"{os.fspath(path)}.1"):
        return is_recording(f"{os.fspath(path)}.1")
    return begins_recording(line)


def read_any(
    path: Union[str, "os.PathLike[str]"], broken: Optional[Callable[[int, str], object]] = None
) -> Iterator[Recorded]:
    """Yield the lines of a recording, those of its rotated files included, or the frames of any other log.

    Args:
        path: The file; "-" for the standard input.
        broken: As that of `read_recording`.

    Raises:
        BrokenRecording: A line of a recording cannot be read.
        OSError: The file cannot be read.
    """
    if os.fspath(path) != "-" and is_recording(path):
        return read_recording(path, broken=broken)
    return iter(open_log(path, broken))
