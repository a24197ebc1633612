"""Recordings: what went over the wire, as JSON lines in a file."""

from ..lazy import TYPE_CHECKING, hooks

if TYPE_CHECKING:
    from .any_log import read_any
    from .foreign import FoundFrame, find_frames, open_log
    from .recorded import BrokenRecording, Recorded, read_recording
    from .recorder import Recorder
else:
    _HOMES = {
        ".any_log": "read_any",
        ".foreign": "FoundFrame find_frames open_log",
        ".recorded": "BrokenRecording Recorded read_recording",
        ".recorder": "Recorder",
    }
    __getattr__, __dir__ = hooks(__name__, _HOMES)

__all__ = [
    "BrokenRecording",
    "FoundFrame",
    "Recorded",
    "Recorder",
    "find_frames",
    "open_log",
    "read_any",
    "read_recording",
]
