"""A proxy that looks at what passes, changes something, answers something, and drops something.

python examples/central_system.py --port 9000
python examples/proxy.py ws://127.0.0.1:9000 --port 9001
python examples/charge_point.py ws://127.0.0.1:9001 CP_1
"""

import argparse
import json
import sys
from datetime import datetime, timezone
from typing import Optional, Union

from ocppj import OcppjError
from ocppj.proxy import DROP, Answer, Drop, Message, Proxy


def say(text: str) -> None:
    print(text, flush=True)


def look(message: Message) -> None:
    """Say what passes."""
    say(f"{message.client_id}: {message.sender} sends {message.kind} {message.action}")


def answer_heartbeats(message: Message) -> Optional[Answer]:
    """Spare the central system the Heartbeats."""
    if (message.kind, message.action) == ("CALL", "Heartbeat"):
        return Answer({"currentTime": datetime.now(timezone.utc).isoformat()})
    return None


def boot_as_another_vendor(message: Message) -> Optional[str]:
    """Name the vendor as the central system wants it. Nothing else is changed."""
    if (message.kind, message.action) == ("CALL", "BootNotification"):
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
    parser.add_argument("--port", type=int, default=9001, help="where stations connect")
    options = parser.parse_args()
    proxy = Proxy(options.to, hooks=[look, answer_heartbeats, boot_as_another_vendor, keep_the_settings])
    try:
        with proxy.listen(options.port, "127.0.0.1"):
            say(f"listening on {proxy.url}")
            sys.stdin.read()  # until Ctrl-C, or until the input ends
    except KeyboardInterrupt:
        say(f"ended: {proxy.counts().connected} connections")
    except OcppjError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
