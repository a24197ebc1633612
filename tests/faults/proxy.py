"""A TCP proxy that does what networks do to connections, on purpose and as often as wanted.

::

    def plan(number, random):                  # for the connection of that number, counted from 0
        return Faults(delay=0.01), Faults(at=((random.randrange(1000), RESET),))

    with Proxy(server_port, plan) as proxy:    # the first is for what the client sends, the second for the server
        client.connect(proxy.url)
        proxy.cut_all()

Theory of operation. One thread, one selector. A connection is a `_Link` of two sockets and two `_Flow`, one for each
direction. What a flow reads goes in line, in pieces, each with the time at which it is due; an action (`RESET`, `END`
and so on) goes in line between two bytes, so that it happens exactly there. When too much is in line the flow stops to
read, as a full network would. The controls (`Proxy.cut_all` and the like) are run by the same thread.

The random numbers of a connection depend on the seed and its number alone. The seed is printed, which pytest shows
when a test fails; ``OCPPJ_FAULT_SEED`` sets it.
"""

import os
import random
import selectors
import socket
import struct
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Callable, Deque, Optional, Set, Tuple, Union

__all__ = ["DUPLICATE", "END", "FREEZE", "HALF", "NO_FAULTS", "RESET", "Faults", "Plan", "Proxy", "no_plan"]

RESET = "reset"  # both sockets are closed with an RST, what is under way is lost
END = "end"  # both ends see the end of the stream (FIN); what they still send is dropped
HALF = "half"  # this direction ends (FIN), what still comes is dropped; the other goes on
FREEZE = "freeze"  # nothing passes in this direction for ``freeze_for`` seconds
DUPLICATE = "duplicate"  # the last 1 to 64 bytes are sent again

_ROOM = 256 * 1024  # bytes in line, beyond which a flow does not read
_TAIL = 64


@dataclass(frozen=True)
class Faults:
    """What happens to one direction of one connection.

    Each piece is late by ``least`` seconds, and by up to ``delay`` more; pieces have 1 to ``split`` bytes (0: as they
    come); at most ``rate`` bytes per second pass (0: no limit). ``at``: (position in bytes, action), in order of
    position.
    """

    delay: float = 0.0
    split: int = 0
    rate: float = 0.0
    at: Tuple[Tuple[int, str], ...] = ()
    freeze_for: float = float("inf")
    least: float = 0.0


NO_FAULTS = Faults()
Plan = Callable[[int, random.Random], Tuple[Faults, Faults]]


def no_plan(number: int, random: random.Random) -> Tuple[Faults, Faults]:
    """Let everything pass."""
    return NO_FAULTS, NO_FAULTS


class _End:
    """Stands in line for the end of the stream."""


class _Flow:
    """One direction of a link."""

    def __init__(self, source: socket.socket, sink: socket.socket, faults: Faults, rng: random.Random) -> None:
        self.source, self.sink, self.faults, self.rng = source, sink, faults, rng
        self.actions = deque(sorted(faults.at))
        self.line: Deque[Tuple[float, Union[memoryview, str, _End]]] = deque()
        self.size = 0  # bytes in line
        self.position = 0  # bytes read
        self.tail = b""
        self.last_due = 0.0
        self.thaws = 0.0  # nothing passes before that time
        self.read_all = False  # the source has ended
        self.deaf = False  # what is read is dropped
        self.done = False  # the sink has been told the end
        self.blocked = False  # the sink takes no more now

    def wants_read(self, now: float) -> bool:
        return not self.read_all and self.size < _ROOM and now >= self.thaws

    def read(self, now: float) -> None:
        """Take what is there. Raises ``OSError``."""
        data = self.source.recv(65536)
        if not data:
            self.read_all = True
            self.line.append((self._due(now, 0), _End()))
        elif not self.deaf:
            self._put(data, now)

    def _put(self, data: bytes, now: float) -> None:
        end = self.position + len(data)
        while data or (self.actions and self.actions[0][0] <= end):
            if self.actions and self.actions[0][0] <= self.position:
                self._act(self.actions.popleft()[1], now)
                continue
            size = self.rng.randint(1, self.faults.split) if self.faults.split else len(data)
            if self.actions:
                size = min(size, self.actions[0][0] - self.position)
            piece, data = data[:size], data[size:]
            self.position += len(piece)
            self.tail = (self.tail + piece)[-_TAIL:]
            self._line_up(piece, now)
        assert self.position == end

    def _act(self, action: str, now: float) -> None:
        if action == DUPLICATE and self.tail:
            self._line_up(self.tail[-self.rng.randint(1, len(self.tail)) :], now)
        self.line.append((self._due(now, 0), action))

    def _line_up(self, piece: bytes, now: float) -> None:
        self.size += len(piece)
        self.line.append((self._due(now, len(piece)), memoryview(piece)))

    def _due(self, now: float, size: int) -> float:
        """Return when what is put in line now is due: late, and not before what came before it."""
        late = self.rng.uniform(0, self.faults.delay) if self.faults.delay else 0.0
        due = max(self.last_due, now + self.faults.least + late)
        if self.faults.rate:
            due += size / self.faults.rate
        self.last_due = due
        return due

    def next_due(self) -> Optional[float]:
        """Return when there is something to pass on, ``None`` for never or when the sink says."""
        if not self.line or self.blocked:
            return None
        return max(self.line[0][0], self.thaws)

    def write(self) -> None:
        """Pass on the piece that is first in line. Raises ``OSError``."""
        due, piece = self.line[0]
        assert isinstance(piece, memoryview)
        try:
            sent = len(piece) if self.deaf else self.sink.send(piece)
        except (BlockingIOError, InterruptedError):
            self.blocked = True
            return
        self.size -= sent
        if sent == len(piece):
            self.line.popleft()
        else:
            self.line[0] = (due, piece[sent:])

    def end(self) -> None:
        """Tell the sink that nothing comes any more, and drop what still does."""
        self.deaf = True
        if not self.done:
            self.done = True
            with suppress(OSError):
                self.sink.shutdown(socket.SHUT_WR)


