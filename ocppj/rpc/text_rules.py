"""Rules for values that stand in the text of OCPP, and not in its schemas. The mode ``strict`` checks them.

They are ranges of one value, and one rule about two. Other rules about several values, such as that of a profile for
its transaction, are left to the program.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

__all__ = ["REQUIRED_WHEN", "RULES", "tighten_schema"]

#: A keyword of ours. Its value is (property, other property, text): the first is required if the other has that text.
REQUIRED_WHEN = "requiredWhen"


class _Rule(NamedTuple):
    section: str
    messages: Tuple[str, ...]  # the schemas; none: all
    path: str  # the end of the path of the property, without indexes
    keywords: Mapping[str, Any]


_SEVERITY = {"minimum": 0, "maximum": 9}
_PRIORITY = {"minimum": -9, "maximum": 9}
_VALUE = {REQUIRED_WHEN: ("attributeValue", "attributeStatus", "Accepted")}
_MONITORING = ("SetVariableMonitoringRequest", "SetVariableMonitoringResponse", "NotifyMonitoringReportRequest")

#: By version. The sections are those of 1.6 edition 2, and of Part 2 of 2.0.1 edition 3 and of 2.1.
RULES: Dict[str, List[_Rule]] = {
    "1.6": [
        _Rule("6.7", ("ChangeAvailabilityRequest",), "connectorId", {"minimum": 0}),
        _Rule("6.31", ("MeterValuesRequest",), "connectorId", {"minimum": 0}),
        _Rule("6.33", ("RemoteStartTransactionRequest",), "connectorId", {"minimum": 1}),
        _Rule("6.37", ("ReserveNowRequest",), "connectorId", {"minimum": 0}),
        _Rule("6.45", ("StartTransactionRequest",), "connectorId", {"minimum": 1}),
        _Rule("6.47", ("StatusNotificationRequest",), "connectorId", {"minimum": 0}),
        _Rule("6.51", ("TriggerMessageRequest",), "connectorId", {"minimum": 1}),
        _Rule("6.53", ("UnlockConnectorRequest",), "connectorId", {"minimum": 1}),
        _Rule("7.8", ("SetChargingProfileRequest",), "csChargingProfiles.stackLevel", {"minimum": 0}),
        _Rule("7.8", ("RemoteStartTransactionRequest",), "chargingProfile.stackLevel", {"minimum": 0}),
        _Rule("7.13", (), "chargingSchedulePeriod", {"minItems": 1}),
        _Rule("7.33", (), "sampledValue", {"minItems": 1}),
    ],
    "2.0.1": [
        _Rule("1.44.1", ("RequestStartTransactionRequest",), "evseId", {"minimum": 1}),
        _Rule("1.54.1", ("SetMonitoringLevelRequest",), "severity", _SEVERITY),
        _Rule("1.60.2, 2.27", (), "chargingPriority", _PRIORITY),
        _Rule("2.26", ("GetVariablesResponse",), "getVariableResult", _VALUE),
        _Rule("2.31", ("SetDisplayMessageRequest",), "message.id", {"minimum": 0}),
        _Rule("2.31", ("NotifyDisplayMessagesRequest",), "messageInfo.id", {"minimum": 0}),
        _Rule("2.42, 2.43, 2.52", _MONITORING, "severity", _SEVERITY),
    ],
    "2.1": [
        _Rule("1.78.1", ("SetMonitoringLevelRequest",), "severity", _SEVERITY),
        _Rule("1.84.2, 2.60", (), "chargingPriority", _PRIORITY),
        _Rule("2.43", ("NotifyEventRequest",), "severity", _SEVERITY),  # that of a monitor
        _Rule("2.56", ("GetVariablesResponse",), "getVariableResult", _VALUE),
        _Rule("2.88, 2.89, 2.118", _MONITORING, "severity", _SEVERITY),
    ],
}  # fmt: skip


def tighten_schema(plain: Mapping[str, Any], version: str, name: str) -> Optional[Dict[str, Any]]:
    """Return the plain schema ``name`` of an OCPP version with its rules. ``None``: there is no rule for it."""
    rules = [rule for rule in RULES.get(version, ()) if not rule.messages or name in rule.messages]
    tightened = _tighten(plain, rules, "")
    return None if tightened == plain else tightened


def _tighten(schema: Mapping[str, Any], rules: List[_Rule], path: str) -> Dict[str, Any]:
    """Return ``schema``, that of the property ``path``, with the rules. A list and its items have the same path.

    A rule stands at the one that it is about. At the other it would find a second fault in a value of a wrong type.
    """
    tightened = dict(schema)
    for rule in rules:
        is_of_list = "minItems" in rule.keywords
        if is_of_list is ("items" in schema) and f".{path}".endswith(f".{rule.path}"):
            tightened.update(rule.keywords)
    if "items" in schema:
        tightened["items"] = _tighten(schema["items"], rules, path)
    if "properties" in schema:
        parts = schema["properties"].items()
        tightened["properties"] = {name: _tighten(part, rules, f"{path}.{name}".lstrip(".")) for name, part in parts}
    return tightened
