"""OCPP 2.0.1 and 2.1: what a simulated station does in them. One file for each functional block.

The two have the same names for their types. A block takes those of its version from `Block2.types`, the module
`ocppj.v201` or `ocppj.v21`: ``self.types.ResetResponse(...)``. What only 2.1 has, is asked for with `Block2.is_21`.
"""

from __future__ import annotations

from typing import Any, ClassVar, FrozenSet, Optional, Sequence

from .... import v21, v201
from ....errors import ErrorCode
from ....rpc.features import Profile
from ..authorization import Decide
from ..behaviour import Behaviour, Point
from ..connectors import Connector, IdToken, Reservation, Status, Transaction
from ..core import Core
from ..outbox import OnAnswer, OnFailure
from ..readings import Reading
from ..settings import Settings
from .authorization import Authorization
from .availability import ChangeAvailability
from .certificates import Certificates
from .customers import CustomerInformation
from .data_transfer import DataTransfer
from .device_model import NAMES, VariableKey, make_variables
from .display import DisplayMessages
from .dynamic_charging import DynamicCharging
from .events import Events
from .firmware import FirmwareUpdates
from .infrastructure import make_infrastructure
from .local_list import LocalAuthorizationList
from .logs import Logs
from .lookup import DeviceModel
from .meter_values import MeterValues
from .monitoring import Monitoring
from .network import NetworkProfiles
from .only_21 import Unsupported21
from .publishing import Publishing
from .registration import Registration
from .remote import Remote
from .reports import Reports
from .reservation import ReserveNow
from .reset import Reset
from .security import Security
from .smart_charging import SmartCharging
from .tariffs import Costs, Tariffs
from .transactions import TransactionEvents
from .trigger import Trigger
from .variables import Variables

__all__ = ["Behaviour2", "Behaviour21", "Behaviour201"]


