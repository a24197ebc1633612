"""`ocppj.rpc.fault_search`: what it costs to refuse a payload. (The faults: tests/fuzz/test_faults.py.)

The yardstick is a valid payload of the same size, read by the code that is made for its schema and its class. Bytecodes
of Python are counted, all that run, in whatever module; not time. Accelerators run none: so the yardstick is without.
"""

import re

import pytest

from ocppj import Endpoint, ErrorCode, Feature, MessageError, PendingRequestState, ValidationError, v16, v201
from ocppj.payloads import lenient
from ocppj.rpc.dialect import V16, V201
from ocppj.rpc.messages import parse_json_message
from ocppj.rpc.validation import check_payload, get_quick_check, use_accelerators
from tests.counting import count_bytecodes

#: Characters of a frame. It must be so large that what each frame costs does not count.
SIZE = 8_000
MODES = ["strict", "standard", "warn", "off"]
EVENT = (
    '{"eventId":1,"timestamp":"2026-01-02T03:04:05Z","trigger":"Delta","actualValue":"x",'
    '"eventNotificationType":"CustomMonitor","component":{"name":"c"},"variable":{"name":"v"}}'
)
EVENTS = (V201, '[2,"1","NotifyEvent",{"generatedAt":"2026-01-02T03:04:05Z","seqNo":0,"eventData":[', "]}]")
METER = '{"timestamp":"2026-01-02T03:04:05Z","sampledValue":[{"value":"1"}]}'
METERS = (V16, '[2,"1","MeterValues",{"connectorId":1,"meterValue":[', "]}]")
SAMPLES = (
    V16,
    '[2,"1","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2026-01-02T03:04:05Z","sampledValue":[',
    "]}]}]",
)
SAMPLE = (
    '{"value":"1","context":"Trigger","format":"Raw","measurand":"Voltage","phase":"L1","location":"Cable","unit":"V"}'
)
PERIODS = (
    V16,
    '[2,"1","SetChargingProfile",{"connectorId":1,"csChargingProfiles":{"chargingProfileId":1,"stackLevel":0,'
    '"chargingProfilePurpose":"TxProfile","chargingProfileKind":"Relative","chargingSchedule":{'
    '"chargingRateUnit":"A","chargingSchedulePeriod":[',
    "]}}}]",
)
PERIOD = '{"startPeriod":0,"limit":1.1}'
IDS = (V201, '[2,"1","ClearVariableMonitoring",{"id":[', "]}]")
#: The same as an answer: 2.0.1 has a response with as many parts.
VARIABLE = '{"attributeStatus":"Accepted","attributeValue":"x","component":{"name":"c"},"variable":{"name":"v"}}'
VARIABLES = (V201, '[3,"1",{"getVariableResult":[', "]}]")


KEYS = (V16, '[2,"1","GetConfiguration",{"key":[', "]}]")
#: Lists in lists in lists.
ENTRY = (
    '{"relativeTimeInterval":{"start":1},"consumptionCost":[{"startValue":1.5,'
    '"cost":[{"costKind":"CarbonDioxideEmission","amount":1}]}]}'
)
ENTRIES = (
    V201,
    '[2,"1","NotifyChargingLimit",{"chargingLimit":{"chargingLimitSource":"EMS"},"chargingSchedule":[{"id":1,'
    '"chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":1.5}],"salesTariff":{"id":1,'
    '"salesTariffEntry":[',
    "]}}]}]",
)
SCHEDULES = (
    V201,
    '[2,"1","NotifyChargingLimit",{"chargingLimit":{"chargingLimitSource":"EMS"},"chargingSchedule":[',
    "]}]",
)
SCHEDULE = (
    '{"id":1,"chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":1.5}],'
    '"salesTariff":{"id":1,"salesTariffEntry":[' + ENTRY + "]}}"
)


@pytest.fixture(params=[True, False], ids=["fast", "plain"])
def accelerators(request):
    use_accelerators(request.param)
    yield request.param
    use_accelerators(True)


