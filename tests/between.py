"""A transport's client between an `ocppj.Client` and the transport that does the work: it acts when a test says so."""

from typing import Any, Callable, Optional


class BetweenClient:
    """A `base.Client` that has ``inner`` do what it is asked for.

    The endpoint is handed a `BetweenChannel` for each channel. ``before_connect`` is called first in `connect`, once:
    it may set another. ``after_stop`` is called last in each `stop`.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.before_connect: Optional[Callable[[], Any]] = None
        self.after_stop: Optional[Callable[[], Any]] = None
        self.channel: Any = None  # the last one

    @property
    def reconnect(self) -> bool:
        return bool(self.inner.reconnect)

    @reconnect.setter
    def reconnect(self, reconnect: bool) -> None:
        self.inner.reconnect = reconnect

    def set_connected_handler(self, handler: Any) -> None:
        def connected(channel: Any) -> None:
            self.channel = BetweenChannel(channel)
            handler(self.channel)

        self.inner.set_connected_handler(connected)

    def set_message_handler(self, handler: Any) -> None:
        self.inner.set_message_handler(lambda channel, text: handler(BetweenChannel(channel), text))

    def set_disconnected_handler(self, handler: Any) -> None:
        self.inner.set_disconnected_handler(lambda channel, close: handler(BetweenChannel(channel), close))

    def set_attempt_failed_handler(self, handler: Any) -> None:
        self.inner.set_attempt_failed_handler(handler)

    def connect(self, *arguments: Any, **options: Any) -> None:
        act, self.before_connect = self.before_connect, None
        if act is not None:
            act()
        self.inner.connect(*arguments, **options)

    def send(self, text: str, wait: bool = True) -> None:
        self.inner.send(text, wait)

    def stop(self, *arguments: Any, **options: Any) -> None:
        self.inner.stop(*arguments, **options)
        if self.after_stop is not None:
            self.after_stop()

    def waiting(self) -> Any:
        return self.inner.waiting()


class BetweenChannel:
    """A `base.Channel`, equal to each other one of the same ``inner``. While ``broken`` is set, `send` raises it."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.broken: Optional[Exception] = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BetweenChannel) and self.inner is other.inner

    def __hash__(self) -> int:
        return hash(self.inner)

    @property
    def id(self) -> Any:
        return self.inner.id

    @property
    def subprotocol(self) -> Any:
        return self.inner.subprotocol

    @property
    def remote_address(self) -> Any:
        return self.inner.remote_address

    @property
    def ping_interval(self) -> Any:
        return self.inner.ping_interval

    @ping_interval.setter
    def ping_interval(self, interval: Any) -> None:
        self.inner.ping_interval = interval

    def send(self, text: str, wait: bool = True) -> None:
        if self.broken is not None:
            raise self.broken
        self.inner.send(text, wait)

    def close(self, *arguments: Any) -> None:
        self.inner.close(*arguments)

    def submit(self, job: Callable[[], None]) -> None:
        self.inner.submit(job)
