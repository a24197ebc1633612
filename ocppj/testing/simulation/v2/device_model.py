"""The device model of 2.x: which variables a station has. Their values are `settings.Setting`s.

Part 2, "Referenced Components and Variables", names them; Part 4 section 6 those of the WebSocket. The variables of
what can be charged at are in `infrastructure`.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional

from ..meter import MEASURANDS as MEASURED
from ..settings import Setting

__all__ = ["MEASURANDS", "NAMES", "POINTS", "VariableKey", "make_variables", "variables_of"]


class VariableKey(NamedTuple):
    """The key of a `Setting` in 2.x: a variable of a component. ``evse`` and ``connector`` are those of the component.

    Names in requests are compared without regard to case: see `lookup`.
    """

    component: str
    variable: str
    instance: Optional[str] = None  # of the variable
    component_instance: Optional[str] = None
    evse: Optional[int] = None
    connector: Optional[int] = None


def variables_of(component: str, evse: Optional[int] = None, connector: Optional[int] = None) -> Any:
    """Return a function that makes variables of a component: ``f(variable, value, instance, **options of Setting)``."""

    def make(variable: str, value: Any, instance: Optional[str] = None, **options: Any) -> Setting:
        key = VariableKey(component, variable, instance, evse=evse, connector=connector)
        return Setting(key, value, **options)

    return make


#: The keys of the settings that the model reads: see `behaviour.MODEL_SETTINGS`.
NAMES = {
    "heartbeat_interval": VariableKey("OCPPCommCtrlr", "HeartbeatInterval"),
    "message_attempts": VariableKey("OCPPCommCtrlr", "MessageAttempts", "TransactionEvent"),
    "message_attempt_interval": VariableKey("OCPPCommCtrlr", "MessageAttemptInterval", "TransactionEvent"),
    "connection_timeout": VariableKey("TxCtrlr", "EVConnectionTimeOut"),
    "sample_interval": VariableKey("SampledDataCtrlr", "TxUpdatedInterval"),
    "sample_measurands": VariableKey("SampledDataCtrlr", "TxUpdatedMeasurands"),
    "ended_interval": VariableKey("SampledDataCtrlr", "TxEndedInterval"),
    "ended_measurands": VariableKey("SampledDataCtrlr", "TxEndedMeasurands"),
    "aligned_interval": VariableKey("AlignedDataCtrlr", "Interval"),
    "aligned_measurands": VariableKey("AlignedDataCtrlr", "Measurands"),
    "aligned_ended_interval": VariableKey("AlignedDataCtrlr", "TxEndedInterval"),
    "aligned_ended_measurands": VariableKey("AlignedDataCtrlr", "TxEndedMeasurands"),
    "authorize_remote": VariableKey("AuthCtrlr", "AuthorizeRemoteStart"),
    "offline_authorize_listed": VariableKey("AuthCtrlr", "LocalAuthorizeOffline"),
    "preauthorize_listed": VariableKey("AuthCtrlr", "LocalPreAuthorize"),
    "offline_allow_unknown": VariableKey("AuthCtrlr", "OfflineTxForUnknownIdEnabled"),
    "master_pass_group": VariableKey("AuthCtrlr", "MasterPassGroupId"),
    "cache_enabled": VariableKey("AuthCacheCtrlr", "Enabled"),
    "list_enabled": VariableKey("LocalAuthListCtrlr", "Enabled"),
    "security_profile": VariableKey("SecurityCtrlr", "SecurityProfile"),
    "password": VariableKey("SecurityCtrlr", "BasicAuthPassword"),
    "ping_interval": VariableKey("OCPPCommCtrlr", "WebSocketPingInterval"),
    "retry_wait_minimum": VariableKey("OCPPCommCtrlr", "RetryBackOffWaitMinimum"),
    "retry_random_range": VariableKey("OCPPCommCtrlr", "RetryBackOffRandomRange"),
    "retry_repeat_times": VariableKey("OCPPCommCtrlr", "RetryBackOffRepeatTimes"),
    "stop_on_invalid": VariableKey("TxCtrlr", "StopTxOnInvalidId"),
    "new_sessions_before_update": VariableKey("ChargingStation", "AllowNewSessionsPendingFirmwareUpdate"),
    "stop_on_unplug": VariableKey("TxCtrlr", "StopTxOnEVSideDisconnect"),
}

#: The measurands that can be chosen. 2.x has no temperature.
MEASURANDS = tuple(name for name in MEASURED if name != "Temperature")
#: The values of TxStartPoint and TxStopPoint that the model knows (Part 2 section 2.6.6).
POINTS = ("EVConnected", "Authorized", "PowerPathClosed", "EnergyTransfer")


def make_variables(is_21: bool) -> List[Setting]:
    """Return the variables of the controllers."""
    return [
        *_communication(),
        *_device_data(),
        *_security(),
        *_authorization(),
        *_transactions(),
        *_metering(),
        *_smart_charging(),
        *_tariffs(is_21),
        *_monitoring(),
        *_display(),
    ]


def _communication() -> List[Setting]:
    of = variables_of("OCPPCommCtrlr")
    clock = variables_of("ClockCtrlr")
    return [
        of("ActiveNetworkProfile", 1, read_only=True),
        of("MessageTimeout", 30, "Default", read_only=True, unit="s"),
        of("FileTransferProtocols", ["FTP", "HTTP", "HTTPS", "SFTP"], read_only=True),
        of("HeartbeatInterval", 300, minimum=1, unit="s"),
        of("NetworkConfigurationPriority", ["1"], choices=("1", "2", "3"), minimum=1, reboot_required=True),
        of("NetworkProfileConnectionAttempts", 3, minimum=1),
        of("OfflineThreshold", 60, minimum=0, unit="s"),
        of("QueueAllMessages", False, read_only=True),
        of("MessageAttempts", 3, "TransactionEvent", minimum=1),
        of("MessageAttemptInterval", 10, "TransactionEvent", minimum=0, unit="s"),
        of("UnlockOnEVSideDisconnect", True),
        of("WebSocketPingInterval", 60, minimum=0, unit="s"),
        of("ResetRetries", 0, minimum=0),
        of("RetryBackOffRepeatTimes", 5, minimum=0),
        of("RetryBackOffRandomRange", 10, minimum=0, unit="s"),
        of("RetryBackOffWaitMinimum", 10, minimum=0, unit="s"),
        clock("DateTime", "", read_only=True),
        clock("TimeSource", ["Heartbeat"], choices=("Heartbeat", "RealTimeClock"), minimum=1),
        clock("TimeZone", "Etc/UTC", maximum=50),
        clock("TimeOffset", "+00:00", maximum=6),
    ]


def _device_data() -> List[Setting]:
    of = variables_of("DeviceDataCtrlr")
    custom = variables_of("CustomizationCtrlr")
    return [
        of("ItemsPerMessage", 100, "GetReport", read_only=True),
        of("ItemsPerMessage", 100, "GetVariables", read_only=True),
        of("ItemsPerMessage", 100, "SetVariables", read_only=True),
        of("BytesPerMessage", 65536, "GetReport", read_only=True),
        of("BytesPerMessage", 65536, "GetVariables", read_only=True),
        of("BytesPerMessage", 65536, "SetVariables", read_only=True),
        of("ConfigurationValueSize", 1000, read_only=True, maximum=1000),
        of("ReportingValueSize", 2500, read_only=True, maximum=2500),
        of("ValueSize", 2500, read_only=True, maximum=2500),
        custom("CustomImplementationEnabled", False, "com.example"),
    ]


def _security() -> List[Setting]:
    of = variables_of("SecurityCtrlr")
    return [
        of("BasicAuthPassword", "", write_only=True, minimum=16, maximum=40),
        of("Identity", "", read_only=True, maximum=48),
        of("OrganizationName", "ocppj", minimum=1, maximum=50),
        of("CertificateEntries", 0, read_only=True, maximum=20),
        of("SecurityProfile", 0, read_only=True),
        of("AdditionalRootCertificateCheck", False, read_only=True),
        of("MaxCertificateChainSize", 10000, read_only=True, maximum=10000),
        of("CertSigningWaitMinimum", 30, minimum=0, unit="s"),
        of("CertSigningRepeatTimes", 2, minimum=0),
    ]


def _authorization() -> List[Setting]:
    of = variables_of("AuthCtrlr")
    cache = variables_of("AuthCacheCtrlr")
    listed = variables_of("LocalAuthListCtrlr")
    reservation = variables_of("ReservationCtrlr")
    return [
        of("Enabled", True, read_only=True),
        of("AuthorizeRemoteStart", False),
        of("LocalAuthorizeOffline", True),
        of("LocalPreAuthorize", False),
        of("OfflineTxForUnknownIdEnabled", False),
        of("MasterPassGroupId", "", maximum=36),
        of("DisableRemoteAuthorization", False),
        cache("Enabled", True),
        cache("Available", True, read_only=True),
        cache("LifeTime", 86400, minimum=0, unit="s"),
        cache("DisablePostAuthorize", False),
        listed("Enabled", True),
        listed("Available", True, read_only=True),
        listed("Entries", 0, read_only=True, maximum=1000),
        listed("ItemsPerMessage", 100, read_only=True),
        listed("BytesPerMessage", 65536, read_only=True),
        listed("DisablePostAuthorize", False),
        listed("SupportsExpiryDateTime", True, read_only=True),
        reservation("Enabled", True),
        reservation("Available", True, read_only=True),
        reservation("NonEvseSpecific", True, read_only=True),
    ]


def _transactions() -> List[Setting]:
    of = variables_of("TxCtrlr")
    return [
        of("EVConnectionTimeOut", 60, minimum=1, unit="s"),
        of("StopTxOnEVSideDisconnect", True),
        of("TxBeforeAcceptedEnabled", True, read_only=True),
        of("TxStartPoint", ["PowerPathClosed"], choices=POINTS, minimum=1),
        of("TxStopPoint", ["PowerPathClosed"], choices=POINTS, minimum=1),
        of("StopTxOnInvalidId", True),
    ]


def _metering() -> List[Setting]:
    sampled, aligned = variables_of("SampledDataCtrlr"), variables_of("AlignedDataCtrlr")
    energy = ["Energy.Active.Import.Register"]
    return [
        sampled("Enabled", True, read_only=True),
        sampled("Available", True, read_only=True),
        sampled("SignReadings", False, read_only=True),
        sampled("TxStartedMeasurands", energy, choices=MEASURANDS),
        sampled("TxUpdatedMeasurands", [*energy, "Power.Active.Import"], choices=MEASURANDS),
        sampled("TxUpdatedInterval", 60, minimum=0, unit="s"),
        sampled("TxEndedMeasurands", energy, choices=MEASURANDS),
        sampled("TxEndedInterval", 0, minimum=0, unit="s"),
        aligned("Enabled", True, read_only=True),
        aligned("Available", True, read_only=True),
        aligned("SignReadings", False, read_only=True),
        aligned("Measurands", energy, choices=MEASURANDS),
        aligned("Interval", 0, minimum=0, maximum=86400, unit="s"),
        aligned("SendDuringIdle", False),
        aligned("TxEndedMeasurands", [], choices=MEASURANDS),
        aligned("TxEndedInterval", 0, minimum=0, unit="s"),
    ]


def _smart_charging() -> List[Setting]:
    of = variables_of("SmartChargingCtrlr")
    return [
        of("Enabled", True, read_only=True),
        of("Available", True, read_only=True),
        of("ACPhaseSwitchingSupported", False, read_only=True),
        of("ProfileStackLevel", 10, read_only=True),
        of("RateUnit", ["A", "W"], read_only=True),
        of("PeriodsPerSchedule", 24, read_only=True),
        of("ExternalControlSignalsEnabled", False, read_only=True),
        of("NotifyChargingLimitWithSchedules", False),
        of("Phases3to1", False, read_only=True),
        of("Entries", 0, "ChargingProfiles", read_only=True, maximum=50),
        of("LimitChangeSignificance", 1.0, minimum=0, maximum=100, unit="Percent"),
    ]


def _tariffs(is_21: bool) -> List[Setting]:
    of = variables_of("TariffCostCtrlr")
    variables = [
        of("Enabled", True, "Tariff"),
        of("Available", True, "Tariff", read_only=True),
        of("TariffFallbackMessage", "0.30 EUR/kWh", maximum=255),
        of("Enabled", True, "Cost"),
        of("Available", True, "Cost", read_only=True),
        of("TotalCostFallbackMessage", "The cost is not known", maximum=255),
        of("Currency", "EUR", minimum=3, maximum=3),
    ]
    if is_21:
        variables += [of("MaxElements", 10, "Tariff", read_only=True), of("ConditionsSupported", True, read_only=True)]
    return variables


def _monitoring() -> List[Setting]:
    of = variables_of("MonitoringCtrlr")
    return [
        of("Enabled", True),
        of("Available", True, read_only=True),
        of("ItemsPerMessage", 50, "ClearVariableMonitoring", read_only=True),
        of("ItemsPerMessage", 50, "SetVariableMonitoring", read_only=True),
        of("BytesPerMessage", 65536, "ClearVariableMonitoring", read_only=True),
        of("BytesPerMessage", 65536, "SetVariableMonitoring", read_only=True),
        of("OfflineQueuingSeverity", 5, minimum=0, maximum=9),
        of("ActiveMonitoringBase", "All", read_only=True, choices=("All", "FactoryDefault", "HardWiredOnly")),
        of("ActiveMonitoringLevel", 9, read_only=True, minimum=0, maximum=9),
    ]


def _display() -> List[Setting]:
    of = variables_of("DisplayMessageCtrlr")
    formats, priorities = ["ASCII", "UTF8", "URI"], ["AlwaysFront", "InFront", "NormalCycle"]
    return [
        of("Enabled", True),
        of("Available", True, read_only=True),
        of("DisplayMessages", 0, read_only=True, maximum=20),
        of("SupportedFormats", formats, read_only=True),
        of("SupportedPriorities", priorities, read_only=True),
    ]
