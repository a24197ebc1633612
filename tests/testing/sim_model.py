"""A station whose OCPP version is a recorder: what the model tells its behaviour is kept, in order."""

from contextlib import contextmanager
from functools import partial

from ocppj import Client, ManualClock, Server, v16
from ocppj.testing.defaults import DefaultAnswers
from ocppj.testing.simulation.authorization import Decision
from ocppj.testing.simulation.background import Background
from ocppj.testing.simulation.behaviour import Behaviour
from ocppj.testing.simulation.connectors import IdToken, Point, Vehicle
from ocppj.testing.simulation.core import Core
from ocppj.testing.simulation.scheduler import Scheduler
from ocppj.testing.simulation.settings import Setting, Settings
from ocppj.testing.timeline import timeline_for
from ocppj.ws.memory import MemoryNetwork

#: The settings of the model, under its own names.
SETTINGS = {
    "heartbeat_interval": 300,
    "message_attempts": 3,
    "message_attempt_interval": 10,
    "connection_timeout": 60,
    "sample_interval": 0,
    "sample_measurands": ["Energy.Active.Import.Register"],
    "ended_interval": 0,
    "ended_measurands": [],
    "aligned_interval": 0,
    "aligned_measurands": ["Energy.Active.Import.Register"],
    "aligned_ended_interval": 0,
    "aligned_ended_measurands": [],
    "authorize_remote": False,
    "offline_authorize_listed": True,
    "preauthorize_listed": False,
    "offline_allow_unknown": False,
    "cache_enabled": True,
    "list_enabled": True,
    "master_pass_group": "MASTER",
    "stop_on_invalid": True,
    "stop_on_unplug": True,
    "new_sessions_before_update": False,
}


class Recorded(Behaviour):
    """``events`` has what the model tells, as tuples. ``decisions`` says how ids are answered, by their value."""

    profiles = v16.PROFILES
    start_points = frozenset({Point.POWER_PATH_CLOSED})
    stop_points = frozenset({Point.POWER_PATH_CLOSED})

    def __init__(self, core):
        self.core = core
        self.events = []
        self.decisions = {}
        self.heartbeats = 0

    @classmethod
    def make_settings(cls, connectors):
        return Settings([Setting(name, value) for name, value in SETTINGS.items()], {name: name for name in SETTINGS})

    def boot(self, reason, on_answer, on_failure):
        self.events.append(("boot", reason))
        request = v16.BootNotificationRequest(charge_point_vendor="V", charge_point_model="M")
        self.core.send(request, on_answer, on_failure, before_boot=True)

    def booted(self):
        self.events.append(("booted",))

    def back_online(self):
        self.events.append(("back online",))

    def heartbeat(self):
        self.core.send(v16.HeartbeatRequest())

    def connector_changed(self, connector, before):
        self.events.append((connector.id, before.value, connector.status.value))

    def availability_changed(self):
        self.events.append(("station", self.core.connectors.operative))

    def reservation_ended(self, reservation, status):
        self.events.append(("reservation", reservation.id, status))

    def authorize(self, id_token, connector, decide):
        self.events.append(("authorize", id_token.value))
        decide(self.decisions.get(id_token.value, Decision("Accepted")))

    def transaction_started(self, transaction, trigger):
        self.events.append(("started", transaction.number, trigger))

    def transaction_updated(self, transaction, trigger, reading=None):
        self.events.append(("updated", transaction.number, trigger))

    def transaction_ended(self, transaction, trigger):
        self.events.append(("ended", transaction.number, trigger, transaction.reason))

    def meter_values(self, connector, reading):
        self.events.append(("meter", connector and connector.id, reading.samples[0].value))

    def firmware_status(self, status, request_id):
        self.events.append(("firmware", status, request_id))

    def log_status(self, status, request_id):
        self.events.append(("log", status, request_id))

    def security_event(self, type, tech_info=None):
        self.events.append(("security", type))


class Model:
    """A `Core`, its server, and the time they share. Speed 1: simulated seconds are seconds of the clock."""

    def __init__(self, connectors=2, **kinds):
        self.network, self.clock = MemoryNetwork(), ManualClock()
        self.timeline = timeline_for(self.clock, self.network)
        self.server = Server(profiles=v16.PROFILES, ws_server=self.network.server(), clock=self.clock)
        self.came, self.replies = [], {}
        defaults = DefaultAnswers()

        @self.server.set_request_handler
        def answer(client_id, request, message_id, action):
            self.came.append(request)
            reply = self.replies.get(type(request))
            response = defaults.respond(request, self.clock.now()) if reply is None else reply(request)
            self.server.send_response(client_id, message_id, response)

        client = Client(
            "CP_1",
            profiles=v16.PROFILES,
            ws_client=self.network.client(clock=self.clock),
            clock=self.clock,
            reconnect=False,
        )
        self.background = Background(1, self.network.activity)
        self.scheduler = Scheduler(self.clock, client.safe_log)
        self.core = Core(
            client,
            "1.6",
            type("Kind", (Recorded,), kinds),
            connectors=connectors,
            speed=1.0,
            clock=self.clock,
            scheduler=self.scheduler,
            background=self.background,
        )

    def stop(self):
        self.core.link.end()
        self.core.post(self.core.power.switch_off)
        self.core.client.stop()
        self.scheduler.close()
        self.background.close()

    @property
    def events(self):
        return self.core.behaviour.events

    def since(self, mark):
        """Return the events after the first ``mark``."""
        return self.events[mark:]

    def run(self, job, *arguments):
        """Run a job of the station, and let everything come to rest."""
        self.core.post(partial(job, *arguments))
        self.pass_time(0)

    def pass_time(self, seconds):
        self.timeline.sleep(seconds)

    # What tests do most

    def plug_in(self, connector=1, **vehicle):
        self.run(self.core.transactions.plug_in, self.core.connectors[connector], Vehicle(**vehicle))

    def unplug(self, connector=1):
        self.run(self.core.transactions.unplug, self.core.connectors[connector])

    def present(self, id="TAG", connector=1):
        self.run(self.core.transactions.present, IdToken(id), self.core.connectors[connector])

    def set(self, name, value):
        self.run(self.core.settings.put, name, value)

    def energy(self, connector=1):
        return self.core.meters[self.core.connectors[connector]].energy

    def status(self, connector=1):
        return self.core.connectors[connector].status.value


@contextmanager
def booted(connectors=2, **kinds):
    """Yield a `Model` that is connected, and accepted. Its list of events is empty."""
    model = Model(connectors, **kinds)
    with model.server.listen(port=0):
        model.run(model.core.power.switch_on, model.server.url)
        assert model.core.online
        model.events.clear()
        try:
            yield model
        finally:
            model.stop()
