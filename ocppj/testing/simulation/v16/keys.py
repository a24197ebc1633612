"""The configuration keys of 1.6 (edition 2, chapter 9; security whitepaper, chapter 7)."""

from __future__ import annotations

from typing import List, Mapping, Union

from ....errors import UsageError
from ....exchange.passwords import authorization_key
from ..meter import MEASURANDS
from ..settings import Setting

__all__ = ["NAMES", "make_keys", "password_of"]

#: The keys of the settings that the model reads: see `behaviour.MODEL_SETTINGS`.
NAMES: Mapping[str, str] = {
    "heartbeat_interval": "HeartbeatInterval",
    "message_attempts": "TransactionMessageAttempts",
    "message_attempt_interval": "TransactionMessageRetryInterval",
    "connection_timeout": "ConnectionTimeOut",
    "sample_interval": "MeterValueSampleInterval",
    "sample_measurands": "MeterValuesSampledData",
    "ended_interval": "MeterValueSampleInterval",
    "ended_measurands": "StopTxnSampledData",
    "aligned_interval": "ClockAlignedDataInterval",
    "aligned_measurands": "MeterValuesAlignedData",
    "aligned_ended_interval": "ClockAlignedDataInterval",
    "aligned_ended_measurands": "StopTxnAlignedData",
    "authorize_remote": "AuthorizeRemoteTxRequests",
    "offline_authorize_listed": "LocalAuthorizeOffline",
    "preauthorize_listed": "LocalPreAuthorize",
    "offline_allow_unknown": "AllowOfflineTxForUnknownId",
    "cache_enabled": "AuthorizationCacheEnabled",
    "list_enabled": "LocalAuthListEnabled",
    "security_profile": "SecurityProfile",
    "password": "AuthorizationKey",
    "ping_interval": "WebSocketPingInterval",
    "stop_on_invalid": "StopTransactionOnInvalidId",
    "stop_on_unplug": "StopTransactionOnEVSideDisconnect",
}

_ENERGY = "Energy.Active.Import.Register"
_LIST = 10  # the most measurands of a list
_PHASES = ("L1", "L2", "L3")
_PER_PHASE = ("Voltage", "Current.Import", "Power.Active.Import", "Current.Offered", "Power.Offered")
#: What a list of measurands may have: the phase may follow (section 9.1.17).
_CHOICES = [*MEASURANDS, *(f"{name}.{phase}" for name in _PER_PHASE for phase in _PHASES)]


def make_keys(connectors: int) -> List[Setting]:
    """Return the keys of a station with so many connectors."""
    return [*_core(connectors), *_metering(), *_profiles(), *_security()]


def _core(connectors: int) -> List[Setting]:
    return [
        Setting("AllowOfflineTxForUnknownId", False),
        Setting("AuthorizationCacheEnabled", True),
        Setting("AuthorizeRemoteTxRequests", False),
        Setting("BlinkRepeat", 3, minimum=0, unit="times"),
        Setting("ConnectionTimeOut", 60, minimum=0, unit="s"),
        Setting(
            "ConnectorPhaseRotation",
            [f"{connector}.RST" for connector in range(connectors + 1)],
            reboot_required=True,
            maximum=connectors + 1,
            check=_check_rotation,
        ),
        Setting("ConnectorPhaseRotationMaxLength", connectors + 1, read_only=True),
        Setting("GetConfigurationMaxKeys", 50, read_only=True),
        Setting("HeartbeatInterval", 300, minimum=0, unit="s"),
        Setting("LightIntensity", 100, minimum=0, maximum=100, unit="%"),
        Setting("LocalAuthorizeOffline", True),
        Setting("LocalPreAuthorize", False),
        Setting("MinimumStatusDuration", 0, minimum=0, unit="s"),
        Setting("NumberOfConnectors", connectors, read_only=True),
        Setting("ResetRetries", 1, minimum=0, unit="times"),
        Setting("StopTransactionOnEVSideDisconnect", True),
        Setting("StopTransactionOnInvalidId", True),
        Setting("TransactionMessageAttempts", 3, minimum=0, unit="times"),
        Setting("TransactionMessageRetryInterval", 2, minimum=0, unit="s"),
        Setting("UnlockConnectorOnEVSideDisconnect", True),
        Setting("WebSocketPingInterval", 60, minimum=0, unit="s"),
    ]


