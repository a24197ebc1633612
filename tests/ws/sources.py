"""Sources made for tests of readers: the reading side of a connection that is not there."""

import select
import selectors
import socket
import threading

from tests.helpers import Recorder, seconds


class _End(threading.Event):
    """Tells the readers too."""

    def __init__(self, source):
        super().__init__()
        self._source = source

    def set(self):
        super().set()
        self._source.notify()


class FakeSource:
    """Has no descriptor, and ends when told so, by ``end.set()``."""

    outlet = None
    paused = False

    def __init__(self, name="CP_1"):
        self.slot = None
        self.name = name
        self.notify = lambda: None
        self.end = _End(self)
        self.steps = Recorder()
        self.finished = Recorder()
        self.on_finish = lambda: None
        self.deadline = None
        self.expired = Recorder()

    def fileno(self):
        return -1

    def watch(self, notify):
        self.notify = notify
        return True

    def step(self, block):
        self.steps(threading.current_thread().name)
        if block:
            assert self.end.wait(seconds(10))
        return not self.end.is_set()

    def next_deadline(self):
        return self.deadline

    def wants_write(self):
        return False

    def expire(self):
        self.expired()
        self.end.set()

    def finish(self):
        self.on_finish()
        self.finished(threading.current_thread().name)


class PairSource(FakeSource):
    """One end of a socket pair: calls ``on_data(source, bytes)``, and ends with the stream."""

    def __init__(self, name="CP_1", on_data=lambda source, data: None):
        super().__init__(name)
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.on_data = on_data

    def fileno(self):
        return self.near.fileno()

    def watch(self, notify):
        return False

    def step(self, block):
        assert not block
        self.steps(threading.current_thread().name)
        try:
            data = self.near.recv(4096)
        except BlockingIOError:
            return True
        if data:
            self.on_data(self, data)
        return bool(data)

    def finish(self):
        self.near.close()
        super().finish()

    def close(self):
        self.far.close()


class WaitingSource(FakeSource):
    """Like `FakeSource`; a step that may wait waits for `notify` too."""

    def __init__(self, name="CP_1"):
        self.told = threading.Event()
        super().__init__(name)
        self.notify = self.told.set

    def watch(self, notify):
        self.notify = lambda: (self.told.set(), notify())
        return True

    def step(self, block):
        if block:
            assert self.told.wait(seconds(30))
        self.told.clear()
        return super().step(False)


class WaitingPair(PairSource):
    """Like `PairSource`; a step that may wait waits for data."""

    def step(self, block):
        if block:
            assert select.select([self.near], [], [], seconds(30))[0]
        return super().step(False)


class TellingSelector(selectors.DefaultSelector):
    """Tells whether a thread waits in it until something comes, and counts how often one has begun to ask it."""

    def __init__(self):
        super().__init__()
        self.waits = False
        self.asked = 0

    def select(self, timeout=None):
        self.asked += 1
        self.waits = timeout is None or timeout > 60
        try:
            return super().select(timeout)
        finally:
            self.waits = False


class TellingSelectors:
    """Makes one `TellingSelector`, for `SharedReaders`."""

    def __init__(self):
        self.made = None

    def __call__(self):
        self.made = TellingSelector()
        return self.made

    @property
    def waits(self):
        """Whether a worker waits in the selector, and will until something comes."""
        return self.made is not None and self.made.waits
