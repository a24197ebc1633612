"""The names that the schemas of OCPP 1.6 do not have, and what else is missing there.

The names are those of "OCPP 1.6 edition 2" sections 6 and 7 and of the "Security Whitepaper edition 3" section 6. The
latter lose "Type" or "EnumType", because no enum of OCPP 1.6 has "Enum" in its name. Where two names are then the same,
the type of the whitepaper has another one.
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

#: Inline objects and enums: the class and property with the object, or with a list of it, and the name of its class.
INLINE: Dict[str, str] = {
    "AuthorizationData.idTagInfo": "IdTagInfo",
    "AuthorizeResponse.idTagInfo": "IdTagInfo",
    "BootNotificationResponse.status": "RegistrationStatus",
    "CancelReservationResponse.status": "CancelReservationStatus",
    "ChangeAvailabilityRequest.type": "AvailabilityType",
    "ChangeAvailabilityResponse.status": "AvailabilityStatus",
    "ChangeConfigurationResponse.status": "ConfigurationStatus",
    "ChargingProfile.chargingProfileKind": "ChargingProfileKindType",
    "ChargingProfile.chargingProfilePurpose": "ChargingProfilePurposeType",
    "ChargingProfile.chargingSchedule": "ChargingSchedule",
    "ChargingProfile.recurrencyKind": "RecurrencyKindType",
    "ChargingSchedule.chargingRateUnit": "ChargingRateUnitType",
    "ChargingSchedule.chargingSchedulePeriod": "ChargingSchedulePeriod",
    "ClearCacheResponse.status": "ClearCacheStatus",
    "ClearChargingProfileRequest.chargingProfilePurpose": "ChargingProfilePurposeType",
    "ClearChargingProfileResponse.status": "ClearChargingProfileStatus",
    "DataTransferResponse.status": "DataTransferStatus",
    "DiagnosticsStatusNotificationRequest.status": "DiagnosticsStatus",
    "FirmwareStatusNotificationRequest.status": "FirmwareStatus",
    "GetCompositeScheduleRequest.chargingRateUnit": "ChargingRateUnitType",
    "GetCompositeScheduleResponse.chargingSchedule": "ChargingSchedule",
    "GetCompositeScheduleResponse.status": "GetCompositeScheduleStatus",
    "GetConfigurationResponse.configurationKey": "KeyValue",
    "IdTagInfo.status": "AuthorizationStatus",
    "MeterValue.sampledValue": "SampledValue",
    "MeterValuesRequest.meterValue": "MeterValue",
    "RemoteStartTransactionRequest.chargingProfile": "ChargingProfile",
    "RemoteStartTransactionResponse.status": "RemoteStartStopStatus",
    "RemoteStopTransactionResponse.status": "RemoteStartStopStatus",
    "ReserveNowResponse.status": "ReservationStatus",
    "ResetRequest.type": "ResetType",
    "ResetResponse.status": "ResetStatus",
    "SampledValue.context": "ReadingContext",
    "SampledValue.format": "ValueFormat",
    "SampledValue.location": "Location",
    "SampledValue.measurand": "Measurand",
    "SampledValue.phase": "Phase",
    "SampledValue.unit": "UnitOfMeasure",
    "SendLocalListRequest.localAuthorizationList": "AuthorizationData",
    "SendLocalListRequest.updateType": "UpdateType",
    "SendLocalListResponse.status": "UpdateStatus",
    "SetChargingProfileRequest.csChargingProfiles": "ChargingProfile",
    "SetChargingProfileResponse.status": "ChargingProfileStatus",
    "StartTransactionResponse.idTagInfo": "IdTagInfo",
    "StatusNotificationRequest.errorCode": "ChargePointErrorCode",
    "StatusNotificationRequest.status": "ChargePointStatus",
    "StopTransactionRequest.reason": "Reason",
    "StopTransactionRequest.transactionData": "MeterValue",
    "StopTransactionResponse.idTagInfo": "IdTagInfo",
    "TriggerMessageRequest.requestedMessage": "MessageTrigger",
    "TriggerMessageResponse.status": "TriggerMessageStatus",
    "UnlockConnectorResponse.status": "UnlockStatus",
}

#: Definitions whose class has not the name of the definition without "Type": the enums.
DEFINITIONS: Dict[str, str] = {
    "CertificateSignedStatusEnumType": "CertificateSignedStatus",
    "CertificateUseEnumType": "CertificateUse",
    "DeleteCertificateStatusEnumType": "DeleteCertificateStatus",
    "GenericStatusEnumType": "GenericStatus",
    "GetInstalledCertificateStatusEnumType": "GetInstalledCertificateStatus",
    "HashAlgorithmEnumType": "HashAlgorithm",
    "InstallCertificateStatusEnumType": "InstallCertificateStatus",
    "LogStatusEnumType": "LogStatus",
    "TriggerMessageStatusEnumType": "TriggerMessageStatus",
    "UpdateFirmwareStatusEnumType": "UpdateFirmwareStatus",
    "UploadLogStatusEnumType": "UploadLogStatus",
    # OCPP 1.6 sections 7.25 and 7.32 have types of these names, with fewer and other members.
    "FirmwareStatusEnumType": "SignedFirmwareStatus",
    "MessageTriggerEnumType": "ExtendedMessageTrigger",
    "LogEnumType": "LogType",
}

#: Enums with different members in different places. The class has all of them. The schemas check each place.
WIDENED: Dict[str, str] = {
    "UnitOfMeasure": "MeterValues.req has Hertz, StopTransaction.req does not (compare OCPP 1.6 errata 3.86)",
}

#: Members of enums for which the rule of `schema_model.snake_case` is wrong.
ENUM_MEMBERS: Dict[str, str] = {"SoC": "SOC", "kVA": "KVA", "kW": "KW", "kWh": "KWH"}

#: Properties for which the rule is wrong.
FIELDS: Dict[str, str] = {}

#: The feature profiles of OCPP 1.6 section 3.3, and one for the security extension.
PROFILES: Dict[str, Tuple[str, ...]] = {
    "Core": (
        "Authorize",
        "BootNotification",
        "ChangeAvailability",
        "ChangeConfiguration",
        "ClearCache",
        "DataTransfer",
        "GetConfiguration",
        "Heartbeat",
        "MeterValues",
        "RemoteStartTransaction",
        "RemoteStopTransaction",
        "Reset",
        "StartTransaction",
        "StatusNotification",
        "StopTransaction",
        "UnlockConnector",
    ),
    "FirmwareManagement": (
        "DiagnosticsStatusNotification",
        "FirmwareStatusNotification",
        "GetDiagnostics",
        "UpdateFirmware",
    ),
    "LocalAuthListManagement": ("GetLocalListVersion", "SendLocalList"),
    "Reservation": ("CancelReservation", "ReserveNow"),
    "SmartCharging": ("ClearChargingProfile", "GetCompositeSchedule", "SetChargingProfile"),
    "RemoteTrigger": ("TriggerMessage",),
    "Security": (
        "CertificateSigned",
        "DeleteCertificate",
        "ExtendedTriggerMessage",
        "GetInstalledCertificateIds",
        "GetLog",
        "InstallCertificate",
        "LogStatusNotification",
        "SecurityEventNotification",
        "SignCertificate",
        "SignedFirmwareStatusNotification",
        "SignedUpdateFirmware",
    ),
}

#: The senders of requests. The central system sends all requests that are in neither table.
SENT_BY_CHARGE_POINT: Tuple[str, ...] = (
    "Authorize",
    "BootNotification",
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "SecurityEventNotification",
    "SignCertificate",
    "SignedFirmwareStatusNotification",
    "StartTransaction",
    "StatusNotification",
    "StopTransaction",
)
SENT_BY_BOTH: Tuple[str, ...] = ("DataTransfer",)
