"""Sensible answers to every request: what a system answers for which no answer was scripted."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, List, Mapping, Optional

from ..errors import UsageError
from ..payloads.model import Payload
from ..rpc.dialect import V16
from .examples import dialect_of, example

__all__ = ["HEARTBEAT_INTERVAL", "DefaultAnswers", "default_response"]

#: The interval in the answer to a BootNotification, in seconds.
HEARTBEAT_INTERVAL = 300

#: Fields of an answer.
Fields = Dict[str, Any]

#: What a station says of its configuration. 1.6 section 9 names the keys, 2.x Part 2 appendix the variables.
_SETTINGS = {
    "AuthorizeRemoteTxRequests": "false",
    "ClockAlignedDataInterval": "0",
    "ConnectionTimeOut": "60",
    "HeartbeatInterval": str(HEARTBEAT_INTERVAL),
    "LocalPreAuthorize": "false",
    "MeterValueSampleInterval": "60",
    "MeterValuesSampledData": "Energy.Active.Import.Register",
    "NumberOfConnectors": "1",
    "ResetRetries": "1",
    "StopTransactionOnEVSideDisconnect": "true",
    "StopTransactionOnInvalidId": "true",
    "SupportedFeatureProfiles": "Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,"
    "RemoteTrigger",
    "TransactionMessageAttempts": "3",
    "TransactionMessageRetryInterval": "60",
    "UnlockConnectorOnEVSideDisconnect": "true",
    "WebSocketPingInterval": "60",
}
_READ_ONLY = frozenset(("NumberOfConnectors", "SupportedFeatureProfiles"))


class DefaultAnswers:
    """Answers of one system. It counts transactions and monitors from 1. Any thread may call it."""

    def __init__(self) -> None:
        self._transactions = itertools.count(1)
        self._monitors = itertools.count(1)

    def respond(self, request: Payload, now: datetime) -> Optional[Payload]:
        """Return an answer that is valid in the mode ``strict``, and that agrees with the request.

        It says yes where it can: it accepts boots, tags, transactions, settings and commands. It lists one entry for
        each entry of the request where OCPP asks for it, and has the ids of the request. What is announced to come
        later, such as the NotifyReport after a GetBaseReport, is not sent.

        It says no where a yes would need something that only a real system has: an OCSP response, a contract
        certificate, the certificates that are installed, tariffs.

        Args:
            request: A request of 1.6, 2.0.1 or 2.1, whichever side sends it.
            now: The time of its timestamps, with a zone.

        Returns:
            The answer, or ``None`` for a request without one (2.1 NotifyPeriodicEventStream).

        Raises:
            UsageError: It is a request of none of these versions.
        """
        dialect = dialect_of(type(request))
        if dialect is None:
            raise UsageError(f"there is no default answer to {type(request).__name__}: give one")
        name = next(each.__name__ for each in type(request).__mro__ if each.__module__.startswith(dialect.package))
        if name in dialect.actions:  # a SEND: its type has the name of its action
            return None
        action = name[: -len("Request")]
        if action not in dialect.actions:
            raise UsageError(f"{name} is no request")
        kind = dialect.load_type(action + "Response")
        specific = (_ANSWERS_16 if dialect is V16 else _ANSWERS_2).get(action)
        values = specific(self, request, now) if specific is not None else {}
        answer: Payload = example(kind, now=now, **values)
        return answer

    def next_transaction(self) -> int:
        """Return the id of a new transaction (1.6)."""
        return next(self._transactions)

    def next_monitor(self) -> int:
        """Return the id of a new monitor (2.x)."""
        return next(self._monitors)


_shared = DefaultAnswers()


def default_response(request: Payload, now: datetime) -> Optional[Payload]:
    """Return what `DefaultAnswers.respond` of one object for the whole process returns."""
    return _shared.respond(request, now)


def _boot(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    return {"interval": HEARTBEAT_INTERVAL}


def _start_transaction(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    return {"transaction_id": answers.next_transaction()}


def _stop_transaction(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    return {"id_tag_info": {} if request.id_tag is not None else None}


def _get_configuration(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    """All keys, or those that are asked for. A key that is not in the list is known, but not set."""
    keys: List[str] = request.key or sorted(_SETTINGS)
    return {
        "configuration_key": [{"key": key, "readonly": key in _READ_ONLY, "value": _SETTINGS.get(key)} for key in keys]
    }


def _composite_schedule_16(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    schedule = {"duration": request.duration, "charging_rate_unit": request.charging_rate_unit or "A"}
    return {"connector_id": request.connector_id, "schedule_start": now, "charging_schedule": schedule}


def _composite_schedule_2(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    unit = request.charging_rate_unit or "A"
    return {"schedule": {"evse_id": request.evse_id, "duration": request.duration, "charging_rate_unit": unit}}


def _diagnostics(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    return {"file_name": "diagnostics.log"}


def _log(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    return {"filename": "station.log"}


def _no_certificates(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    return {"status": "NotFound"}


def _authorize_2(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    """2.x C07: the answer has a certificate status if the request has a certificate, or the hashes of one."""
    has_certificate = request.certificate is not None or request.iso15118_certificate_hash_data is not None
    return {"certificate_status": "Accepted" if has_certificate else None}


def _transaction_event(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    """2.x TransactionEventResponse: ``idTokenInfo`` is required if the request has an ``idToken``."""
    return {"id_token_info": {} if request.id_token is not None else None}


def _transaction_status(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    return {"messages_in_queue": False, "ongoing_indicator": False if request.transaction_id is not None else None}


def _get_variables(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    """One result for each entry. 2.x B06.FR.11: its type is "Actual" by default; B06.FR.13: "" if there is no value."""
    results = [
        {
            "component": each.component,
            "variable": each.variable,
            "attribute_type": each.attribute_type or "Actual",
            "attribute_value": _SETTINGS.get(each.variable.name, ""),
        }
        for each in request.get_variable_data
    ]
    return {"get_variable_result": [{"attribute_status": "Accepted", **each} for each in results]}


def _set_variables(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    results = [
        {"component": each.component, "variable": each.variable, "attribute_type": each.attribute_type or "Actual"}
        for each in request.set_variable_data
    ]
    return {"set_variable_result": [{"attribute_status": "Accepted", **each} for each in results]}


def _set_monitoring(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    results = [
        {
            "id": answers.next_monitor() if each.id is None else each.id,
            "type": each.type,
            "severity": each.severity,
            "component": each.component,
            "variable": each.variable,
        }
        for each in request.set_monitoring_data
    ]
    return {"set_monitoring_result": results}


def _clear_monitoring(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    return {"clear_monitoring_result": [{"id": each} for each in request.id]}


def _clear_tariffs(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    if not request.tariff_ids:
        return {"clear_tariffs_result": [{"status": "NoTariff"}]}
    return {"clear_tariffs_result": [{"tariff_id": each} for each in request.tariff_ids]}


def _certificate_chain(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    asked = request.certificate_status_requests
    status = {"status": "Failed", "next_update": now + timedelta(days=1)}
    return {
        "certificate_status": [
            {"certificate_hash_data": each.certificate_hash_data, "source": each.source, **status} for each in asked
        ]
    }


def _vat_number(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    return {"vat_number": request.vat_number, "evse_id": request.evse_id}


def _dynamic_schedule(answers: DefaultAnswers, request: Any, now: datetime) -> Fields:
    return {"schedule_update": {"limit": 16.0}}


def _always(**values: Any) -> "Answer":
    return lambda answers, request, now: dict(values)


Answer = Callable[[DefaultAnswers, Any, datetime], Fields]

#: The fields that differ from those of `example`, by action.
_ANSWERS_16: Mapping[str, Answer] = {
    "BootNotification": _boot,
    "GetCompositeSchedule": _composite_schedule_16,
    "GetConfiguration": _get_configuration,
    "GetDiagnostics": _diagnostics,
    "GetInstalledCertificateIds": _no_certificates,
    "GetLocalListVersion": _always(list_version=0),
    "GetLog": _log,
    "StartTransaction": _start_transaction,
    "StopTransaction": _stop_transaction,
}
_ANSWERS_2: Mapping[str, Answer] = {
    "Authorize": _authorize_2,
    "BootNotification": _boot,
    "ClearTariffs": _clear_tariffs,
    "ClearVariableMonitoring": _clear_monitoring,
    "Get15118EVCertificate": _always(status="Failed", exi_response=""),
    "GetCertificateChainStatus": _certificate_chain,
    "GetCertificateStatus": _always(status="Failed"),
    "GetCompositeSchedule": _composite_schedule_2,
    "GetInstalledCertificateIds": _no_certificates,
    "GetLocalListVersion": _always(version_number=0),
    "GetLog": _log,
    "GetTariffs": _always(status="NoTariff"),
    "GetTransactionStatus": _transaction_status,
    "GetVariables": _get_variables,
    "PullDynamicScheduleUpdate": _dynamic_schedule,
    "SetVariableMonitoring": _set_monitoring,
    "SetVariables": _set_variables,
    "TransactionEvent": _transaction_event,
    "UnpublishFirmware": _always(status="Unpublished"),
    "VatNumberValidation": _vat_number,
}
