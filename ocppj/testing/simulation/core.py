"""`Core`: the parts of one station. What the parts, and the blocks of a version, are handed."""

from __future__ import annotations

from functools import partial
from random import Random
from ssl import SSLCertVerificationError
from typing import Any, Callable, Dict, Optional, Protocol, Sequence, Type

from ...client import Client
from ...clock import Clock
from ...errors import ErrorCode, HandshakeRefused, OCPPError, OcppjError
from ...exchange.handlers import NO_ANSWER
from ...payloads.model import Payload
from ...rpc.features import Profile
from ...ws.backoff import Backoff
from .authorization import Authorization
from .availability import Availability
from .background import Background
from .behaviour import Behaviour
from .boot import Boot
from .certificates import CertificateStore
from .charging_profiles import ChargingProfiles
from .common import Common
from .connectors import Connector, Connectors, Status
from .drivers import Drivers
from .energy import EnergyFlow
from .faults import Faults
from .firmware import Firmware, LogUpload
from .link import Link
from .mailbox import Mailbox
from .outbox import Outbox, action_of, unchecked
from .power import Power
from .reservations import Reservations
from .sampling import Sampling
from .scheduler import Scheduler
from .settings import Settings
from .simtime import SimulatedTime, Timers
from .summary import Summary
from .transactions import Transactions

__all__ = ["BehaviourType", "Core"]

Handler = Callable[[Any], Payload]


class BehaviourType(Protocol):
    """The class of a `Behaviour`."""

    @property
    def profiles(self) -> Sequence[Profile]: ...

    def make_settings(self, connectors: int) -> Settings: ...

    def __call__(self, core: "Core") -> Behaviour: ...


