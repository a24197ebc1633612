"""A proxy that looks at what passes, changes something, answers something, and drops something. See README."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
from datetime import datetime, timezone
from typing import Optional, Union

from ocppj import OcppjError
from ocppj.proxy import DROP, Answer, Drop, Message, Proxy

log = logging.getLogger("proxy")


def look(message: Message) -> None:
    """Log what passes."""
    log.info("%s: %s sends %s %s", message.client_id, message.sender, message.kind, message.action)


def answer_heartbeats(message: Message) -> Optional[Answer]:
    """Spare the central system the Heartbeats."""
    if (message.kind, message.action) == ("CALL", "Heartbeat"):
        return Answer({"currentTime": datetime.now(timezone.utc).isoformat()})
    return None


def boot_as_another_vendor(message: Message) -> Optional[str]:
    """Name the vendor as the central system wants it. Nothing else is changed."""
    if (message.kind, message.action, message.version) == ("CALL", "BootNotification", "1.6"):
        number, message_id, action, payload = json.loads(message.text)
        return json.dumps([number, message_id, action, {**payload, "chargePointVendor": "ACME Inc."}])
    return None


def keep_the_settings(message: Message) -> Union[Answer, Drop, None]:
    """Let the central system change no setting, and throw frames away that are no OCPP."""
    if (message.kind, message.action) == ("CALL", "ChangeConfiguration"):
        return Answer({"status": "Rejected"})
    return DROP if message.kind is None else None


def main() -> None:
    parser = argparse.ArgumentParser(description="A proxy with hooks.")
    parser.add_argument("to", help="the central system, such as ws://127.0.0.1:9000")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines connect")
    parser.add_argument("--port", type=int, default=9001, help="where stations connect; 0 takes any free port")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager ends it as Ctrl-C does
    try:
        # Each hook sees what the one before has made of a message.
        proxy = Proxy(options.to, hooks=[look, answer_heartbeats, boot_as_another_vendor, keep_the_settings])
        with proxy.listen(options.port, options.host):
            try:
                log.info("listening on %s", proxy.url)
                threading.Event().wait()
            except KeyboardInterrupt:
                log.info("ended: %s connections", proxy.counts().connected)
    except OcppjError as error:  # the port is taken; the URL cannot be used
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