class _Link:
    """One connection: the client's socket, the server's, and a flow from each."""

    def __init__(self, near: socket.socket, far: socket.socket, faults: Tuple[Faults, Faults], rng: Any) -> None:
        self.sockets = (near, far)
        self.flows = (_Flow(near, far, faults[0], rng), _Flow(far, near, faults[1], rng))
        self.masks = [0, 0]

    @property
    def over(self) -> bool:
        return all(flow.read_all and flow.done for flow in self.flows)


class Proxy:
    """Forwards what connects to ``url`` to ``target_port`` on 127.0.0.1, as ``plan`` says. Thread-safe.

    ``counts`` tells how often each action happened; ``seed`` repeats a run as far as threads allow.
    """

    def __init__(self, target_port: int, plan: Plan = no_plan, seed: Optional[int] = None) -> None:
        if seed is None:
            seed = int(os.environ.get("OCPPJ_FAULT_SEED") or random.SystemRandom().randrange(10**9))
        self.seed = seed
        print(f"OCPPJ_FAULT_SEED={seed}")
        self.counts: "Counter[str]" = Counter()
        self.accepted = 0
        self._target_port = target_port
        self._plan = plan
        self._links: Set[_Link] = set()  # touched by the thread alone, as is what they hold
        self._waiting: Set[_Link] = set()  # those with something in line
        self._commands: Deque[Callable[[], None]] = deque()
        self._stopping = False
        self._error: Optional[BaseException] = None  # what its thread died of
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self._alarm, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    # Controls, for any thread: they return when it is done

    def connections(self) -> int:
        """Return how many connections there are."""
        return int(self._ask(lambda: len(self._links)))

    def cut_all(self, how: str = RESET) -> int:
        """Cut every connection there is, with `RESET`, `END` or `HALF`; return how many."""
        return self.cut_some(1.0, how)

    def cut_some(self, share: float, how: str = RESET) -> int:
        """Cut that share of the connections (0 to 1, but at least one), chosen at random; return how many."""

        def cut() -> int:
            links = sorted(self._links, key=id)
            chosen = random.sample(links, min(len(links), max(1, round(share * len(links)))))
            for link in chosen:
                self._cut(link, how)
            return len(chosen)

        return int(self._ask(cut))

    def freeze(self, for_seconds: float = float("inf")) -> int:
        """Let nothing pass on the connections there are, until `thaw`; return how many."""
        return int(self._ask(lambda: self._freeze_all(time.monotonic() + for_seconds)))

    def thaw(self) -> int:
        """Let everything pass that `freeze` or `FREEZE` held up."""
        return int(self._ask(lambda: self._freeze_all(0.0)))

    def close(self) -> None:
        """Cut every connection, and end."""
        self._stopping = True
        with suppress(OSError):  # the thread may have ended already
            self._alarm.send(b"x")
        self._thread.join(10)
        assert not self._thread.is_alive(), "the proxy does not end"
        if self._error is not None:
            raise self._error

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _ask(self, what: Callable[[], Any]) -> Any:
        answer: "Future[Any]" = Future()
        self._commands.append(lambda: answer.set_result(what()))
        self._alarm.send(b"x")
        return answer.result(10)

    # Its thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                for key, events in self._selector.select(self._patience()):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._woken:
                        self._obey()
                    elif key.data in self._links:
                        self._serve(key.data, key.fileobj, events)
                for link in list(self._waiting):
                    if link in self._links:
                        self._pass_on(link)
        except BaseException as error:
            self._error = error
        finally:
            for link in list(self._links):
                self._drop(link, reset=True)
            self._selector.close()
            for sock in (self._listener, self._woken, self._alarm):
                sock.close()

    def _patience(self) -> Optional[float]:
        """Return how long the selector may wait."""
        times = [flow.next_due() for link in self._waiting for flow in link.flows]
        times += [flow.thaws for link in self._waiting for flow in link.flows if flow.thaws]
        earliest = min((due for due in times if due is not None), default=float("inf"))
        return None if earliest == float("inf") else max(0.0, earliest - time.monotonic())

    def _obey(self) -> None:
        self._woken.recv(4096)
        while self._commands:
            self._commands.popleft()()

    def _accept(self) -> None:
        try:
            near, _ = self._listener.accept()
        except OSError:
            return
        try:
            far = socket.create_connection(("127.0.0.1", self._target_port), timeout=10)
        except OSError:
            near.close()
            return
        for sock in (near, far):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rng = random.Random(f"{self.seed}/{self.accepted}")
        link = _Link(near, far, self._plan(self.accepted, rng), rng)
        self.accepted += 1
        self._links.add(link)
        self._watch(link)

    def _serve(self, link: _Link, sock: Any, events: int) -> None:
        side = link.sockets.index(sock)
        try:
            if events & selectors.EVENT_READ and link.flows[side].wants_read(time.monotonic()):
                link.flows[side].read(time.monotonic())
            if events & selectors.EVENT_WRITE:
                link.flows[1 - side].blocked = False
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._drop(link, reset=True)
            return
        self._waiting.add(link)

    def _pass_on(self, link: _Link) -> None:
        """Pass on what is due: one thing in each direction, so that a piece arrives as a piece."""
        now = time.monotonic()
        for flow in link.flows:
            due = flow.next_due()
            if due is None or due > now:
                continue
            what = flow.line[0][1]
            try:
                if isinstance(what, memoryview):
                    flow.write()
                    continue
            except OSError:
                self._drop(link, reset=True)
                return
            flow.line.popleft()
            if isinstance(what, _End):
                flow.end()
            elif not flow.deaf:
                self._perform(link, flow, what)
            if link not in self._links:
                return
        self._watch(link)

    def _perform(self, link: _Link, flow: _Flow, action: str) -> None:
        if action in (RESET, END):
            self._cut(link, action)
        elif action == HALF:
            self._cut(link, action, flow)
        else:
            self.counts[action] += 1
            if action == FREEZE:
                flow.thaws = time.monotonic() + flow.faults.freeze_for

    def _cut(self, link: _Link, how: str, flow: Optional[_Flow] = None) -> None:
        self.counts[how] += 1
        if how == RESET:
            self._drop(link, reset=True)
            return
        for each in link.flows if how == END else (flow or random.choice(link.flows),):
            each.thaws = 0.0
            each.end()
        self._watch(link)

    def _freeze_all(self, until: float) -> int:
        for link in self._links:
            for flow in link.flows:
                flow.thaws = until
            self._watch(link)
        return len(self._links)

    def _watch(self, link: _Link) -> None:
        """Wait for what the link can use: input where there is room, output where there was none."""
        if link.over:
            self._drop(link, reset=False)
            return
        now = time.monotonic()
        for flow in link.flows:
            flow.thaws = flow.thaws if flow.thaws > now else 0.0
        for side, sock in enumerate(link.sockets):
            mask = selectors.EVENT_READ if link.flows[side].wants_read(now) else 0
            mask |= selectors.EVENT_WRITE if link.flows[1 - side].blocked else 0
            if mask == link.masks[side]:
                continue
            if not link.masks[side]:
                self._selector.register(sock, mask, link)
            elif not mask:
                self._selector.unregister(sock)
            else:
                self._selector.modify(sock, mask, link)
            link.masks[side] = mask
        if any(flow.line or flow.thaws for flow in link.flows):
            self._waiting.add(link)
        else:
            self._waiting.discard(link)

    def _drop(self, link: _Link, reset: bool) -> None:
        self._links.discard(link)
        self._waiting.discard(link)
        for side, sock in enumerate(link.sockets):
            if link.masks[side]:
                self._selector.unregister(sock)
            if reset:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
