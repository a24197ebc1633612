"""Recordings made by hand, and peers in memory that a replay talks to."""

import json
import threading
from collections import deque
from datetime import datetime, timedelta, timezone

from ocppj.recording import Recorded
from ocppj.replaying import CSMSReplay, Rules, StationReplay, read_conversations
from ocppj.replaying.performance import Pace
from ocppj.ws.memory import MemoryNetwork
from tests.helpers import eventually, seconds

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
NOW = "2026-11-30T18:12:26.123Z"
BOOT = {"chargePointVendor": "Acme", "chargePointModel": "One"}
BOOTED = {"status": "Accepted", "currentTime": "2026-01-02T03:04:05Z", "interval": 300}
#: A replay that takes no longer than it must: a recorded second takes a millisecond.
FAST = Pace(speed=1000.0, patience=seconds(5), timeout=seconds(5))
#: The same for what does not come.
IMPATIENT = Pace(speed=1000.0, patience=seconds(1), timeout=seconds(5))


class Talk:
    """Makes the lines of a recording. Each frame comes a second after the one before."""

    def __init__(self, client_id="CP_1", version="1.6", connection=1, begin=BEGIN):
        self.lines = []
        self._about = {"client_id": client_id, "version": version, "connection": connection}
        self._now = begin
        self._ids = iter(range(1, 1000))
        self._last = ""

    def event(self, kind, **more):
        self._now += timedelta(seconds=1)
        self.lines.append(Recorded(self._now, event=kind, **self._about, **more))
        return self

    def frame(self, sender, text, after=1.0, **more):
        self._now += timedelta(seconds=after)
        text = text if isinstance(text, str) else json.dumps(text)
        self.lines.append(Recorded(self._now, sender, text=text, **self._about, **more))
        return self

    def call(self, sender, action, payload, answer=None, after=1.0):
        """Add a CALL and its answer, which is a payload or the code of an error."""
        self._last = f"id-{next(self._ids)}"
        self.frame(sender, [2, self._last, action, payload], after)
        other = "csms" if sender == "station" else "station"
        if isinstance(answer, str):
            self.frame(other, [4, self._last, answer, "", {}])
        elif answer is not None:
            self.frame(other, [3, self._last, answer])
        return self

    def boot(self):
        return self.call("station", "BootNotification", BOOT, BOOTED)


def started(**about):
    """Return a recording that has begun: a connection, and a boot."""
    return Talk(**about).event("connected").boot()


def shown(outcome):
    """Return the differences of a replay, as text."""
    return sorted(str(each) for each in outcome.differences)


class _Peer:
    """What came, by action, and answers to it."""

    def __init__(self):
        self.answers = {"BootNotification": BOOTED, "StartTransaction": {"transactionId": 99}, "StopTransaction": {}}
        self.came = []  # messages, as lists
        self._changed = threading.Condition()
        self._scripts = {}

    def after(self, action, *frames):
        """Send frames after the answer to the next CALL of that action."""
        self._scripts.setdefault(action, deque()).extend(frames)
        return self

    def receive(self, channel, text):
        try:
            fields = json.loads(text)
        except ValueError:
            fields = [text]
        with self._changed:
            self.came.append(fields)
            self._changed.notify_all()
        if fields[0] == 2:
            answer = self.answers.get(fields[2], "NotImplemented")
            if callable(answer):
                answer = answer(channel, fields)
            if isinstance(answer, str):
                channel.send(json.dumps([4, fields[1], answer, "", {}]))
            elif answer is not None:
                channel.send(json.dumps([3, fields[1], answer]))
            scripts = self._scripts.get(fields[2], ())
            while scripts:
                frame = scripts.popleft()
                frame(channel) if callable(frame) else channel.send(json.dumps(frame))

    def calls(self, action):
        """Return the payloads of the CALLs of that action that came."""
        with self._changed:
            return [each[3] for each in self.came if each[0] == 2 and each[2] == action]

    def results(self):
        """Return the answers that came, without their ids."""
        with self._changed:
            return [[each[0], *each[2:]] for each in self.came if each[0] in (3, 4)]

    def wait_for(self, action):
        return eventually(lambda: self.calls(action))


class CSMS(_Peer):
    """A central system in memory."""

    def __init__(self, network):
        super().__init__()
        self.ended = []
        self.server = network.server()
        self.server.set_message_handler(self.receive)
        self.server.set_connected_handler(lambda channel: None)
        self.server.set_disconnected_handler(lambda channel, close: self.ended.append(channel.id))
        self.server.listen(0, "/{id}", "csms", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()


class Station(_Peer):
    """A charging station in memory."""

    def __init__(self, network, url, client_id="CP_1", subprotocol="ocpp1.6", **answers):
        super().__init__()
        self.answers.update(answers)
        self.lost = threading.Event()
        self.client = network.client(reconnect=False)
        self.client.set_message_handler(self.receive)
        self.client.set_connected_handler(lambda channel: None)
        self.client.set_disconnected_handler(lambda channel, close: self.lost.set())
        self.client.connect(url, client_id, [subprotocol])

    def call(self, action, payload):
        """Send a CALL, and return the answer."""
        message_id = f"live-{len(self.came)}-{action}"
        self.client.send(json.dumps([2, message_id, action, payload]))
        found = eventually(lambda: [each for each in self.came if each[1:2] == [message_id] and each[0] in (3, 4)])
        return found[0][2]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.stop()


def play(talks, csms, network, ignore=(), pace=FAST, **options):
    """Play the stations of recordings, and return what was found."""
    lines = [line for talk in (talks if isinstance(talks, list) else [talks]) for line in talk.lines]
    conversations, _ = read_conversations(lines)
    replay = StationReplay(
        csms.server.url,
        conversations,
        rules=Rules(ignore),
        pace=pace,
        make_client=lambda client_id: network.client(reconnect=False),
        **options,
    )
    return replay.run()


def serve(talks, network, ignore=(), pace=FAST):
    """Return a replay of the central system that listens in memory, and its URL."""
    lines = [line for talk in (talks if isinstance(talks, list) else [talks]) for line in talk.lines]
    replay = CSMSReplay(read_conversations(lines)[0], rules=Rules(ignore), pace=pace, make_server=network.server)
    return replay, replay.listen(0, "csms")


def make_network():
    return MemoryNetwork()