def fill(place, item, last=""):
    """Return a frame of `SIZE` characters, full of ``item``."""
    _, head, tail = place
    number = max(1, (SIZE - len(head) - len(tail) - len(last)) // (len(item) + 1))
    return head + ",".join([item] * number + [last] * bool(last)) + tail


class Reader:
    """An endpoint that reads frames, with the answer to a GetVariables pending."""

    def __init__(self, mode, *profiles):
        profiles = profiles or [*v16.PROFILES, *v201.PROFILES]
        self._endpoint = Endpoint(profiles, validate=mode)
        self._pending = PendingRequestState()
        self._pending.add("1", object.__new__(v201.GetVariablesRequest))

    def read(self, dialect, text):
        """Return the error that the frame is refused with, or ``None``."""
        try:
            self._endpoint.parse_message(parse_json_message(text), self._pending, dialect)
        except MessageError as error:
            return error
        return None

    def cost(self, place, text):
        return count_bytecodes(lambda: self.read(place[0], text))


#: What the frame is full of, beside something valid of the same size. The last item may differ from the others.
FULL_OF_FAULTS = {
    "empty objects": (EVENTS, EVENT, "{}", ""),
    "numbers in place of objects": (EVENTS, EVENT, "0", ""),
    "nulls in place of objects": (EVENTS, EVENT, "null", ""),
    "lists in place of objects": (EVENTS, EVENT, "[]", ""),
    "unknown properties": (EVENTS, EVENT, '{"a":0}', ""),
    "wrong types": (EVENTS, EVENT, EVENT.replace('"Delta"', "0").replace('"c"', "{}"), ""),
    "wrong values": (EVENTS, EVENT, EVENT.replace('"Delta"', '"x"').replace('"c"', f'"{"c" * 60}"'), ""),
    "one property each": (EVENTS, EVENT, '{"trigger":0}', ""),
    "empty objects inside": (EVENTS, EVENT, '{"component":{}}', ""),
    "a fault at the end": (EVENTS, EVENT, EVENT, "0"),
    "dates that are none": (EVENTS, EVENT, EVENT.replace("05Z", "0x"), ""),
    "dates that are forgiven, and a fault": (EVENTS, EVENT, EVENT.replace("05Z", "05"), "0"),
    "nulls that are forgiven, and a fault": (EVENTS, EVENT, EVENT[:-1] + ',"cause":null,"techInfo":null}', "0"),
    "1.6: empty objects": (METERS, METER, "{}", ""),
    "1.6: empty objects inside": (METERS, METER, METER.replace('{"value":"1"}', ",".join(["{}"] * 9)), ""),
    "numbers off their step": (PERIODS, PERIOD, PERIOD.replace("1.1", "1.11"), ""),
    "numbers that are forgiven, and a fault": (PERIODS, PERIOD, PERIOD.replace("1.1", "1600.099976"), "0"),
    "numbers with a fraction": (IDS, "7", "7.5", ""),
    "a text among numbers": (IDS, "7", "7", '"x"'),
    "answers: empty objects": (VARIABLES, VARIABLE, "{}", ""),
    "answers: wrong types": (VARIABLES, VARIABLE, VARIABLE.replace('"x"', "7"), ""),
    "answers: a fault at the end": (VARIABLES, VARIABLE, VARIABLE, "0"),
    "a value inside each, and a better fault": (
        EVENTS,
        EVENT,
        EVENT.replace('"c"', f'"{"c" * 60}"'),
        EVENT.replace('"Delta"', "0"),
    ),
    "a value at the end, and a date that is forgiven": (
        EVENTS,
        EVENT,
        EVENT,
        EVENT.replace("05Z", "05") + "," + EVENT.replace('"Delta"', '"x"'),
    ),
    "nulls alone": (EVENTS, EVENT, '{"cause":null}', ""),
    "empty objects and numbers": (EVENTS, EVENT, "{},1", ""),
    "empty objects and a text": (EVENTS, EVENT, "{}", '"x"'),
    "1.6: a fault at the end": (METERS, METER, METER, "0"),
    "1.6: a fault inside at the end": (METERS, METER, METER, METER.replace('"1"', "1")),
    "a number off its step at the end": (PERIODS, PERIOD, PERIOD, PERIOD.replace("1.1", "1.11")),
    "a long text at the end": (KEYS, '"a"', '"a"', f'"{"a" * 51}"'),
    "a fault four lists deep at the end": (
        SCHEDULES,
        SCHEDULE,
        SCHEDULE,
        SCHEDULE.replace('"amount":1', '"amount":""'),
    ),
    "faults four lists deep": (SCHEDULES, SCHEDULE, SCHEDULE.replace('"amount":1', '"amount":""'), ""),
    "a fault deep in a long list": (ENTRIES, ENTRY, ENTRY, ENTRY.replace('"amount":1', '"amount":""')),
    "empty lists that are forgiven, and a fault": (
        ENTRIES,
        ENTRY,
        '{"relativeTimeInterval":{"start":1},"consumptionCost":[]}',
        ENTRY.replace('"amount":1', '"amount":""'),
    ),
}
#: Frames whose faults are all forgiven, or converted, in all items or in the last one.
FULL_OF_FORGIVEN = {
    "1.6: dates that are none": (METERS, METER, METER.replace("05Z", "0x"), ""),
    "dates": (EVENTS, EVENT, EVENT.replace("05Z", "05"), ""),
    "the last date": (EVENTS, EVENT, EVENT, EVENT.replace("05Z", "05")),
    "nulls": (EVENTS, EVENT, EVENT[:-1] + ',"cause":null,"techInfo":null}', ""),
    "numbers": (PERIODS, PERIOD, PERIOD.replace("1.1", "1600.099976"), ""),
    "the last number": (PERIODS, PERIOD, PERIOD, PERIOD.replace("1.1", "1600.099976")),
    "empty lists": (ENTRIES, ENTRY, '{"relativeTimeInterval":{"start":1},"consumptionCost":[]}', ""),
    "1.6: dates": (METERS, METER, METER.replace("05Z", "05"), ""),
    "1.6: nulls and a fault": (SAMPLES, SAMPLE, re.sub(':"[^"]*"', ":null", SAMPLE), ""),
}


def compare(mode, name, place, valid, invalid, last):
    """Return the costs of a frame that is invalid and of a valid one, and the error of the first."""
    good, bad = fill(place, valid), fill(place, invalid, last)
    reader = Reader(mode)
    assert reader.read(place[0], good) is None
    error = reader.read(place[0], bad)
    assert error is None or error.code is not ErrorCode.INTERNAL_ERROR
    cost = reader.cost(place, bad)
    use_accelerators(False)
    usual = Reader("strict").cost(place, good)
    print(f"{mode}, {name}: {usual} for a valid frame, {cost} for this one: {cost / usual:.2f}")
    return cost, usual, error


@pytest.mark.parametrize("name", FULL_OF_FAULTS)
@pytest.mark.parametrize("mode", MODES)
def test_to_refuse_a_frame_costs_at_most_twice_what_a_valid_one_of_its_size_costs(
    monkeypatch, accelerators, mode, name
):
    monkeypatch.setattr(lenient, "MAX_ODD_OBJECTS", lenient.MAX_ODD_OBJECTS * SIZE // (1 << 20))
    cost, usual, error = compare(mode, name, *FULL_OF_FAULTS[name])
    assert (error is None) == (mode in ("warn", "off"))
    assert cost <= 2 * usual


@pytest.mark.parametrize("name", FULL_OF_FORGIVEN)
@pytest.mark.parametrize("mode", ["standard", "warn", "off"])
def test_to_mend_a_frame_costs_at_most_three_times_what_a_valid_one_of_its_size_costs(accelerators, mode, name):
    """In ``standard`` it is checked, mended in a copy, checked again, and decoded."""
    cost, usual, error = compare(mode, name, *FULL_OF_FORGIVEN[name])
    assert (error is not None) == (
        mode == "standard" and name in ("1.6: nulls and a fault", "1.6: dates that are none")
    )
    assert cost <= 3 * usual


# Schemas of the program's own. The second kind is read by ``jsonschema``, since it has a keyword that a `Part` lacks.

ITEM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$", "enum": ["abc", "xyz", 7], "maxLength": 4},
        "step": {"type": ["number", "null"], "multipleOf": 0.5, "exclusiveMaximum": 9},
        "some": {"type": "array", "uniqueItems": True, "items": {"type": "object"}},
        **{name: {"type": "integer"} for name in "abcdefgh"},
    },
    "required": ["name", "step", *"abcdefgh"],
    "additionalProperties": False,
}
GOOD = {"name": "abc", "step": 1.5, "some": [{"x": 1}, {"x": 2}], **dict.fromkeys("abcdefgh", 1)}
OWN = {
    "simple": {"properties": {"list": {"type": "array", "items": ITEM}}},
    "other": {"properties": {"list": {"type": "array", "items": ITEM}}, "not": {"type": "array"}},
}
WRONG = {
    "pattern": {**GOOD, "name": "ABC"},
    "multipleOf": {**GOOD, "step": 1.25},
    "uniqueItems": {**GOOD, "some": [{"x": 1}, {"x": 1}]},
    "type": {**GOOD, "a": "x", "b": 1.5, "c": None, "d": []},
    "unknown": {**GOOD, "y": 1, "z": 2},
    "missing": {},
    "several": {"name": "ABC", "step": "1", "some": {}, "x": 1},
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("kind", OWN)
def test_a_fault_in_a_programs_own_schema_costs_no_more_than_the_check(kind, wrong):
    """Objects with faults take at most twice as long as as many without. The check that fails is a part of it."""
    feature = Feature("Own", v16.ResetRequest, None, OWN[kind])
    good, bad = {"list": [GOOD] * 20}, {"list": [WRONG[wrong]] * 20}

    def refuse():
        assert not get_quick_check(feature, False)(bad)
        with pytest.raises(ValidationError):
            check_payload(feature, False, bad, was_tried=True)

    def accept():
        assert get_quick_check(feature, False)(good)

    assert count_bytecodes(refuse) <= 2 * count_bytecodes(accept) + 2000, "2000: what pytest.raises and the error take"


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize(
    "make", [lambda n: {"x": n}, lambda n: [n, [n]], float, str], ids=["dict", "list", "float", "text"]
)
def test_unique_items_cost_as_much_as_there_are(kind, make):
    schema = {key: value for key, value in OWN[kind].items() if key != "properties"}
    feature = Feature("Own", v16.ResetRequest, None, {**schema, "properties": {"all": {"uniqueItems": True}}})
    check = get_quick_check(feature, False)

    def cost(number):
        items = [make(each) for each in range(number)]
        assert not check({"all": [*items, make(number - 1)]})
        assert check({"all": items})
        return count_bytecodes(lambda: check({"all": items}))

    assert cost(400) < 5 * cost(100)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (None, "None", False),
        ("1", 1, False),
        ({"a": 1, "b": [1]}, {"b": [1.0], "a": 1}, True),
        ({"a": 1}, [["a", 1]], False),
        ([1, [2]], [1, [2]], True),
        ([True], [1], False),
        ([], {}, False),
        (2**61 - 1, 0, False),
        (1.5, 1.5, True),
    ],
)
def test_which_items_are_alike(one, other, alike):
    for kind in OWN:
        schema = {**OWN[kind], "properties": {"all": {"uniqueItems": True}}}
        check = get_quick_check(Feature("Own", v16.ResetRequest, None, schema), False)
        assert check({"all": [one, other]}) != alike
        assert check({"all": ["x", [one], None, [other]]}) != alike


