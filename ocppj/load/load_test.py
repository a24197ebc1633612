"""`LoadTest`: stations that have connected and booted, and the search for the knee with them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence, Type

from ..errors import OcppjError
from ..ws.client import WebSocketClient
from ..ws.readers.shared import SharedReaders
from .knee import Knee, KneeSearch, Limits
from .load_station import LoadStation
from .open_loop import OpenLoop, Step
from .samples import payload_text, request_text

__all__ = ["LoadTest"]

_AT_ONCE = 8  # so many stations connect, or stop, at the same time
_WARM_UP = 1.0  # seconds


class LoadTest:
    """Stations that make load. It is a context manager, which ends their connections.

    Args:
        ids: The ids of the stations.
        url: Where the central system listens, without the ids.
        version: "1.6", "2.0.1" or "2.1".
        action: Which message they send. Its payload is that of `ocppj.testing.example`.
        timeout: Seconds until a request without an answer fails.
        options_of: Returns options of the `WebSocketClient` of the station with that id, such as ``ssl_context``.

    Raises:
        UsageError: The version has no such message, or an option cannot be used.
    """

    def __init__(
        self,
        ids: Sequence[str],
        url: str,
        version: str = "1.6",
        *,
        action: str = "MeterValues",
        timeout: float = 10.0,
        options_of: Optional[Callable[[str], Mapping[str, Any]]] = None,
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._text = request_text(version, action)
        boot = payload_text(version, "BootNotification")
        self._readers = SharedReaders()
        own = options_of or (lambda each: {})
        self.stations: List[LoadStation] = [
            LoadStation(each, version, WebSocketClient(reconnect=False, readers=self._readers, **own(each)), boot)
            for each in ids
        ]
        self._search: Optional[KneeSearch] = None

    def connect(self) -> List[OcppjError]:
        """Connect all stations, and have them boot. Return why some could not."""
        errors: List[OcppjError] = []

        def connect(station: LoadStation) -> None:
            try:
                station.connect(self._url, self._timeout)
            except OcppjError as error:
                errors.append(error)

        with ThreadPoolExecutor(_AT_ONCE, "ocppj-load") as threads:
            try:
                list(threads.map(connect, self.stations))
            except BaseException:  # Ctrl-C: those that connect just now must not be waited for
                self._end_connections()
                raise
        return errors

    def run(
        self, limits: Limits, *, first: float = 50.0, most: float = 100_000.0, seconds: float = 5.0
    ) -> Iterator[Step]:
        """Yield each step of the search when it was measured. See `KneeSearch`.

        Args:
            limits: When a step has given way.
            first: The first rate.
            most: The highest rate.
            seconds: How long a step takes.
        """
        with OpenLoop(self.stations, self._text, timeout=self._timeout) as loop:
            loop.run(first, min(_WARM_UP, seconds))
            self._search = KneeSearch(lambda rate: loop.run(rate, seconds), limits, first=first, most=most)
            yield from self._search.run()

    def knee(self) -> Optional[Knee]:
        """Return what was found so far. ``None``: nothing was measured yet."""
        return None if self._search is None else self._search.knee()

    def stop(self) -> None:
        """End the connections. Returns when nothing of them runs any more."""
        self._end_connections()
        self._readers.stop(self._timeout)

    def _end_connections(self) -> None:
        with ThreadPoolExecutor(_AT_ONCE, "ocppj-load") as threads:
            list(threads.map(LoadStation.stop, self.stations))

    def __enter__(self) -> "LoadTest":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.stop()
