"""`Recorder`: writes the frames and the connections of endpoints to a file."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Optional, Union

from ..errors import UsageError
from ..exchange.frame import Frame
from ..exchange.observers import ConnectionChange
from ..secrets import mask_secrets
from .recorded import Recorded, format_line
from .steady import SteadyWriter

__all__ = ["Recorder"]


class Recorder:
    """Writes what went over the wire to a file, one JSON object a line; `read_recording` reads it. Thread-safe.

    It is an observer: ``server.add_observer(Recorder("s.jsonl"))``. One recorder may be added to several servers and
    clients. It is a context manager, which closes the file.

    When a frame was shown to it, its line is with the operating system: if the process is killed, no line is lost. A
    disk that is full or slow does not stop the traffic. Lines that it does not take in time are left out and counted,
    and the recording says where. A disk that hangs holds up the thread that writes just then. Other threads wait
    0.1 seconds at most.

    A process that is forked goes on with the same file.

    Args:
        path: The file. It is made if it is not there, and only its owner may read it. Lines are added at its end.
        max_bytes: A file that would be larger is put aside: ``s.jsonl.1`` is the newest of those. ``None``: never.
        keep: How many files are kept aside.
        show_secrets: Whether passwords and keys are written. Else ``***`` stands for them.

    Raises:
        UsageError: ``max_bytes`` or ``keep`` is not allowed.
        OSError: The file cannot be opened.
    """

    def __init__(
        self,
        path: Union[str, "os.PathLike[str]"],
        *,
        max_bytes: Optional[int] = None,
        keep: int = 5,
        show_secrets: bool = False,
    ) -> None:
        if max_bytes is not None and max_bytes < 1:
            raise UsageError("max_bytes must be above 0, or None")
        if keep < 0:
            raise UsageError("keep must not be negative")
        self._path = os.path.abspath(os.fspath(path))
        self._show_secrets = show_secrets
        self._writer = SteadyWriter(self._path, max_bytes, keep)

    @property
    def path(self) -> str:
        """The file."""
        return self._path

    @property
    def lines(self) -> int:
        """How many lines were written."""
        return self._writer.written

    @property
    def lost(self) -> int:
        """How many lines were left out, because the disk was full or slow, or the recorder closed."""
        return self._writer.lost

    def __call__(self, frame: Frame) -> None:
        """Write a frame that an endpoint shows."""
        self.frame(frame.sender, frame.client_id, frame.version, frame.text, frame.connection, frame.time, frame.sent)

    def connection_changed(self, change: ConnectionChange) -> None:
        """Write that a connection of an endpoint has begun or ended."""
        self.event(change.kind, change.client_id, change.version, change.connection, change.reason, change.time)

    def frame(
        self,
        sender: str,
        client_id: str,
        version: str,
        text: str,
        connection: int = 0,
        time: Optional[datetime] = None,
        sent: bool = True,
    ) -> None:
        """Write a frame. For programs that have no `Client` or `Server`.

        Args:
            sender: Which side sent it: "station" or "csms".
            client_id: The identity of the charging station.
            version: The OCPP version of the connection, such as "1.6".
            text: The frame.
            connection: A number of your own for the connection, which no later connection of the recording has.
            time: When it was sent or read. ``None``: now.
            sent: False for a frame whose write failed.

        Raises:
            UsageError: ``sender`` is neither.
        """
        if sender != "station" and sender != "csms":
            raise UsageError(f'the sender of a frame is "station" or "csms", not {sender!r}')
        shown = text if self._show_secrets else mask_secrets(text)
        moment = time or datetime.now(timezone.utc)
        self._writer.write(
            format_line(Recorded(moment, sender, client_id, version, shown, connection=connection, sent=sent))
        )

    def event(
        self,
        kind: str,
        client_id: str,
        version: str = "",
        connection: int = 0,
        reason: str = "",
        time: Optional[datetime] = None,
    ) -> None:
        """Write that something became of a connection.

        Args:
            kind: "connected", "disconnected" or "refused".
            client_id: The identity of the charging station.
            version: The OCPP version, if it is known.
            connection: The number of the connection, as in `frame`.
            reason: Why it ended or was refused, such as "1006 the network failed".
            time: When. ``None``: now.
        """
        shown = reason if self._show_secrets else mask_secrets(reason)
        moment = time or datetime.now(timezone.utc)
        self._writer.write(
            format_line(Recorded(moment, "", client_id, version, event=kind, connection=connection, reason=shown))
        )

    def close(self) -> None:
        """Write what still waits for a slow disk, for five seconds at most, and close the file.

        What comes later is left out and counted.
        """
        self._writer.close()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