def _metering() -> List[Setting]:
    keys = [
        Setting("ClockAlignedDataInterval", 0, minimum=0, maximum=86400, unit="s"),
        Setting("MeterValueSampleInterval", 60, minimum=0, unit="s"),
        Setting("StopTransactionMaxMeterValues", 500, read_only=True),
    ]
    lists = {
        "MeterValuesAlignedData": [_ENERGY],
        "MeterValuesSampledData": [_ENERGY, "Power.Active.Import"],
        "StopTxnAlignedData": [],
        "StopTxnSampledData": [],
    }
    for key, measurands in lists.items():
        keys.append(Setting(key, measurands, choices=_CHOICES, maximum=_LIST))
        keys.append(Setting(f"{key}MaxLength", _LIST, read_only=True))
    return keys


def _profiles() -> List[Setting]:
    """Return the keys of the feature profiles but Core."""
    features = ["Core", "FirmwareManagement", "LocalAuthListManagement", "Reservation"]
    features += ["SmartCharging", "RemoteTrigger"]
    return [
        Setting("SupportedFeatureProfiles", features, read_only=True),
        Setting("SupportedFeatureProfilesMaxLength", len(features), read_only=True),
        Setting("SupportedFileTransferProtocols", ["FTP", "FTPS", "HTTP", "HTTPS"], read_only=True),
        Setting("LocalAuthListEnabled", True),
        Setting("LocalAuthListMaxLength", 1000, read_only=True),
        Setting("SendLocalListMaxLength", 100, read_only=True),
        Setting("ReserveConnectorZeroSupported", True, read_only=True),
        Setting("ChargeProfileMaxStackLevel", 10, read_only=True),
        Setting("ChargingScheduleAllowedChargingRateUnit", ["Current", "Power"], read_only=True),
        Setting("ChargingScheduleMaxPeriods", 24, read_only=True),
        Setting("ConnectorSwitch3to1PhaseSupported", False, read_only=True),
        Setting("MaxChargingProfilesInstalled", 50, read_only=True),
    ]


def _security() -> List[Setting]:
    return [
        Setting("AdditionalRootCertificateCheck", False, read_only=True),
        Setting("AuthorizationKey", "", write_only=True, check=_check_password),
        Setting("CertificateSignedMaxChainSize", 10000, read_only=True),
        Setting("CertificateStoreMaxLength", 20, read_only=True),
        Setting("CpoName", "ocppj", maximum=50),
        Setting("SecurityProfile", 0, minimum=0, maximum=3, check=_check_profile),
    ]


def _check_rotation(value: List[str]) -> None:
    known = ("NotApplicable", "Unknown", "RST", "RTS", "SRT", "STR", "TRS", "TSR")
    for part in value:
        connector, dot, rotation = part.partition(".")
        if not (dot and connector.isdigit() and rotation in known):
            raise ValueError(f"{part!r} is no phase rotation")


def _check_profile(value: int) -> None:
    """Refuse all changes: the station stays with the connection that it was started with (A05.FR.01 to FR.04)."""
    raise ValueError("the connection has no other security profile")


def _check_password(text: str) -> None:
    """Check a new password: 16 to 20 bytes as hexadecimal digits, or a text of 16 to 40 characters (section 7.2)."""
    if not 16 <= len(text) <= 40:
        raise ValueError("a password has at least 16 bytes")


def password_of(text: str) -> Union[str, bytes]:
    """Return the password that an AuthorizationKey stands for: hexadecimal digits stand for bytes, if long enough."""
    try:
        key = authorization_key(text)
    except UsageError:
        return text
    return key if len(key) >= 16 else text
