"""Names for what the schemas of OCPP 1.6 leave nameless, and what else they do not say.

Names are those of "OCPP 1.6 edition 2" sections 6 and 7 and of the "Security Whitepaper edition 3" section 6 (there
without "Type" or "EnumType", for no enum of OCPP 1.6 itself has "Enum" in its name, and told apart where they would
take the name of a type of OCPP 1.6 itself).
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

#: Inline objects and enums: the class and property that hold one, or a list of one, and the name of its own class.
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

#: Definitions whose class is not simply their name without "Type": the enums.
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

#: Enums whose places have different members, and which get all of them. The schemas judge each place by its own.
WIDENED: Dict[str, str] = {
    "UnitOfMeasure": "MeterValues.req has Hertz, StopTransaction.req has not (compare OCPP 1.6 errata 3.86)",
}

#: Members of enums that the rule in `generate.snake_case` would get wrong.
ENUM_MEMBERS: Dict[str, str] = {"SoC": "SOC", "kVA": "KVA", "kW": "KW", "kWh": "KWH"}

#: Properties that the rule would get wrong.
FIELDS: Dict[str, str] = {}

#: The feature profiles of OCPP 1.6 section 3.3, and the security extension as one more.
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

#: Who sends the request; what is in neither is sent by the central system.
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
