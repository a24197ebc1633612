"""The time to check and decode a payload: plain jsonschema, ocppj with and without its extra, the package ocpp.

    python benchmarks/validation.py        # all in one run, because machines differ more than libraries

Each figure is the best of several rounds, in microseconds for one payload. A ratio is the time of jsonschema divided by
this time. The package ocpp (the extra "test" has it) is needed for its column.
"""

import json
import sys
import timeit
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jsonschema  # noqa: E402
from harness import Figures, Subject, say, table  # noqa: E402
from samples import METER_VALUES  # noqa: E402
from subjects import has_fast  # noqa: E402

from ocppj import Endpoint, Feature, PendingRequestState, parse_json_message, v16  # noqa: E402
from ocppj.payloads.jsontext import encode  # noqa: E402
from ocppj.rpc.validation import check_payload, use_accelerators  # noqa: E402

try:
    import ocpp.messages as ocpp_messages
except ImportError:
    ocpp_messages = None  # type: ignore[assignment]

TRANSACTION_EVENT = {
    "eventType": "Updated",
    "timestamp": "2026-01-02T03:04:05.678Z",
    "triggerReason": "MeterValuePeriodic",
    "seqNo": 3,
    "transactionInfo": {"transactionId": "6c0f5fd5-3e4d-4f5c-8a6f-0a1b2c3d4e5f", "chargingState": "Charging"},
    "evse": {"id": 1, "connectorId": 1},
    "idToken": {"idToken": "TAG-0001", "type": "ISO14443"},
    "meterValue": [
        {
            "timestamp": "2026-01-02T03:04:05.678Z",
            "sampledValue": [
                {
                    "value": 1437.2,
                    "context": "Sample.Periodic",
                    "measurand": "Energy.Active.Import.Register",
                    "unitOfMeasure": {"unit": "Wh"},
                },
                {"value": 230.1, "context": "Sample.Periodic", "measurand": "Voltage", "phase": "L1"},
                {"value": 15.9, "context": "Sample.Periodic", "measurand": "Current.Import", "phase": "L1"},
            ],
        }
    ],
}
#: Our columns; ``True``: with the extra.
OURS = {"ocppj": False, **({"ocppj[fast]": True} if has_fast() else {})}
MESSAGES = [
    ("Heartbeat", "1.6", {}),
    ("MeterValues", "1.6", METER_VALUES),
    ("TransactionEvent", "2.0.1", TRANSACTION_EVENT),
]


def schema_of(name: str, version: str) -> Optional[Dict[str, Any]]:
    folder = "v" + version.replace(".", "")
    path = ROOT / "ocppj" / folder / "schemas" / f"{name}Request.json"
    if not path.exists() and ocpp_messages is not None:
        path = Path(ocpp_messages.__file__).parent / folder / "schemas" / f"{name}Request.json"
    if not path.exists():
        return None
    schema: Dict[str, Any] = json.loads(path.read_text("utf-8-sig"))
    return schema


def microseconds(function: Callable[[], object]) -> float:
    function()
    number = 1
    while timeit.timeit(function, number=number) < 0.02:
        number *= 2
    return min(timeit.repeat(function, number=number, repeat=9)) / number * 1e6


def verdicts() -> None:
    results: Dict[str, Figures] = {}
    for name, version, payload in MESSAGES:
        schema = schema_of(name, version)
        if schema is None:
            say(f"{name}: no schema (install ocpp)")
            continue
        feature = Feature(name, v16.HeartbeatRequest, None, schema)
        plain = jsonschema.validators.validator_for(schema)(schema)
        figures = results[name] = {"jsonschema": microseconds(lambda: plain.is_valid(payload))}  # noqa: B023 (called here)
        for column, fast in OURS.items():
            use_accelerators(fast)
            figures[column] = microseconds(lambda: check_payload(feature, False, payload))  # noqa: B023
            figures[f"ratio of {column}"] = figures["jsonschema"] / figures[column]
        if ocpp_messages is not None:
            call = ocpp_messages.Call("1", name, payload)
            figures["ocpp"] = microseconds(lambda: ocpp_messages._validate_payload(call, version))  # noqa: B023
    columns = ["jsonschema", "ocpp", *OURS, *(f"ratio of {column}" for column in OURS)]
    show("The verdict on a valid payload, us", results, columns)


def whole_messages() -> None:
    endpoint = Endpoint(v16.PROFILES)
    text = json.dumps([2, "6c0f5fd5-3e4d-4f5c-8a6f-0a1b2c3d4e5f", "MeterValues", METER_VALUES])
    fields = parse_json_message(text)
    message = v16.MeterValuesRequest.from_wire(METER_VALUES)
    pending = PendingRequestState()
    steps: Dict[str, Callable[[], object]] = {
        "JSON text to values": lambda: parse_json_message(text),
        "values to dataclass": lambda: v16.MeterValuesRequest.from_wire(METER_VALUES),
        "dataclass to values": message.to_wire,
        "values to JSON text": lambda: encode(fields),
        "received, all of it": lambda: endpoint.parse_message(parse_json_message(text), pending),
        "sent, all of it": lambda: endpoint.create_call(message).to_json(),
    }
    results: Dict[str, Figures] = {name: {} for name in steps}
    for column, fast in OURS.items():
        use_accelerators(fast)
        for name, step in steps.items():
            results[name][column] = microseconds(step)
    show("MeterValues with three samples, step by step, us", results, list(OURS))


def show(title: str, results: Dict[str, Figures], columns: List[str]) -> None:
    say(table(f"### {title}", [Subject(name, []) for name in results], results, {column: column for column in columns}))


if __name__ == "__main__":
    verdicts()
    whole_messages()
    if not has_fast():
        say('- ocppj[fast]: not run, the extra "fast" is not installed')
