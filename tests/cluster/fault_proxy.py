"""What stands between one node and its Redis: a `Proxy` whose faults begin and end while it runs.

Each node has one of its own, so one node can be partitioned. `RedisProxy.heal` ends all faults.
"""

from __future__ import annotations

import random
import socket
import struct
from contextlib import suppress
from typing import Any, Callable, Tuple

from tests.faults.proxy import NO_FAULTS, RESET, Faults, Proxy

__all__ = ["FROM_REDIS", "TO_REDIS", "RedisProxy", "at_random"]

#: The directions.
TO_REDIS, FROM_REDIS = 0, 1


class RedisProxy(Proxy):
    """Forwards to a Redis on 127.0.0.1. The controls are for any thread; they return when it is done."""

    def __init__(self, redis_port: int) -> None:
        self._faults: Tuple[Faults, Faults] = (NO_FAULTS, NO_FAULTS)  # of connections to come
        self._refusing = False
        self._mute: Tuple[int, ...] = ()  # the directions in which nothing passes
        super().__init__(redis_port, lambda number, random: self._faults)

    def aim(self, redis_port: int) -> None:
        """Forward new connections to that port."""
        self._target_port = redis_port

    def refuse(self) -> None:
        """Cut all connections, and end each new one at once, as if no Redis were there."""
        self._refusing = True
        self.cut_all(RESET)

    def slow(self, least: float, more: float = 0.0) -> None:
        """Let each piece be late by ``least`` seconds, and by up to ``more``, in each direction, from now on."""
        faults = Faults(least=least, delay=more)
        self._use(faults, faults)

    def cut_after(self, count: int, direction: int = TO_REDIS) -> None:
        """Cut each new connection after so many bytes in that direction."""
        faults = [NO_FAULTS, NO_FAULTS]
        faults[direction] = Faults(at=((count, RESET),))
        self._faults = faults[0], faults[1]

    def swallow(self, *directions: int) -> None:
        """Let nothing pass in these directions, without a word: what comes is lost. Both: a partition."""
        self._mute = directions
        self._for_all_links(self._silence)

    def partition(self) -> None:
        """Let nothing pass in either direction, without a word. New connections are made, and silent."""
        self.swallow(TO_REDIS, FROM_REDIS)

    def heal(self) -> None:
        """End all faults. Connections that have lost something are cut."""
        self._refusing, self._mute = False, ()
        self._use(NO_FAULTS, NO_FAULTS)
        self._for_all_links(self._end_if_deaf)
        self.thaw()

    def _use(self, up: Faults, down: Faults) -> None:
        self._faults = up, down
        self._for_all_links(self._have_faults)

    def _for_all_links(self, do: Callable[[Any], None]) -> None:
        self._ask(lambda: [do(link) for link in list(self._links)])

    # On its thread

    def _accept(self) -> None:
        if self._refusing:
            self._turn_away()
            return
        before = set(self._links)
        super()._accept()
        for link in self._links - before:
            self._silence(link)

    def _turn_away(self) -> None:
        with suppress(OSError):
            near, _ = self._listener.accept()
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            near.close()

    def _silence(self, link: Any) -> None:
        for direction in self._mute:
            link.flows[direction].deaf = True

    def _have_faults(self, link: Any) -> None:
        for flow, faults in zip(link.flows, self._faults):
            flow.faults = faults
            flow.actions.clear()

    def _end_if_deaf(self, link: Any) -> None:
        if any(flow.deaf for flow in link.flows):
            self._drop(link, reset=True)


def at_random(proxy: RedisProxy, chance: random.Random) -> str:
    """Have something happen to a proxy, as ``chance`` says, and return what; `RedisProxy.heal` ends it."""
    kinds = {
        "cut": lambda: proxy.cut_all(RESET),
        "freeze": proxy.freeze,
        "refuse": proxy.refuse,
        "slow": lambda: proxy.slow(0.02, 0.2),
        "partition": proxy.partition,
        "no way to Redis": lambda: proxy.swallow(TO_REDIS),
        "no way from Redis": lambda: proxy.swallow(FROM_REDIS),
        "cut after some bytes": lambda: (proxy.cut_after(chance.randrange(5000)), proxy.cut_all(RESET)),
        "cut after some bytes of answers": lambda: (
            proxy.cut_after(chance.randrange(5000), FROM_REDIS),
            proxy.cut_all(RESET),
        ),
    }
    kind = chance.choice(sorted(kinds))
    kinds[kind]()
    return kind
