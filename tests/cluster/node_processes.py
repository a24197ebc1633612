"""Nodes as processes: the driver's side of `tests.cluster.node_program`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Dict, List

from tests.helpers import seconds
from tests.programs import ROOT, environment

__all__ = ["Node", "NodeDied", "NodeFailed"]


class NodeDied(Exception):
    """The process has ended before it answered."""


class NodeFailed(Exception):
    """A command has raised: ``error`` is the name of the exception."""

    def __init__(self, answer: Dict[str, Any]) -> None:
        super().__init__(f"{answer['error']}: {answer['text']}")
        self.error: str = answer["error"]
        self.maybe_sent: bool = answer["maybe_sent"]


class Node:
    """A node in a process of its own. Use it as a context; at its end the process is killed.

    Args:
        options: What the program takes: "redis" (options of `RedisCluster`; without them there is no cluster),
            "server" (options of `Server`), "skew" (seconds that its clock is wrong), "verbose".
    """

    def __init__(self, **options: Any) -> None:
        self._lock = threading.Lock()
        self._next = 1
        self._dead = False
        begun: "Future[Any]" = Future()
        self._waiting: Dict[int, "Future[Any]"] = {0: begun}
        program = str(ROOT / "tests" / "cluster" / "node_program.py")
        self.process = subprocess.Popen(
            [sys.executable, program, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="node-reader", daemon=True)
        self._reader.start()
        try:
            self.url: str = begun.result(seconds(20))
        except BaseException:
            self.close()
            raise

    def begin(self, do: str, **order: Any) -> "Future[Any]":
        """Have the node do that, and return what will have its answer, or `NodeFailed`, or `NodeDied`."""
        answer: "Future[Any]" = Future()
        with self._lock:
            number = self._next
            self._next += 1
            if self._dead:
                raise NodeDied(do)
            self._waiting[number] = answer
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"n": number, "do": do, **order}) + "\n")
            self.process.stdin.flush()
        return answer

    def ask(self, do: str, patience: float = 30.0, **order: Any) -> Any:
        """Have the node do that, and return its answer, within ``patience`` seconds."""
        return self.begin(do, **order).result(seconds(patience))

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait(seconds(10))

    def close(self) -> None:
        self.kill()
        self._reader.join(seconds(10))
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer = json.loads(line)
            with self._lock:
                waiting = self._waiting.pop(answer["n"])
            if "error" in answer:
                waiting.set_exception(NodeFailed(answer))
            else:
                waiting.set_result(answer["result"])
        for waiting in self._die():
            waiting.set_exception(NodeDied())

    def _die(self) -> "List[Future[Any]]":
        with self._lock:
            self._dead = True
            left = list(self._waiting.values())
            self._waiting.clear()
            return left
