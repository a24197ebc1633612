"""The names that the schemas of OCPP 2.1 do not have. The rule of ``names_v201.py`` applies here, too."""

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
    "EnergyRequest.Maximum.V2X": "ENERGY_REQUEST_MAXIMUM_V2X",
    "EnergyRequest.Minimum.V2X": "ENERGY_REQUEST_MINIMUM_V2X",
    "IKEv2": "IKEV2",
    "IPSec": "IPSEC",
    "IdleTIme": "IDLE_TIME",
    "L2TP": "L2TP",
    "PctEffectiveV": "PCT_EFFECTIVE_V",
    "PctMaxW": "PCT_MAX_W",
    "PctWAvail": "PCT_W_AVAIL",
    "RoCoF": "ROCOF",
    "SignV2G20Certificate": "SIGN_V2G20_CERTIFICATE",
    "SignV2GCertificate": "SIGN_V2G_CERTIFICATE",
    "SoC": "SOC",
    "SoCLimitReached": "SOC_LIMIT_REACHED",
    "V2G20Certificate": "V2G20_CERTIFICATE",
    "V2GCertificate": "V2G_CERTIFICATE",
    "V2GCertificateChain": "V2G_CERTIFICATE_CHAIN",
    "V2GRootCertificate": "V2G_ROOT_CERTIFICATE",
}

#: Properties for which the rule is wrong, or which it refuses.
FIELDS: Dict[str, str] = {
    "autonomousVRefEnable": "autonomous_v_ref_enable",
    "autonomousVRefTimeConstant": "autonomous_v_ref_time_constant",
    "bulkSoC": "bulk_soc",
    "ePriceLevel": "e_price_level",
    "evMaxV2XEnergyRequest": "ev_max_v2x_energy_request",
    "evMinV2XEnergyRequest": "ev_min_v2x_energy_request",
    "fullSoC": "full_soc",
    "limitAtSoC": "limit_at_soc",
    "maxSoC": "max_soc",
    "numEPriceLevels": "num_e_price_levels",
    "prioritizedEMAIDs": "prioritized_emaids",
    "soC": "soc",
    "soH": "soh",
    "targetSoC": "target_soc",
    "vRef": "v_ref",
    "yUnit": "y_unit",
}

#: The functional blocks of OCPP 2.1 Part 2, A to S: an action belongs to the block with its use cases.
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
    "Authorization": ("Authorize", "ClearCache", "NotifySettlement", "NotifyWebPaymentStarted", "VatNumberValidation"),
    "LocalAuthorizationListManagement": ("GetLocalListVersion", "SendLocalList"),
    "Transactions": ("GetTransactionStatus", "TransactionEvent"),
    "RemoteControl": ("RequestStartTransaction", "RequestStopTransaction", "TriggerMessage", "UnlockConnector"),
    "Availability": ("ChangeAvailability", "Heartbeat", "StatusNotification"),
    "Reservation": ("CancelReservation", "ReservationStatusUpdate", "ReserveNow"),
    "TariffAndCost": ("ChangeTransactionTariff", "ClearTariffs", "CostUpdated", "GetTariffs", "SetDefaultTariff"),
    "MeterValues": ("MeterValues",),
    "SmartCharging": (
        "ClearChargingProfile",
        "ClearedChargingLimit",
        "GetChargingProfiles",
        "GetCompositeSchedule",
        "NotifyChargingLimit",
        "NotifyEVChargingNeeds",
        "NotifyEVChargingSchedule",
        "NotifyPriorityCharging",
        "PullDynamicScheduleUpdate",
        "ReportChargingProfiles",
        "SetChargingProfile",
        "UpdateDynamicSchedule",
        "UsePriorityCharging",
    ),
    "FirmwareManagement": (
        "FirmwareStatusNotification",
        "PublishFirmware",
        "PublishFirmwareStatusNotification",
        "UnpublishFirmware",
        "UpdateFirmware",
    ),
    "CertificateManagement": (
        "DeleteCertificate",
        "Get15118EVCertificate",
        "GetCertificateChainStatus",
        "GetCertificateStatus",
        "GetInstalledCertificateIds",
        "InstallCertificate",
    ),
    "Diagnostics": (
        "AdjustPeriodicEventStream",
        "ClearVariableMonitoring",
        "ClosePeriodicEventStream",
        "CustomerInformation",
        "GetLog",
        "GetMonitoringReport",
        "GetPeriodicEventStream",
        "LogStatusNotification",
        "NotifyCustomerInformation",
        "NotifyEvent",
        "NotifyMonitoringReport",
        "NotifyPeriodicEventStream",
        "OpenPeriodicEventStream",
        "SetMonitoringBase",
        "SetMonitoringLevel",
        "SetVariableMonitoring",
    ),
    "DisplayMessage": ("ClearDisplayMessage", "GetDisplayMessages", "NotifyDisplayMessages", "SetDisplayMessage"),
    "DataTransfer": ("DataTransfer",),
    "BidirectionalPowerTransfer": ("AFRRSignal", "NotifyAllowedEnergyTransfer"),
    "DERControl": (
        "ClearDERControl",
        "GetDERControl",
        "NotifyDERAlarm",
        "NotifyDERStartStop",
        "ReportDERControl",
        "SetDERControl",
    ),
    "BatterySwapping": ("BatterySwap", "RequestBatterySwap"),
}

#: The senders of requests. The CSMS sends all requests that are in neither table.
SENT_BY_CHARGE_POINT: Tuple[str, ...] = (
    "Authorize",
    "BatterySwap",
    "BootNotification",
    "ClearedChargingLimit",
    "ClosePeriodicEventStream",
    "FirmwareStatusNotification",
    "Get15118EVCertificate",
    "GetCertificateChainStatus",
    "GetCertificateStatus",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "NotifyChargingLimit",
    "NotifyCustomerInformation",
    "NotifyDERAlarm",
    "NotifyDERStartStop",
    "NotifyDisplayMessages",
    "NotifyEVChargingNeeds",
    "NotifyEVChargingSchedule",
    "NotifyEvent",
    "NotifyMonitoringReport",
    "NotifyPeriodicEventStream",
    "NotifyPriorityCharging",
    "NotifyReport",
    "NotifySettlement",
    "OpenPeriodicEventStream",
    "PublishFirmwareStatusNotification",
    "PullDynamicScheduleUpdate",
    "ReportChargingProfiles",
    "ReportDERControl",
    "ReservationStatusUpdate",
    "SecurityEventNotification",
    "SignCertificate",
    "StatusNotification",
    "TransactionEvent",
    "VatNumberValidation",
)
SENT_BY_BOTH: Tuple[str, ...] = ("DataTransfer",)
