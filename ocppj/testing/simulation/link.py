"""`Link`: the connection of one station, which it opens, loses, regains and closes without a thread of its own."""

from __future__ import annotations

from functools import partial
from typing import Callable, Iterator, Optional

from ...client import Client
from ...errors import HandshakeRefused, Stopped, TransportError
from ...ws.backoff import Backoff
from .background import Background
from .mailbox import Mailbox
from .scheduler import Handle
from .simtime import Timers

__all__ = ["Link"]


class Link:
    """Brings the connection into the state that is wanted. All methods are to be called in jobs of the mailbox.

    The client is to be made with ``reconnect=False``: its own reconnecting would take a thread for each station.

    Args:
        client: The client of the station.
        mailbox: Runs what follows from connecting.
        timers: For the waits between attempts.
        background: Where the client connects and stops.
        backoff: Returns how long to wait between attempts; asked at the beginning of each outage.
        on_up: Called in a job when a connection was made.
        on_down: Called in a job when it has ended.
        on_failed: Called in a job, with the exception, when an attempt to connect has failed.
    """

    def __init__(
        self,
        client: Client,
        mailbox: Mailbox,
        timers: Timers,
        background: Background,
        backoff: Callable[[], Backoff],
        on_up: Callable[[], object],
        on_down: Callable[[], object],
        on_failed: Callable[[Exception], object],
    ) -> None:
        self._client = client
        self._mailbox = mailbox
        self._timers = timers
        self._background = background
        self._backoff = backoff
        self._on_up = on_up
        self._on_down = on_down
        self._on_failed = on_failed
        self.url: str = ""
        self.wanted: bool = False  #: Whether there is to be a connection.
        self.up: bool = False  #: Whether there is one that is used.
        self._is_made = False  # the client has a connection, which may have to be closed yet
        self._busy = False  # the client connects or stops now
        self._at_once = False  # it stops, to connect again without a wait
        self._over = False  # there is to be no connection any more; set by any thread
        self._waits: Optional[Iterator[float]] = None  # of the present outage
        self._wait: Optional[Handle] = None
        client.set_disconnected_handler(lambda close: mailbox.post(self._look))

    def open(self, url: Optional[str] = None) -> None:
        """Connect, and again after each loss. Without a ``url``: to the last one."""
        self.url = url or self.url
        self.wanted = True
        self._settle()

    def close(self) -> None:
        """Close the connection, and stay away until `open`."""
        self.wanted = False
        self._waits = None
        self._cancel_wait()
        self._set_down()
        self._settle()

    def reconnect(self) -> None:
        """Close the connection, and make a new one: there is a new password, for instance."""
        if self.up and not self._busy:
            self._at_once = True
            self._set_down()
            self._run(self._client.stop)

    def cut(self) -> None:
        """Lose the connection, as if the network had failed."""
        if self._client.is_connected():
            self._client.abort()
        self._set_down()

    def prove(self) -> None:
        """Note that the connection is of use: an answer came over it. The next outage begins with the shortest wait."""
        self._waits = None

    def end(self) -> None:
        """Make no connection any more. May be called from any thread; the client is to be stopped after it."""
        self._over = True

    def _settle(self) -> None:
        """Begin with what brings the connection into the state that is wanted."""
        if self._busy or self._wait is not None:
            return
        if self.wanted and not self._is_made and not self._over:
            self._run(self._connect)
        elif not self.wanted and self._is_made:
            self._run(self._client.stop)

    def _connect(self) -> None:
        if not self._over:
            self._client.connect(self.url)
        if self._over:  # in between: the thread that stops the client may have been too early
            self._client.stop()

    def _run(self, step: Callable[[], object]) -> None:
        self._busy = True
        self._background.run(partial(self._step, step))

    def _step(self, step: Callable[[], object]) -> None:
        problem: Optional[Exception] = None
        try:
            step()
        except Exception as error:
            problem = error
        self._mailbox.post(partial(self._stepped, problem))

    def _stepped(self, error: Optional[Exception]) -> None:
        self._busy = False
        if self.wanted and not self._client.is_connected() and not self._at_once:  # it failed, or was lost at once
            self._begin_wait(error)
        self._look()
        self._at_once = False
        if isinstance(error, TransportError) and self.wanted:
            self._on_failed(error)
        if error is not None and not isinstance(error, (TransportError, Stopped)):
            raise error

    def _look(self) -> None:
        """Take note of whether there is a connection."""
        was_made, self._is_made = self._is_made, self._client.is_connected()
        if self._is_made and not was_made and self.wanted:
            self._cancel_wait()
            self.up = True
            self._on_up()
        elif was_made and not self._is_made:
            self._set_down()
            if self.wanted and not self._busy and not self._at_once and self._wait is None:
                self._begin_wait(None)
        self._settle()

    def _set_down(self) -> None:
        if self.up:
            self.up = False
            self._on_down()

    def _begin_wait(self, error: Optional[Exception]) -> None:
        if self._waits is None:
            self._waits = self._backoff().waits()
        wait = next(self._waits)
        if isinstance(error, HandshakeRefused) and error.retry_after:
            wait = max(wait, error.retry_after)
        self._wait = self._timers.call_later(wait, self._waited)

    def _waited(self) -> None:
        self._wait = None
        self._settle()

    def _cancel_wait(self) -> None:
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None
