"""Print which files of `ocppj` one message enters: a ``client.call()``, and a CALL that a server handles and answers.

    python tools/trace_files.py            the two lists, in the order of the first entry
    python tools/trace_files.py --counts   the two numbers alone

A file counts when one of its functions is called, generated files included. The first messages of a connection fill
tables that are made when they are first needed, so a later message is traced.
"""

from __future__ import annotations

import argparse
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any, List, Tuple

import ocppj
from ocppj import Client, Server, v16

PACKAGE = str(Path(ocppj.__file__).parent)
WARM_UP = 5  # messages before the traced one


class Trace:
    """The files of the package that are entered while it is ``on``, in the order of the first entry."""

    def __init__(self) -> None:
        self.on = False
        self.files: List[str] = []
        self.returns = 0  # how often a file is entered that was left before
        self._last = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take one event of the profiler."""
        path = frame.f_code.co_filename
        if not self.on or event != "call" or not path.startswith(PACKAGE):
            return
        name = path[len(PACKAGE) + 1 :]
        if name == self._last:
            return
        self._last = name
        if name in self.files:
            self.returns += 1
        else:
            self.files.append(name)


def trace() -> Tuple[Trace, Trace]:
    """Return the traces of a call, on the calling thread, and of a CALL handled, on the server's worker.

    The second ends when the answer has come, hence after the server has written it.
    """
    calling, handling = Trace(), Trace()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if threading.current_thread().name.startswith("ocppj-worker"):
            handling(frame, event, argument)

    threading.setprofile(profile)  # for the threads that begin from now on
    server = Server(profiles=v16.PROFILES, readers="shared")
    answer = v16.HeartbeatResponse(current_time=datetime.now(timezone.utc))
    server.on(v16.HeartbeatRequest)(lambda client_id, request: answer)
    with server.listen(host="127.0.0.1"), Client("CP_1", profiles=v16.PROFILES).connect(server.url) as client:
        for _ in range(WARM_UP):
            client.call(v16.HeartbeatRequest())
        calling.on = handling.on = True
        sys.setprofile(calling)
        try:
            client.call(v16.HeartbeatRequest())
        finally:
            sys.setprofile(None)
            calling.on = handling.on = False
    return calling, handling


def main() -> None:
    """Trace both, and print what was seen."""
    parser = argparse.ArgumentParser(description="Print which files of ocppj one message enters.")
    parser.add_argument("--counts", action="store_true", help="print the two numbers alone")
    options = parser.parse_args()
    calling, handling = trace()
    for title, seen in [("client.call()", calling), ("a CALL handled by a server", handling)]:
        print(f"{title}: {len(seen.files)} files, entered again {seen.returns} times")
        if not options.counts:
            print("".join(f"  {name}\n" for name in seen.files), end="")


if __name__ == "__main__":
    main()
