"""`Behaviour`: what the model of a station asks of an OCPP version.

The model (connectors, transactions, meter, charging profiles, authorization, boot) knows no message. It decides what
happens, and calls its behaviour, which makes the messages of its version and sends them with `Core.send`. A behaviour
holds blocks, one for each functional block of its version, in a file each: see `block.Block`.

Words that the versions have in common are passed as texts. Where 1.6 and 2.x differ the model has the words of 2.x
(trigger reasons, stop reasons), but for the status of a connector, which 1.6 knows more about (`connectors.Status`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, FrozenSet, Optional, Sequence, Union

from ...errors import ErrorCode
from ...rpc.features import Profile
from .authorization import Decide
from .connectors import Connector, IdToken, Point, Reservation, Status, Transaction
from .outbox import OnAnswer, OnFailure
from .readings import Reading
from .settings import Settings

__all__ = ["MODEL_SETTINGS", "Behaviour", "Point"]

#: The settings that the model reads, by its own names: what they are, and their unit. ``names`` of `Settings` gives
#: the key of each. One that a version does not have, is left out there, and has the default of the place that reads it.
MODEL_SETTINGS = {
    "heartbeat_interval": "seconds of the clock; 0: none",
    "message_attempts": "how often a message about a transaction is sent that is not answered with a result",
    "message_attempt_interval": "seconds of the clock, times the number of attempts so far",
    "connection_timeout": "simulated seconds that an accepted id waits for the plug (EVConnectionTimeOut)",
    "sample_interval": "simulated seconds between samples in a transaction; 0: none",
    "sample_measurands": "list of measurands",
    "ended_interval": "simulated seconds between samples that are reported with the end of a transaction; 0: none",
    "ended_measurands": "list of measurands that are reported with the end of a transaction",
    "aligned_interval": "simulated seconds between clock-aligned samples; 0: none",
    "aligned_measurands": "list of measurands",
    "aligned_ended_interval": "the same, for samples that are reported with the end of a transaction",
    "aligned_ended_measurands": "list of measurands",
    "authorize_remote": "whether an id is authorized that comes with a remote start",
    "offline_authorize_listed": "whether an id of the local list, or cache, may charge while offline",
    "preauthorize_listed": "whether such an id may charge without being asked for online (LocalPreAuthorize)",
    "offline_allow_unknown": "whether an unknown id may charge while offline",
    "cache_enabled": "whether authorizations are remembered",
    "list_enabled": "whether the local list is looked at",
    "master_pass_group": "the group whose ids end any transaction (2.x)",
    "stop_on_invalid": "whether a transaction ends when its id turns out not to be accepted",
    "security_profile": "the security profile of the connection",
    "password": "the password of HTTP Basic authentication (AuthorizationKey, BasicAuthPassword)",
    "ping_interval": "seconds of the clock between WebSocket pings; 0: none",
    "retry_wait_minimum": "seconds of the clock to wait before connecting again (2.x: RetryBackOffWaitMinimum)",
    "retry_random_range": "seconds of the clock that are added at random (2.x: RetryBackOffRandomRange)",
    "retry_repeat_times": "how often the wait is doubled (2.x: RetryBackOffRepeatTimes)",
    "new_sessions_before_update": "whether transactions may begin while a firmware update waits (2.x)",
    "stop_on_unplug": "whether a transaction ends when the vehicle unplugs (StopTransactionOnEVSideDisconnect)",
}


class Behaviour(ABC):
    """What a station does in one OCPP version. All methods are called in jobs of the station's mailbox.

    The constructor of a subclass takes the `Core`. That is not complete yet when it runs: the link is still missing.
    Blocks may keep it, and register handlers.
    """

    profiles: ClassVar[Sequence[Profile]]
    #: The error with which requests of the CSMS are answered when it has rejected the boot; ``None``: no answer.
    answer_when_rejected: ClassVar[Optional[ErrorCode]]

    @classmethod
    @abstractmethod
    def make_settings(cls, connectors: int) -> Settings:
        """Return the settings of a station with so many connectors."""

    @property
    @abstractmethod
    def start_points(self) -> FrozenSet[Point]:
        """What begins a transaction. Read at each event."""

    @property
    @abstractmethod
    def stop_points(self) -> FrozenSet[Point]:
        """What ends a transaction, when it is over. Read at each event."""

    # Registration

    @abstractmethod
    def boot(self, reason: str, on_answer: OnAnswer, on_failure: OnFailure) -> None:
        """Send a BootNotification, before the boot. The model reads ``status`` and ``interval`` of the answer."""

    @abstractmethod
    def booted(self) -> None:
        """Report the status of all connectors, and what else belongs here: the boot was accepted."""

    @abstractmethod
    def back_online(self) -> None:
        """Report what has changed while there was no connection. The boot was accepted before.

        `Core.outage` says for how long there was none.
        """

    @abstractmethod
    def heartbeat(self) -> None:
        """Send a Heartbeat."""

    def password(self, text: str) -> Union[str, bytes]:
        """Return the password of HTTP Basic authentication for the ``text`` in the settings."""
        return text

    # Connectors

    @abstractmethod
    def connector_changed(self, connector: Connector, before: Status) -> None:
        """Report the status of a connector, which has changed from ``before``."""

    def availability_changed(self) -> None:
        """Report the availability of the station as a whole, which has changed: 1.6 does, as connector 0."""
        return

    def reservation_ended(self, reservation: Reservation, status: str) -> None:
        """Report that a reservation was not used: "Expired", or "Removed". 1.6 has no message for it."""
        return

    # Authorization

    @abstractmethod
    def authorize(self, id_token: IdToken, connector: Optional[Connector], decide: Decide) -> None:
        """Ask the CSMS. Then call ``decide(Decision)``; ``decide(None)`` when there was no answer."""

    # Transactions. ``trigger`` is a TriggerReason of 2.x, such as "CablePluggedIn".

    @abstractmethod
    def transaction_started(self, transaction: Transaction, trigger: str) -> None:
        """Report that a transaction has started."""

    @abstractmethod
    def transaction_updated(self, transaction: Transaction, trigger: str, reading: Optional[Reading] = None) -> None:
        """Report that something has changed in a transaction, or that ``reading`` is due."""

    @abstractmethod
    def transaction_ended(self, transaction: Transaction, trigger: str) -> None:
        """Report that a transaction has ended. `Transaction.readings` are those that the settings want with its end."""

    @abstractmethod
    def meter_values(self, connector: Optional[Connector], reading: Reading) -> None:
        """Report a clock-aligned reading outside of a transaction. Without a connector: of the main meter."""

    # Firmware, logs, security

    @abstractmethod
    def firmware_status(self, status: str, request_id: Optional[int]) -> None:
        """Report that the firmware update has come to ``status``, a FirmwareStatus of 2.x."""

    @abstractmethod
    def log_status(self, status: str, request_id: Optional[int]) -> None:
        """Report that the upload of a log has come to ``status``, an UploadLogStatus of 2.x.

        Without a ``request_id`` it is that of the diagnostics of 1.6.
        """

    @abstractmethod
    def security_event(self, type: str, tech_info: Optional[str] = None) -> None:
        """Report a security event, such as "FirmwareUpdated"."""
