"""Ports for what listens a moment later, or stops and listens again."""

import random
import socket
from contextlib import ExitStack, suppress
from typing import List

#: Below those that Linux gives to whoever asks for any port, as other tests do all the time.
_PORTS = range(20_000, 29_000)  # none has the digits of 9000 or 9001, which pages name
_chance = random.SystemRandom()  # the processes of a run of the tests choose apart


def free_ports(number: int) -> List[int]:
    """Return ports that nobody listens on just now, and that nobody gets by chance."""
    ports: List[int] = []
    with ExitStack() as stack:
        while len(ports) < number:
            sock, port = stack.enter_context(socket.socket()), _chance.choice(_PORTS)
            with suppress(OSError):
                sock.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


def free_port() -> int:
    """Return one of `free_ports`."""
    return free_ports(1)[0]