class Core(Common):
    """One station, in parts. It wires them together, and has no rule of its own.

    Attributes:
        version: "1.6", "2.0.1" or "2.1".
        transactions, energy, sampling, profiles, authorization, reservations, availability, drivers, boot, power,
            firmware, log, certificates, faults, outbox, link: See their modules.
        send: Sends a request to the CSMS, when its turn has come: `Outbox.send`.
        outage: How many seconds of the clock there was no connection before the present one.
        backoff: Makes the waits between attempts to connect, in place of the settings. ``None``: the settings do.
    """

    def __init__(
        self,
        client: Client,
        version: str,
        behaviour: BehaviourType,
        *,
        connectors: int,
        speed: float,
        clock: Clock,
        scheduler: Scheduler,
        background: Background,
    ) -> None:
        mailbox = Mailbox(self._job_failed)
        timers = Timers(scheduler, mailbox)
        super().__init__(
            client,
            clock,
            mailbox,
            timers,
            SimulatedTime(clock, timers, speed),
            behaviour.make_settings(connectors),
            Connectors(connectors, self._connector_changed),
            Summary(),
        )
        self.version = version
        self.outage: float = 0.0
        self.backoff: Optional[Callable[[], Backoff]] = None
        self._down_since = clock.monotonic()
        self._is_certificate_reported = False
        self._random = Random(client.id).random  # the same station waits for the same times in each run
        self._handlers: Dict[Type[Payload], Handler] = {}
        self._make_protocol_parts(background, behaviour.profiles)
        self._make_charging_parts()
        self.drivers: Drivers = Drivers(self, self.transactions, self.energy)
        self.power: Power = Power(self, self.boot, self.outbox, self.link, self.sampling, self.transactions)
        self.power.rebooted.append(self._drop_permits)
        self.firmware: Firmware = Firmware(self, self.power)
        self.log: LogUpload = LogUpload(self)
        self.certificates: CertificateStore = CertificateStore()
        self.settings.watch("ping_interval", self._set_ping_interval)
        self.behaviour: Behaviour = behaviour(self)
        client.set_request_handler(self._received)

    def _make_protocol_parts(self, background: Background, profiles: Sequence[Profile]) -> None:
        self.faults: Faults = Faults(self.timers, lambda seconds: self.power.go_offline(seconds), profiles)
        parts = self.client, self.mailbox, self.timers, self.settings, self.summary
        self.outbox: Outbox = Outbox(*parts, self._may_send, self.faults)
        self.send: Callable[..., None] = self.outbox.send
        self.boot: Boot = Boot(self, lambda: self.link.up, self._boot_accepted)
        parts_of_link = self.client, self.mailbox, self.timers, background, self._make_backoff
        self.link: Link = Link(*parts_of_link, self._link_up, self._link_down, self._link_failed)
        self.outbox.answered.append(self.link.prove)

    def _make_charging_parts(self) -> None:
        self.profiles: ChargingProfiles = ChargingProfiles(self.connectors, self.time)
        self.energy: EnergyFlow = EnergyFlow(self, self.profiles)
        self.sampling: Sampling = Sampling(self)
        self.authorization: Authorization = Authorization(
            self.settings, self.time, lambda: self.online, lambda *asked: self.behaviour.authorize(*asked)
        )
        self.reservations: Reservations = Reservations(self)
        self.availability: Availability = Availability(self)
        parts = self.energy, self.sampling, self.profiles, self.authorization, self.reservations
        self.transactions: Transactions = Transactions(self, *parts)
        self.transactions.ended.append(self.availability.transaction_ended)

    # For the parts and blocks

    def on(self, request_type: Type[Payload], handler: Handler) -> None:
        """Have requests of the CSMS handled by ``handler(request)``, in jobs of the mailbox.

        It returns the response, or raises `OCPPError`. What is to follow the response, goes to `post`. A handler that
        the program has given to ``client.on`` goes before this one.
        """
        self._handlers[request_type] = handler

    def _received(self, request: Payload, message_id: str, action: str) -> Any:
        """Handle a request of the CSMS: called on a thread of the client."""
        if self.faults.take("silent", action):
            return NO_ANSWER
        if self.boot.status == "Rejected":
            return self._answer_when_rejected()
        handler = self._handlers.get(type(request))
        if handler is None:
            raise OCPPError(ErrorCode.NOT_SUPPORTED, f"{action} is not simulated")
        self.mailbox.post(partial(self._handle, handler, request, message_id))
        return None

    def _answer_when_rejected(self) -> Any:
        code = self.behaviour.answer_when_rejected
        if code is None:
            return NO_ANSWER
        raise OCPPError(code, "the boot of this station was rejected")

    @property
    def online(self) -> bool:
        """Whether the station is connected, and its boot accepted."""
        return self.link.up and self.boot.accepted

    # What the parts call

    def _boot_accepted(self) -> None:
        self.summary.boots += 1
        self.behaviour.booted()
        self.firmware.booted()
        self.outbox.pump()

    def _drop_permits(self) -> None:
        """Forget who may charge, where no transaction has begun: the station has rebooted."""
        for connector in self.connectors:
            if connector.transaction is None:
                connector.permit = None
                connector.update()

    def _may_send(self, before_boot: bool) -> bool:
        return self.link.up and self.client.is_connected() and (before_boot or self.boot.accepted)

    def _link_up(self) -> None:
        self.summary.connections += 1
        self._is_certificate_reported = False
        self.outage = self.clock.monotonic() - self._down_since
        self.boot.connection_made()
        if self.boot.accepted:
            self.behaviour.back_online()
        self.outbox.pump()

    def _link_failed(self, error: Exception) -> None:
        """Count it. Report a certificate of the CSMS that is not valid: once in an outage (Part 2 A00.FR.310)."""
        self.summary.not_connected[_why(error, self.client.id)] += 1
        if isinstance(error.__cause__, SSLCertVerificationError) and not self._is_certificate_reported:
            self._is_certificate_reported = True
            self.behaviour.security_event("InvalidCsmsCertificate", str(error))

    def _link_down(self) -> None:
        self._down_since = self.clock.monotonic()
        self.boot.connection_lost()
        self.outbox.drop_unkept()

    def _make_backoff(self) -> Backoff:
        if self.backoff is not None:
            return self.backoff()
        return Backoff(
            self.settings.get("retry_wait_minimum", 1.0),
            self.settings.get("retry_random_range", 2.0),
            self.settings.get("retry_repeat_times", 5),
            self._random,
        )

    def _set_ping_interval(self) -> None:
        self.client.set_ping_interval(self.settings.get("ping_interval") or None)

    def _connector_changed(self, connector: Connector, before: Status) -> None:
        self.behaviour.connector_changed(connector, before)
        self.reservations.connector_changed(connector)
        self.mailbox.post(self.reservations.assign)

    def _handle(self, handler: Handler, request: Payload, message_id: str) -> None:
        self.summary.received[action_of(request)] += 1
        try:
            with self.outbox.held():
                self._answer(handler, request, message_id)
        except OcppjError as error:  # the connection has gone, or the response breaks its schema
            self.client.safe_log.warning("%s: %s was not answered: %s", self.client.id, action_of(request), error)

    def _answer(self, handler: Handler, request: Payload, message_id: str) -> None:
        try:
            refusal = self.faults.take("refuse", action_of(request))
            if refusal is not None:
                raise refusal
            response = handler(request)
        except OCPPError as error:
            self.client.send_error(message_id, error.code, error.description, error.details)
        except Exception:
            self.client.send_error(message_id, "InternalError", "the simulated station has failed")
            raise
        else:
            send, fail = partial(self._send_response, message_id), partial(self._spoiled, message_id)
            self.faults.before_answering(action_of(request), response, send, fail)

    def _spoiled(self, message_id: str, error: Exception) -> None:
        """Answer with an error: the function of a simulated fault has failed."""
        self.client.send_error(message_id, "InternalError", "a simulated fault could not change the answer")
        raise error

    def _send_response(self, message_id: str, response: Payload, is_wrong: bool) -> None:
        with unchecked(self.client, is_wrong):
            self.client.send_response(message_id, response)

    def _job_failed(self, error: BaseException) -> None:
        self.client.safe_log.error("%s: a job of the simulated station has failed", self.client.id, exc_info=error)


def _why(error: Exception, client_id: str) -> str:
    """Return why a connection could not be made, in words that are the same for all stations."""
    if isinstance(error, HandshakeRefused):
        return f"refused: {error.status} {error.body}".strip().replace(repr(client_id), "the station")
    return str(error.__cause__ or error)
