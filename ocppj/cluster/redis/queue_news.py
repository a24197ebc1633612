"""`NewsReader`: the thread that reads what other nodes have changed, and has Redis know that this node lives."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any, Callable, NamedTuple, Optional, Set

from ...errors import ClusterUnavailable
from ...events import Event, Thread
from ...loops import run_loop
from . import queue_scripts as scripts
from .connection import Link, ResponseFault, result_of
from .queue_store import QueueStore, is_lost, parsed
from .store import Call

__all__ = ["News", "NewsReader"]

#: How long Redis keeps the sign of a node, and how often the node renews it, in seconds.
_LIFE, _RENEWAL = 60, 5.0
#: How long a node waits for news at a time, and after a fault of Redis, in seconds.
_WAIT, _PAUSE = 1.0, 0.5


class News(NamedTuple):
    """What another node has changed. See `queue_scripts`.

    ``kind`` is "new" (of that client), "ended" or "canceled" (the request of the number ``about``), "over" (that of the
    message id ``about``, which this node has stored), "all" (look at everything), or "lost" (as "all", and Redis has
    lost what it had).
    """

    kind: str
    client_id: str
    about: str


class NewsReader:
    """Reads news, one at a time, and calls ``on_news`` for each.

    Redis takes news out before they arrive. So whenever it could not be reached, or has forgotten this node, there may
    be news that nobody has read: then this node begins anew, and looks at everything.
    """

    def __init__(self, store: QueueStore, on_news: Callable[[News], None], on_return: Callable[[], None]) -> None:
        self._store = store
        self._on_news = on_news
        self._on_return = on_return
        self._registered = False  # Redis knows this node, and all news since were read
        self._epoch: Optional[bytes] = None  # of Redis, when this node was registered the last time
        self._has_lost = False  # so has Redis, and that was not heard yet
        self._renewal = 0.0  # when the sign is renewed
        self._owed: Set[str] = set()  # clients that could not be looked at; each step with it is one step of a set
        self._ended = Event()
        self._thread: Optional[Thread] = None

    def _after_fork(self) -> None:
        """Forget all: it is the parent's. See `ocppj.forks`."""
        self._thread = None

    def start(self) -> None:
        """Have Redis know this node, if it can be reached now, and read news from now on."""
        ended = self._ended = Event()
        self._registered, self._epoch, self._has_lost = False, None, False
        self._owed.clear()
        try:
            self._register()
            self._registered = True  # nothing was read before: there is nothing to look at again
        except ClusterUnavailable as error:
            self._store.note_loss(error)
        self._thread = Thread(target=self._read, args=(ended,), name="ocppj-queue-news", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and have Redis forget this node, if it can be reached."""
        self._ended.set()
        news = self._news()
        try:
            if not self._store.lost:
                sign = self._store.keys.node + self._store.node
                self._store.links.run(("DEL", sign, news), ("ZADD", news, 0, "[]"), ("EXPIRE", news, 5))
        except ClusterUnavailable:
            pass  # Redis forgets it by itself
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * self._store.links.timeout)  # so long it may wait for Redis; a handler may take longer

    def owe(self, client_id: str) -> None:
        """Have that client be looked at as soon as Redis can be reached."""
        self._owed.add(client_id)

    def _news(self) -> str:
        return self._store.keys.news + self._store.node

    def _register(self) -> None:
        """Have Redis know this node."""
        (epoch,) = self._store.run_anyway(Call(scripts.JOIN, (self._store.node, _LIFE, uuid.uuid4().hex)))
        before, self._epoch = self._epoch, result_of(epoch)
        self._has_lost = self._has_lost or (before is not None and before != self._epoch)
        self._renewal = time.monotonic() + _RENEWAL

    def _read(self, ended: Event) -> None:
        link = self._store.links.new()
        try:
            run_loop("ocppj-queue-news", lambda: self._step(link, ended), None, self._store.safe_log)
        finally:
            self._store.links.end(link)

    def _step(self, link: Link, ended: Event) -> bool:
        if ended.is_set():
            return False
        was_registered, began = self._registered, time.monotonic()
        try:
            if not self._registered:
                self._begin_anew(ended)
            elif time.monotonic() >= self._renewal:
                self._renew(lambda *command: link.run(command)[0])
            elif self._owed:
                self._hear(News("new", self._owed.pop(), ""))
            else:
                wait = max(0.1, min(_WAIT, self._store.links.timeout / 2))
                self._take(link.run(("BZPOPMIN", self._news(), f"{wait:.3f}"))[0], ended)
        except ClusterUnavailable as error:
            self._registered = False
            if was_registered and time.monotonic() - began < 0.75 * self._store.links.timeout:
                return True  # it is tried once more, at once: the connection alone may have ended
            self._store.note_loss(error)
            ended.wait(_PAUSE)
        return True

    def renew(self) -> None:
        """Renew the sign of this node, if it is time. For ``on_news`` that takes long. Raises `QueueFailed`."""
        if time.monotonic() >= self._renewal:
            self._renew(self._store.ask)

    def _renew(self, ask: Callable[..., Any]) -> None:
        self._renewal = time.monotonic() + _RENEWAL
        if ask("EXPIRE", self._store.keys.node + self._store.node, _LIFE) != 1:
            self._registered = False

    def _begin_anew(self, ended: Event) -> None:
        self._register()
        self._registered = True
        self._store.note_return()
        if self._has_lost:
            words = "%s has lost the requests that it had; those of clients that are connected are stored again"
            self._store.safe_log.error(words, self._store.path)
        self._on_return()
        self._hear(News("lost" if self._has_lost else "all", "", ""))
        if self._registered:
            self._has_lost = False
        else:
            ended.wait(_PAUSE)

    def _take(self, found: Any, ended: Event) -> None:
        """Hear of what Redis has returned."""
        if isinstance(found, ResponseFault):
            self._store.limited_log.error("%s: news cannot be read: %s", self._store.path, found.code, client_id=None)
            ended.wait(_PAUSE)
            return
        if not found or ended.is_set():
            return
        try:
            kind, client_id, about = parsed(found[1])
            news = News(str(kind), str(client_id), str(about))
        except (ValueError, TypeError):
            self._store.limited_log.warning("%s: news of an unknown format", self._store.path, client_id=None)
            return
        self._hear(news)

    def _hear(self, news: News) -> None:
        try:
            self._on_news(news)
        except Exception as error:
            if is_lost(error):
                self._registered = False  # it is tried again, with all others
            else:
                words = "%s: news of other nodes: %s"
                self._store.limited_log.exception(words, self._store.path, error, client_id=None)
