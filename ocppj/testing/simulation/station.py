"""`SimulatedStation`: a charging station that does what a real one does."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from importlib import import_module
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar, Union

from ...activity import UNCOUNTED
from ...client import Client
from ...clock import Clock, SystemClock
from ...errors import UsageError
from ...option_checks import check_options, shown
from ...rpc.dialect import V16
from ...ws.handshake.credentials import BasicAuth
from ...ws.handshake.urls import connection_url, host_and_port
from ...ws.memory import MemoryNetwork
from ...ws.options import MemoryClientOptions
from ..timeline import timeline_for
from .background import Background
from .connectors import Connector, Connectors, IdToken, Transaction, Vehicle
from .core import BehaviourType, Core
from .drivers import as_token
from .faults import Faults
from .scheduler import Scheduler
from .settings import Settings
from .summary import Summary

__all__ = ["SimulatedStation", "check_url"]

T = TypeVar("T")

_ROOMS: Dict[str, Tuple[str, str]] = {
    "1.6": (".v16", "Behaviour16"),
    "2.0.1": (".v2", "Behaviour201"),
    "2.1": (".v2", "Behaviour21"),
}


def behaviour_of(version: str) -> BehaviourType:
    """Return the behaviour of a version, which is imported now. Raises `UsageError`."""
    if version not in _ROOMS:
        raise UsageError(f"there is no simulated station of OCPP {version!r}: one of {', '.join(_ROOMS)}")
    room, name = _ROOMS[version]
    found: BehaviourType = getattr(import_module(room, __package__), name)
    return found


def check_url(url: str, id: str, network: Optional[MemoryNetwork]) -> None:
    """Raise `UsageError` for a URL to which no station can ever connect."""
    whole = connection_url(url, id)
    if network is None:
        host_and_port(whole)


class SimulatedStation:
    """A charging station, simulated whole. It has no thread of its own.

    A thread in the background connects and stops it, and its client has its own threads.

    Args:
        id: Its identity.
        version: "1.6", "2.0.1" or "2.1".
        connectors: How many connectors it has (1.6), or EVSEs with one connector each (2.x).
        speed: How many times as fast as the clock the time of charging runs; the protocol's follows the clock.
        clock: The source of time.
        network: Where it connects in memory.
        boot_retry: Seconds of the clock until the next BootNotification, if the CSMS gives no interval, or no answer.
        password: For HTTP Basic authentication. The CSMS can change it.
        plug_in_after: How many simulated seconds after a remote start a driver plugs in, where no vehicle is. The
            driver leaves when the transaction has ended. ``None``: nobody comes.
        scheduler: Shared timers of a fleet.
        background: Shared threads of a fleet, on which stations connect and stop.
        options: Options of the client's transport, and of `Client`.

    Raises:
        UsageError: There is no such version, the version does not allow the id, or an option cannot be used.
        TypeError: There is no such option.
    """

    def __init__(
        self,
        id: str,
        version: str = "1.6",
        *,
        connectors: int = 2,
        speed: float = 60.0,
        clock: Optional[Clock] = None,
        network: Optional[MemoryNetwork] = None,
        boot_retry: float = 3.0,
        password: Optional[str] = None,
        plug_in_after: Optional[float] = 5.0,
        scheduler: Optional[Scheduler] = None,
        background: Optional[Background] = None,
        **options: Any,
    ) -> None:
        check_options("SimulatedStation", locals())
        behaviour = behaviour_of(version)
        self.id = id
        self.version = version
        self.clock: Clock = SystemClock() if clock is None else clock
        if password is not None:
            options["basic_auth"] = self._credentials
        if network is not None:
            own = {name: options.pop(name) for name in MemoryClientOptions.__annotations__ if name in options}
            options["ws_client"] = network.client(**{**own, "clock": self.clock})
        self.client: Client = Client(id, profiles=behaviour.profiles, clock=self.clock, reconnect=False, **options)
        for dialect in self.client.dialects:
            if not dialect.allows_identity(id):
                raise UsageError(f"OCPP {version} does not allow the id {id!r}")
        activity = UNCOUNTED if network is None else network.activity
        self._own_scheduler = None
        if scheduler is None:
            scheduler = self._own_scheduler = Scheduler(self.clock, self.client.safe_log, activity)
        self._own_background = None
        if background is None:
            background = self._own_background = Background(1, activity)
        self.core: Core = Core(
            self.client,
            version,
            behaviour,
            connectors=connectors,
            speed=speed,
            clock=self.clock,
            scheduler=scheduler,
            background=background,
        )
        self.core.boot.retry_seconds = boot_retry
        self.core.drivers.plug_in_after = plug_in_after
        self._network = network
        self._timeline = timeline_for(self.clock, network)
        self._started = False
        if password is not None:
            self.core.settings.put_named("password", password)
            self.core.settings.watch("password", lambda: self.core.post(self.core.link.reconnect))

    # Life cycle

    def start(self, url: str) -> "SimulatedStation":
        """Switch the station on: it connects to ``url`` + "/" + its id, and boots. Does not wait.

        Raises:
            UsageError: It was started before, or no connection can be made to such a URL. A station that was stopped
                stays so.
        """
        if self._started:
            raise UsageError(f"{self.id} was started before: make another station")
        check_url(url, self.id, self._network)
        self._started = True
        self.core.post(partial(self._switch_on, url))
        return self

    def _switch_on(self, url: str) -> None:
        is_secure, has_password = url.lower().startswith("wss:"), bool(self.core.settings.get("password"))
        profile = {(False, False): 0, (False, True): 1, (True, True): 2, (True, False): 3}[is_secure, has_password]
        self.core.settings.put_named("security_profile", profile)
        self.core.power.switch_on(url)

    def stop(self) -> None:
        """Switch the station off, for good. Returns when its connection is closed, and nothing of it runs any more."""
        self.core.link.end()
        self.core.post(self.core.power.switch_off)
        self.client.stop()
        if self._own_scheduler is not None:
            self._own_scheduler.close()
        if self._own_background is not None:
            self._own_background.close()

    def __enter__(self) -> "SimulatedStation":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    # What drivers do, and what happens to a station. All return at once, and may be called from any thread. They raise
    # `UsageError` for a wrong argument.

    def plug_in(self, connector: int = 1, vehicle: Optional[Vehicle] = None) -> None:
        """Plug a vehicle in. Nothing happens if one is there."""
        check_options("driver", {"vehicle": vehicle})
        found = self._find(connector)
        self.core.post(lambda: self.core.transactions.plug_in(found, vehicle or Vehicle()))

    def unplug(self, connector: int = 1) -> None:
        """Unplug the vehicle. Nothing happens if none is there."""
        found = self._find(connector)
        self.core.post(partial(self.core.transactions.unplug, found))

    def present_card(self, id_token: Union[str, IdToken], connector: Optional[int] = None) -> None:
        """Present a card, or another id, to begin or to end a transaction.

        Args:
            id_token: The id. A text is that of an RFID card.
            connector: Where. ``None``: where that id has a transaction; else where a vehicle waits; else the first free
                one.
        """
        check_options("driver", {"id_token": id_token})
        token = as_token(id_token)
        found = None if connector is None else self._find(connector)
        self.core.post(partial(self.core.drivers.present, token, found))

    def charge(
        self,
        connector: int = 1,
        id_token: Union[str, IdToken] = "TAG",
        *,
        seconds: Optional[float] = None,
        energy: Optional[float] = None,
        vehicle: Optional[Vehicle] = None,
        on_left: Optional[Callable[[], object]] = None,
    ) -> None:
        """Have a driver come, plug in, present a card, charge, present it again, unplug and leave.

        Args:
            connector: Where.
            id_token: The id. A text is that of an RFID card.
            seconds: How long to charge, in simulated seconds.
            energy: How much to charge, in Wh, if that is reached before. With neither: until the vehicle is full.
            vehicle: The vehicle.
            on_left: Called when the driver has left, or when another vehicle is plugged in there. It must not block.
        """
        check_options("driver", locals())
        found = self._find(connector)
        visit = partial(self.core.drivers.visit, found, as_token(id_token), seconds, energy, vehicle, on_left)
        self.core.post(visit)

    def go_offline(self, seconds: Optional[float] = None) -> None:
        """Lose the connection for so many seconds of the clock, or until `go_online`. The station goes on working."""
        check_options("driver", {"seconds": seconds})
        self.core.post(partial(self.core.power.go_offline, seconds))

    def go_online(self) -> None:
        """Connect again after `go_offline`."""
        self.core.post(self.core.power.go_online)

    def fail(self, connector: int = 1, error: str = "InternalError") -> None:
        """Have a fault, which ends the transaction there. ``error`` is a ChargePointErrorCode of 1.6."""
        known = [each.value for each in V16.load_type("ChargePointErrorCode")]
        if error not in known:
            raise UsageError(f"error is one of {', '.join(known)}, not {shown(error)}")
        found = self._find(connector)
        self.core.post(partial(self.core.transactions.fail, found, error))

    def recover(self, connector: int = 1) -> None:
        """Have the fault go away."""
        found = self._find(connector)
        self.core.post(partial(self.core.transactions.recover, found))

    # To look at

    @property
    def accepted(self) -> bool:
        """Whether the CSMS has accepted its boot."""
        return self.core.boot.accepted

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self.core.link.up

    @property
    def connectors(self) -> Connectors:
        """Its connectors, by number: ``station.connectors[1].status``."""
        return self.core.connectors

    @property
    def transactions(self) -> List[Transaction]:
        """The transactions that are under way."""
        return list(self.core.transactions)

    @property
    def settings(self) -> Settings:
        """Its configuration keys (1.6), or variables (2.x): ``station.settings["HeartbeatInterval"]``."""
        return self.core.settings

    @property
    def faults(self) -> Faults:
        """What it is to do wrong."""
        return self.core.faults

    def now(self) -> datetime:
        """Return the simulated time of day, in UTC. It begins with that of the CSMS, and runs `speed` times as fast."""
        return self.core.time.now()

    def energy(self, connector: int = 1) -> float:
        """Return what the meter of a connector shows, in Wh."""
        return self.core.meters[self._find(connector)].energy

    def summary(self) -> Summary:
        """Return what it has done so far."""
        return self.core.summary + Summary()

    def wait(self, ready: Callable[[], T], within: float = 10.0) -> T:
        """Wait until ``ready()`` is true, up to ``within`` seconds of the clock. Return what it returned last.

        With a held clock, the clock is moved: see `ocppj.testing.timeline`.
        """
        return self._timeline.wait(ready, within, self.core.mailbox.changed)

    def _credentials(self) -> Optional[BasicAuth]:
        text: Optional[str] = self.core.settings.get("password")
        return (self.id, self.core.behaviour.password(text)) if text else None

    def _find(self, connector: int) -> Connector:
        found = self.core.connectors.find(connector)
        if found is None:
            raise UsageError(f"{self.id} has no connector {connector!r}: it has 1 to {len(self.core.connectors)}")
        return found
