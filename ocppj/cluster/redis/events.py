"""`RedisSubscription`: events of all nodes, by Pub/Sub of Redis."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict

from ...errors import ClusterUnavailable
from ...events import Event, Thread
from ...log_limit import LimitedLog, SafeLog
from ...payloads.jsontext import decode, encode
from ..base import ClusterEvent
from ..watcher import Handler, Watcher
from .connection import Link, text_of
from .store import Store

__all__ = ["RedisSubscription", "event_of", "text_of_event"]

_FORMAT = 1
_KINDS: Dict[str, Any] = {"kind": str, "node_id": str, "client_id": str, "about": dict, "time": (int, float)}
_LOOK = 0.25  # seconds between two looks whether the subscription is closed
_PAUSE = 0.5  # seconds before a new connection after a fault


def text_of_event(event: ClusterEvent) -> str:
    """Return an event as JSON."""
    return encode({"v": _FORMAT, **vars(event), "about": dict(event.about)})


def event_of(text: str) -> ClusterEvent:
    """Return what `text_of_event` made a text of. Raises `ValueError`."""
    values = decode(text)
    if not isinstance(values, dict) or values.get("v") != _FORMAT:
        raise ValueError("another format")
    if not all(isinstance(values.get(name), kind) for name, kind in _KINDS.items()):
        raise ValueError("values are missing")
    return ClusterEvent(**{name: values[name] for name in _KINDS})


class RedisSubscription:
    """A `Subscription`: a thread reads the events, and a `Watcher` calls the handlers on another.

    Args:
        store: Where the events come from.
        handlers: By kind.
        max_waiting: So many events at most wait for a handler.
        log: For what handlers raise.
        limited: For what is not understood.
        subscribed: Called when Redis has taken the subscription, or has ended it.
    """

    def __init__(
        self,
        store: Store,
        handlers: Dict[str, Handler],
        max_waiting: int,
        log: SafeLog,
        limited: LimitedLog,
        subscribed: Callable[[], None],
    ) -> None:
        self._store, self._log, self._subscribed = store, limited, subscribed
        self._closed = Event()
        self._ready = Event()  # the first attempt to subscribe has ended
        self._watcher = Watcher(handlers, max_waiting, log, self._on_close)
        self._reader = Thread(target=self._read, name="ocppj-cluster-pubsub", daemon=True)

    @property
    def dropped(self) -> int:
        """How many events were dropped, because the handlers were too slow. What Redis loses is not known."""
        return self._watcher.dropped

    def start(self) -> None:
        """Begin. Returns when Redis knows of it, or does not answer."""
        self._reader.start()
        self._ready.wait(self._store.links.timeout)

    def close(self) -> None:
        """End it. When it returns, no handler runs any more, unless this is called from one."""
        self._watcher.close()
        if self._reader.is_alive():
            self._reader.join(2 * self._store.links.timeout + _LOOK)
        self._subscribed()

    def _on_close(self, watcher: Watcher) -> None:
        self._closed.set()

    def _after_fork(self) -> None:
        """Be closed in the child: it has no threads of the parent."""
        self._closed.set()

    def _read(self) -> None:
        link = self._store.links.new()
        while not self._closed.is_set():
            try:
                self._listen(link)
            except ClusterUnavailable as error:
                self._log.warning("%s: they cannot be read now: %s", "events", error)
                self._ready.set()
                self._closed.wait(_PAUSE)
        self._store.links.end(link)

    def _listen(self, link: Link) -> None:
        """Read events until the subscription is closed. Raises `ClusterUnavailable`."""
        link.close()  # a new connection has no subscriptions
        link.send(["SUBSCRIBE", *[self._store.keys.events + kind for kind in sorted(self._watcher.kinds)]])
        heard, asked = time.monotonic(), False
        while not self._closed.is_set():
            answer = link.receive(_LOOK)
            silent = time.monotonic() - heard
            if answer is not None:
                heard, asked = time.monotonic(), False
                self._take(answer)
            elif asked and silent > 2 * self._store.links.timeout:
                raise ClusterUnavailable("Redis: no answer")
            elif not asked and silent > self._store.links.timeout:
                link.send(["PING"])
                asked = True

    def _take(self, answer: Any) -> None:
        """Take what Redis says: a message has its kind, its channel and its text."""
        if not isinstance(answer, list):
            raise ClusterUnavailable(f"Redis refuses it: {getattr(answer, 'text', '')}")
        if answer[0] == b"subscribe" and not self._ready.is_set():
            self._ready.set()
            self._subscribed()
        if answer[0] != b"message":
            return
        try:
            event = event_of(text_of(answer[2]))
        except ValueError:
            self._log.warning("%s: an event that is not understood was skipped", text_of(answer[1]))
            return
        self._watcher.put(event)