# Texts of errors


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        "'" * 10**6,
        "x" * 10**6 + "'",
        ["x" * 10**6],
        [[]] * 10**5,
        {"a": {str(n): n for n in range(10**5)}},
    ],
    ids=["text", "quotes", "text with a quote", "list", "lists", "object"],
)
def test_a_description_has_the_beginning_of_what_repr_writes(value):
    """It is the same as if all had been written, and costs no more than what is seen of it."""
    feature = Feature("Own", v16.ResetRequest, None, {"properties": {"a": {"enum": ["b"]}}})

    def refuse(value):
        with pytest.raises(ValidationError) as caught:
            check_payload(feature, False, {"a": value})
        return caught.value.description

    assert refuse(value) == f"a must be one of b, not {repr(value)[:57]}..."
    assert count_bytecodes(lambda: refuse(value)) < 2 * count_bytecodes(lambda: refuse("x" * 100)) + 1500


def test_a_name_that_is_not_allowed_is_cut():
    name = "'\n" * 10**6
    with pytest.raises(ValidationError) as caught:
        check_payload(Feature("Own", v16.ResetRequest, None, {"additionalProperties": False}), False, {name: 1})
    assert caught.value.description == f"property {name!r} is not allowed"[:252] + "..."


def test_a_number_of_any_length_can_be_described():
    feature = Feature("Own", v16.ResetRequest, None, {"properties": {"a": {"maximum": 9}}})
    with pytest.raises(ValidationError, match="a must be at most 9, not "):
        check_payload(feature, False, {"a": 10**20_000}, was_tried=True)
