"""The names that the schemas of OCPP 2.0.1 do not have.

A class has the name of the type in Part 2 without "Type": `IdTokenType` is `IdToken`, `IdTokenEnumType` is
`IdTokenEnum`, `ResetEnumType` is `ResetEnum`. So an enum never looks like a message or an object, and a name does not
depend on other types. The rule has no exceptions and no clashes, here and in OCPP 2.1 (``names_v21.py``). The generator
refuses a name that is taken. One object has the name of an action, because Part 2 has it so: `ClearChargingProfile`,
beside the message `ClearChargingProfileRequest`.
"""

from __future__ import annotations

from typing import Dict, Tuple

__all__ = [
    "DEFINITIONS",
    "ENUM_MEMBERS",
    "FIELDS",
    "INLINE",
    "PROFILES",
    "SENT_BY_BOTH",
    "SENT_BY_CHARGE_POINT",
    "WIDENED",
]

#: All types have names.
INLINE: Dict[str, str] = {}

#: The rule gives all names.
DEFINITIONS: Dict[str, str] = {}

#: Each enum has the same members in all places.
WIDENED: Dict[str, str] = {}

#: Members of enums for which the rule of `schema_model.snake_case` is wrong, or which it refuses.
ENUM_MEMBERS: Dict[str, str] = {
    "IKEv2": "IKEV2",
    "IPSec": "IPSEC",
    "L2TP": "L2TP",
    "Other1PhMax16A": "OTHER_1PH_MAX_16A",
    "Other1PhOver16A": "OTHER_1PH_OVER_16A",
    "Other3Ph": "OTHER_3PH",
    "SignV2GCertificate": "SIGN_V2G_CERTIFICATE",
    "SoC": "SOC",
    "V2GCertificate": "V2G_CERTIFICATE",
    "V2GCertificateChain": "V2G_CERTIFICATE_CHAIN",
    "V2GRootCertificate": "V2G_ROOT_CERTIFICATE",
    "cCCS1": "C_CCS1",
    "cCCS2": "C_CCS2",
    "cG105": "C_G105",
    "cTesla": "C_TESLA",
    "cType1": "C_TYPE1",
    "cType2": "C_TYPE2",
    "eMAID": "EMAID",
    "s309-1P-16A": "S_309_1P_16A",
    "s309-1P-32A": "S_309_1P_32A",
    "s309-3P-16A": "S_309_3P_16A",
    "s309-3P-32A": "S_309_3P_32A",
    "sBS1361": "S_BS1361",
    "sCEE-7-7": "S_CEE_7_7",
    "sType2": "S_TYPE2",
    "sType3": "S_TYPE3",
    "wInductive": "W_INDUCTIVE",
    "wResonant": "W_RESONANT",
}

#: Properties for which the rule is wrong, or which it refuses.
FIELDS: Dict[str, str] = {
    "bulkSoC": "bulk_soc",
    "ePriceLevel": "e_price_level",
    "fullSoC": "full_soc",
    "numEPriceLevels": "num_e_price_levels",
}

#: The functional blocks of OCPP 2.0.1 Part 2, A to P: an action belongs to the block with its use cases.
PROFILES: Dict[str, Tuple[str, ...]] = {
    "Security": ("CertificateSigned", "SecurityEventNotification", "SignCertificate"),
    "Provisioning": (
        "BootNotification",
        "GetBaseReport",
        "GetReport",
        "GetVariables",
        "NotifyReport",
        "Reset",
        "SetNetworkProfile",
        "SetVariables",
    ),
    "Authorization": ("Authorize", "ClearCache"),
    "LocalAuthorizationListManagement": ("GetLocalListVersion", "SendLocalList"),
    "Transactions": ("GetTransactionStatus", "TransactionEvent"),
    "RemoteControl": ("RequestStartTransaction", "RequestStopTransaction", "TriggerMessage", "UnlockConnector"),
    "Availability": ("ChangeAvailability", "Heartbeat", "StatusNotification"),
    "Reservation": ("CancelReservation", "ReservationStatusUpdate", "ReserveNow"),
    "TariffAndCost": ("CostUpdated",),
    "MeterValues": ("MeterValues",),
    "SmartCharging": (
        "ClearChargingProfile",
        "ClearedChargingLimit",
        "GetChargingProfiles",
        "GetCompositeSchedule",
        "NotifyChargingLimit",
        "NotifyEVChargingNeeds",
        "NotifyEVChargingSchedule",
        "ReportChargingProfiles",
        "SetChargingProfile",
    ),
    "FirmwareManagement": (
        "FirmwareStatusNotification",
        "PublishFirmware",
        "PublishFirmwareStatusNotification",
        "UnpublishFirmware",
        "UpdateFirmware",
    ),
    "ISO15118CertificateManagement": (
        "DeleteCertificate",
        "Get15118EVCertificate",
        "GetCertificateStatus",
        "GetInstalledCertificateIds",
        "InstallCertificate",
    ),
    "Diagnostics": (
        "ClearVariableMonitoring",
        "CustomerInformation",
        "GetLog",
        "GetMonitoringReport",
        "LogStatusNotification",
        "NotifyCustomerInformation",
        "NotifyEvent",
        "NotifyMonitoringReport",
        "SetMonitoringBase",
        "SetMonitoringLevel",
        "SetVariableMonitoring",
    ),
    "DisplayMessage": ("ClearDisplayMessage", "GetDisplayMessages", "NotifyDisplayMessages", "SetDisplayMessage"),
    "DataTransfer": ("DataTransfer",),
}

#: The senders of requests. The CSMS sends all requests that are in neither table.
SENT_BY_CHARGE_POINT: Tuple[str, ...] = (
    "Authorize",
    "BootNotification",
    "ClearedChargingLimit",
    "FirmwareStatusNotification",
    "Get15118EVCertificate",
    "GetCertificateStatus",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "NotifyChargingLimit",
    "NotifyCustomerInformation",
    "NotifyDisplayMessages",
    "NotifyEVChargingNeeds",
    "NotifyEVChargingSchedule",
    "NotifyEvent",
    "NotifyMonitoringReport",
    "NotifyReport",
    "PublishFirmwareStatusNotification",
    "ReportChargingProfiles",
    "ReservationStatusUpdate",
    "SecurityEventNotification",
    "SignCertificate",
    "StatusNotification",
    "TransactionEvent",
)
SENT_BY_BOTH: Tuple[str, ...] = ("DataTransfer",)
