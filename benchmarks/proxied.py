"""A proxy process in front of a server on this machine.

proxied.py PORT --hook --record      hook: reads each frame; record: writes a recording
"""

from __future__ import annotations

import argparse
import os
import sys

from harness import ROOT, obey

sys.path.insert(0, str(ROOT))

from ocppj import Recorder
from ocppj.proxy import Message, Proxy


def look(message: Message) -> None:
    """Read the head of a frame."""
    assert message.action


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--hook", action="store_true")
    parser.add_argument("--record", action="store_true")
    chosen = parser.parse_args()
    proxy = Proxy(
        f"ws://127.0.0.1:{chosen.port}",
        hooks=[look] if chosen.hook else [],
        recorders=[Recorder(os.devnull)] if chosen.record else [],
    )
    with proxy.listen(0, "127.0.0.1"):
        obey(proxy.port)


if __name__ == "__main__":
    main()
