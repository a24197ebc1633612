"""A simulated station and a scripted CSMS, in memory with a held clock."""

from contextlib import contextmanager

from ocppj import ManualClock, v16
from ocppj.testing.csms import ScriptedCSMS
from ocppj.testing.simulation.station import SimulatedStation
from ocppj.ws.memory import MemoryNetwork
from tests.testing.surroundings import VERSIONS


class Pair:
    """The two, and the types of the version. Times are in seconds of the clock: one is a simulated minute."""

    def __init__(self, version, csms, station):
        self.types = VERSIONS[version]
        self.csms, self.station = csms, station
        self._met = -1  # the number of the last message that was expected
        self.problems = []  # exceptions of the jobs of the station
        station.core.mailbox._failed = self.problems.append

    @property
    def clock(self):
        return self.station.clock

    def call(self, request):
        return self.csms.call(request)

    def expect(self, what, within=120.0, **fields):
        came = self.csms.expect(what, within=within, fields=fields)
        self._met = next(seen.number for seen in reversed(self.csms.messages) if seen.message is came)
        return came

    def begin(self, id_token="TAG", connector=1):
        """Plug in, present a card, and return the message of the start."""
        self.station.plug_in(connector)
        self.station.present_card(id_token, connector)
        if self.types is v16:
            return self.expect(v16.StartTransactionRequest, connector_id=connector)
        return self.expect(self.types.TransactionEventRequest, event_type="Started")

    def all(self, what):
        """Return all such messages that came."""
        return [seen.message for seen in self.csms.journal.entries() if isinstance(seen.message, what)]

    def nothing(self, what, during):
        """Let time pass; fail when such a message has come since the last one that was expected."""
        self.rest(during)
        since = [seen.message for seen in self.csms.messages if seen.number > self._met]
        assert [each for each in since if isinstance(each, what)] == []

    def rest(self, seconds=0.0):
        """Let time pass."""
        self.csms.timeline.sleep(seconds)

    def job(self, function):
        """Run a function as the station runs its own jobs."""
        self.station.core.post(function)


@contextmanager
def paired(version, boot=None, **options):
    """Yield a `Pair` whose station was switched on. ``boot`` is the answer to its BootNotification."""
    network, clock = MemoryNetwork(), ManualClock()
    with ScriptedCSMS([version], network=network, clock=clock) as csms:
        station = SimulatedStation("CP_1", version, network=network, clock=clock, **options)
        pair = Pair(version, csms, station)
        if boot is not None:
            csms.reply(pair.types.BootNotificationRequest, boot)
        with station:
            station.start(csms.url)
            yield pair
        assert pair.problems == []


@contextmanager
def booted(version, **options):
    """Yield a `Pair` whose station has booted, and has told of its connectors."""
    with paired(version, **options) as pair:
        pair.expect(pair.types.BootNotificationRequest)
        name, first = ("connector_id", 0) if version == "1.6" else ("evse_id", 1)
        for id in range(first, len(pair.station.connectors) + 1):
            pair.expect(pair.types.StatusNotificationRequest, **{name: id})
        pair.rest()
        yield pair
