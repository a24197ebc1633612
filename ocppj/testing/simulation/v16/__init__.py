"""OCPP 1.6, with its security extension: what a simulated station does in it. One file for each functional block."""

from __future__ import annotations

from typing import ClassVar, FrozenSet, Optional, Sequence, Union

from ....errors import ErrorCode
from ....rpc.features import Profile
from ....v16 import PROFILES
from ..authorization import Decide
from ..behaviour import Behaviour, Point
from ..connectors import Connector, IdToken, Status, Transaction
from ..core import Core
from ..outbox import OnAnswer, OnFailure
from ..readings import Reading
from ..settings import Settings
from .authorization import Authorization
from .availability import ChangeAvailability
from .certificates import Certificates
from .configuration import Configuration
from .data_transfer import DataTransfer
from .firmware import FirmwareUpdates
from .keys import NAMES, make_keys, password_of
from .local_list import LocalAuthorizationList
from .logs import Logs
from .meter_values import MeterValues
from .registration import Registration
from .remote import Remote
from .reservation import ReserveNow
from .reset import Reset
from .security import Security
from .smart_charging import SmartCharging
from .status import StatusNotifications
from .transactions import Transactions
from .trigger import Trigger

__all__ = ["Behaviour16"]


class Behaviour16(Behaviour):
    """OCPP 1.6. It holds its blocks, and passes on to them what the model tells."""

    profiles: ClassVar[Sequence[Profile]] = PROFILES
    answer_when_rejected: ClassVar[Optional[ErrorCode]] = None  # section 4.2

    def __init__(self, core: Core) -> None:
        self._core = core
        self.registration: Registration = Registration(core)
        self.status: StatusNotifications = StatusNotifications(core)
        self.configuration: Configuration = Configuration(core)
        self.authorization: Authorization = Authorization(core)
        self.local_list: LocalAuthorizationList = LocalAuthorizationList(core)
        self.meter_values_block: MeterValues = MeterValues(core)
        self.transactions: Transactions = Transactions(core, self.status)
        self.charging: SmartCharging = SmartCharging(core)
        self.remote: Remote = Remote(core, self.charging)
        self.availability: ChangeAvailability = ChangeAvailability(core)
        self.reset: Reset = Reset(core)
        self.reservation: ReserveNow = ReserveNow(core)
        self.security: Security = Security(core)
        self.firmware: FirmwareUpdates = FirmwareUpdates(core, self.security)
        self.logs: Logs = Logs(core)
        self.certificates: Certificates = Certificates(core, self.security)
        self.data_transfer: DataTransfer = DataTransfer(core)
        self.trigger: Trigger = Trigger(core, self)

    @classmethod
    def make_settings(cls, connectors: int) -> Settings:
        return Settings(make_keys(connectors), NAMES)

    @property
    def start_points(self) -> FrozenSet[Point]:
        return frozenset({Point.POWER_PATH_CLOSED})

    @property
    def stop_points(self) -> FrozenSet[Point]:
        """Without the permission: StopTransactionOnEVSideDisconnect says whether the plug takes that along."""
        return frozenset({Point.AUTHORIZED})

    def boot(self, reason: str, on_answer: OnAnswer, on_failure: OnFailure) -> None:
        self.registration.boot(on_answer, on_failure)

    def booted(self) -> None:
        self.status.report_all()
        is_first = self._core.boot.reason == "PowerUp"
        self.security.notify("StartupOfTheDevice" if is_first else "ResetOrReboot")

    def back_online(self) -> None:
        self.status.report_changed()

    def heartbeat(self) -> None:
        self.registration.heartbeat()

    def password(self, text: str) -> Union[str, bytes]:
        return password_of(text)

    def connector_changed(self, connector: Connector, before: Status) -> None:
        self.status.changed(connector)

    def availability_changed(self) -> None:
        self.status.report(None)

    def authorize(self, id_token: IdToken, connector: Optional[Connector], decide: Decide) -> None:
        self.authorization.ask(id_token, connector, decide)

    def transaction_started(self, transaction: Transaction, trigger: str) -> None:
        self.transactions.started(transaction)
        self.remote.use_profile(transaction)

    def transaction_updated(self, transaction: Transaction, trigger: str, reading: Optional[Reading] = None) -> None:
        if reading is not None:  # other changes have no message: the status of the connector tells them
            self.meter_values_block.send(transaction, reading)

    def transaction_ended(self, transaction: Transaction, trigger: str) -> None:
        self.transactions.ended(transaction)

    def meter_values(self, connector: Optional[Connector], reading: Reading) -> None:
        self.meter_values_block.send_alone(connector, reading)

    def firmware_status(self, status: str, request_id: Optional[int]) -> None:
        self.firmware.report(status, request_id)

    def log_status(self, status: str, request_id: Optional[int]) -> None:
        self.logs.report(status, request_id)

    def security_event(self, type: str, tech_info: Optional[str] = None) -> None:
        self.security.notify(type, tech_info)
