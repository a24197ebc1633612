"""What a message costs a server, counted: the same with few connections and many, and after many messages.

    python benchmarks/costs.py            a million messages

Functions of Python and of C that are called are counted, and bytecodes of Python that run. They are those of the server
of steps.py, which does everything on one thread, from the bytes of the socket to the bytes of the answer. The other
connections are idle. Neither count depends on the machine.
"""

from __future__ import annotations

import argparse
import sys
from typing import Dict, List

from harness import ROOT, Figures, Subject, allow_files, say, table
from load import Connection, Wrong
from steps import ACTIONS, Whole

sys.path.insert(0, str(ROOT))

from ocppj import v16
from tests.counting import count_bytecodes, count_functions

COLUMNS = {f"{kind} {action}": f"{kind}, {action}" for action in ACTIONS for kind in ("functions", "bytecodes")}


class Crowd(Whole):
    """A server with one connection that sends messages, and others that are idle."""

    def __init__(self, action: str, connections: int) -> None:
        super().__init__(action)
        self._idle: List[Connection] = [self._connect(number) for number in range(1, connections)]

    def _connect(self, number: int) -> Connection:
        other = Connection(self.port, number)
        other.sock.setblocking(True)
        while not other.upgraded:
            other.read()
            other.upgrade()
        return other

    def queue(self, requests: int) -> None:
        """Queue requests to the client that sends messages. It gets the first of them, and does not answer."""
        for _ in range(requests):
            self._server.send_request(self._server.client_ids()[0], v16.ResetRequest("Soft"))
        if requests:
            self._client.recv(4096)

    def close(self) -> None:
        for each in self._idle:
            each.sock.close()
        self._client.sock.close()
        self._inline.turn()
        self._server.stop(timeout=0.1)  # nobody reads that the idle ones have ended


def cost(connections: int = 1, messages: int = 0, queued: int = 0) -> Figures:
    """Count with so many connections, after so many messages, and with so many requests queued."""
    found: Dict[str, float] = {}
    for action in ACTIONS:
        crowd = Crowd(action, connections)
        try:
            crowd.queue(queued)
            for _ in range(messages + 10):
                crowd.message()
            found[f"functions {action}"] = count_functions(crowd.message)
            found[f"bytecodes {action}"] = count_bytecodes(crowd.message)
        finally:
            crowd.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer connections and messages")
    parser.add_argument("--messages", type=int, default=1_000_000)
    chosen = parser.parse_args()
    crowds = (10, 100) if chosen.quick else (10, 1000, 8000)
    messages = 1000 if chosen.quick else chosen.messages
    if not allow_files(2 * crowds[-1] + 100):
        raise Wrong("the hard limit of open files (ulimit -Hn) is too low")
    results = {f"{crowd:,} connections": cost(connections=crowd) for crowd in crowds}
    results[f"after {messages:,} messages"] = cost(messages=messages)
    results["900 requests queued"] = cost(queued=900)
    say(table("### One message, counted", [Subject(name, []) for name in results], results, COLUMNS))


if __name__ == "__main__":
    main()