class Behaviour2(Behaviour):
    """What 2.0.1 and 2.1 have in common. It holds its blocks, and passes on to them what the model tells."""

    types: Any  # of the class: the module with the types of the version
    answer_when_rejected: ClassVar[Optional[ErrorCode]] = ErrorCode.SECURITY_ERROR  # B03.FR.08

    def __init__(self, core: Core) -> None:
        self.core = core
        types = self.types
        model = DeviceModel(core, types)
        self.model: DeviceModel = model
        self.registration: Registration = Registration(core, types)
        self.variables: Variables = Variables(core, types, model)
        self.reports: Reports = Reports(core, types, model)
        self.events: Events = Events(core, types, model)
        self.monitoring: Monitoring = Monitoring(core, types, model, self.events)
        self.security: Security = Security(core, types)
        self.certificates: Certificates = Certificates(core, types, model, self.security)
        self.network: NetworkProfiles = NetworkProfiles(core, types)
        self.data_transfer: DataTransfer = DataTransfer(core, types)
        self.display: DisplayMessages = DisplayMessages(core, types, model, self.is_under_way)
        self.costs: Costs = Costs(core, types, self.is_under_way)
        self.authorization: Authorization = Authorization(core, types)
        self.local_list: LocalAuthorizationList = LocalAuthorizationList(core, types, model)
        self.customers: CustomerInformation = CustomerInformation(core, types)
        self.meter_values_block: MeterValues = MeterValues(core, types)
        self.transaction_events: TransactionEvents = TransactionEvents(
            core, types, self.authorization, self.meter_values_block
        )
        self.charging: SmartCharging = SmartCharging(core, types, model)
        self.remote: Remote = Remote(core, types, self.charging)
        self.availability: ChangeAvailability = ChangeAvailability(core, types)
        self.reset: Reset = Reset(core, types)
        self.reservation: ReserveNow = ReserveNow(core, types)
        self.firmware: FirmwareUpdates = FirmwareUpdates(core, types, model, self.security)
        self.publishing: Publishing = Publishing(core, types)
        self.logs: Logs = Logs(core, types)
        self.trigger: Trigger = Trigger(core, types, self)

    def is_under_way(self, transaction_id: str) -> bool:
        """Return whether a transaction of that id is under way."""
        return self.core.transactions.find(transaction_id) is not None

    @classmethod
    def make_settings(cls, connectors: int) -> Settings:
        return Settings([*make_infrastructure(connectors), *make_variables(cls.types is v21)], NAMES)

    @property
    def start_points(self) -> FrozenSet[Point]:
        return frozenset(Point(text) for text in self.core.settings[VariableKey("TxCtrlr", "TxStartPoint")])

    @property
    def stop_points(self) -> FrozenSet[Point]:
        return frozenset(Point(text) for text in self.core.settings[VariableKey("TxCtrlr", "TxStopPoint")])

    def boot(self, reason: str, on_answer: OnAnswer, on_failure: OnFailure) -> None:
        self.registration.boot(reason, on_answer, on_failure)

    def booted(self) -> None:
        self.registration.report_all()
        is_first = self.core.boot.reason == "PowerUp"  # A04.FR.01: both events are critical
        self.security.notify("StartupOfTheDevice" if is_first else "ResetOrReboot")

    def back_online(self) -> None:
        self.registration.back_online()

    def heartbeat(self) -> None:
        self.registration.heartbeat()

    def connector_changed(self, connector: Connector, before: Status) -> None:
        self.registration.report_changed()
        if Status.FAULTED in (before, connector.status):
            self.events.connector_failed(connector, connector.status is Status.FAULTED)
        self.transaction_events.connector_changed(connector)
        self.monitoring.look()

    def availability_changed(self) -> None:
        self.monitoring.look()

    def reservation_ended(self, reservation: Reservation, status: str) -> None:
        self.reservation.report(reservation, status)

    def authorize(self, id_token: IdToken, connector: Optional[Connector], decide: Decide) -> None:
        self.authorization.ask(id_token, connector, decide)

    def transaction_started(self, transaction: Transaction, trigger: str) -> None:
        transaction.connector.update()  # its status is told first (E02)
        self.transaction_events.started(transaction, trigger)
        self.remote.use_profile(transaction)

    def transaction_updated(self, transaction: Transaction, trigger: str, reading: Optional[Reading] = None) -> None:
        self.registration.report_changed()
        self.transaction_events.updated(transaction, trigger, reading)
        self.remote.use_profile(transaction)
        self.monitoring.look()

    def transaction_ended(self, transaction: Transaction, trigger: str) -> None:
        self.transaction_events.ended(transaction, trigger)
        self.display.transaction_ended(transaction.id)
        self.costs.transaction_ended(transaction.id)
        self.reset.transaction_ended(transaction)

    def meter_values(self, connector: Optional[Connector], reading: Reading) -> None:
        if self.meter_values_block.is_wanted():
            self.meter_values_block.send(connector, reading)

    def firmware_status(self, status: str, request_id: Optional[int]) -> None:
        self.firmware.report(status, request_id)

    def log_status(self, status: str, request_id: Optional[int]) -> None:
        self.logs.report(status, request_id)

    def security_event(self, type: str, tech_info: Optional[str] = None) -> None:
        self.security.notify(type, tech_info)


class Behaviour201(Behaviour2):
    """OCPP 2.0.1."""

    types = v201
    profiles: ClassVar[Sequence[Profile]] = v201.PROFILES


class Behaviour21(Behaviour2):
    """OCPP 2.1."""

    types = v21
    profiles: ClassVar[Sequence[Profile]] = v21.PROFILES

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self.tariffs: Tariffs = Tariffs(core, self.types, self.is_under_way)
        self.dynamic_charging: DynamicCharging = DynamicCharging(core, self.types, self.charging, self.is_under_way)
        self.unsupported: Unsupported21 = Unsupported21(core, self.types, self.is_under_way)

    def transaction_ended(self, transaction: Transaction, trigger: str) -> None:
        super().transaction_ended(transaction, trigger)
        self.tariffs.transaction_ended(transaction.id)
