"""`ocppj.payloads.straight`: the code that is made for a class reads as the general way. (The rest: test_model.py.)"""

import random
import re
import threading
import traceback
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import List, Optional

import pytest

from ocppj import ValidationError, v16, v21, v201
from ocppj.payloads.model import Payload, wire
from tests.fuzz.mutations import mutated, samples
from tests.versions.strategies import ROOT, load

VERSIONS = {"v16": v16, "v201": v201, "v21": v21}


def as_mapping(value):
    """Return ``value`` with objects that are no dict: these are read the general way."""
    if isinstance(value, dict):
        return MappingProxyType({name: as_mapping(each) for name, each in value.items()})
    return [as_mapping(each) for each in value] if isinstance(value, list) else value


def read(kind, data):
    """Return the payload, or the fault and its path."""
    try:
        return kind.from_wire(data)
    except ValidationError as error:
        return error.code, error.path, error.description.replace("mappingproxy", "dict")


def test_each_class_reads_valid_and_invalid_objects_as_the_general_way_does():
    chance, seen, refused = random.Random(1), 0, 0
    for path in sorted(ROOT.glob("ocppj/v*/schemas/*.json"))[::9]:
        kind = getattr(VERSIONS[path.parent.parent.name], path.stem)
        whole = samples(load(path), 2, 1)
        for data in [{}, *whole, *(mutated(chance, chance.choice(whole)) for _ in range(20))]:
            expected = read(kind, as_mapping(data))
            assert read(kind, data) == expected, data
            seen += 1
            refused += isinstance(expected, tuple)
    assert seen > 900
    assert 0.2 * seen < refused < 0.8 * seen


@dataclass
class Node(Payload):
    name: str = field(metadata=wire("name"))
    inside: Optional["Node"] = field(default=None, metadata=wire("inside"))
    others: Optional[List["Node"]] = field(default=None, metadata=wire("others"))


def test_a_class_may_have_fields_of_itself():
    data = {"name": "a", "inside": {"name": "b", "others": [{"name": "c"}, {"name": "d"}]}}
    node = Node.from_wire(data)
    assert node == Node("a", Node("b", others=[Node("c"), Node("d")]))
    assert node.to_wire() == data
    with pytest.raises(ValidationError) as caught:
        Node.from_wire({"name": "a", "inside": {"name": "b", "others": [{"name": "c"}, {"name": "d", "inside": 7}]}})
    assert caught.value.path == "inside.others[1].inside"


@dataclass
class Numbers(Payload):
    one: Optional[int] = field(default=None, metadata=wire("one"))
    two: int = field(default=2, metadata=wire("two"))


@dataclass
class Holder(Payload):
    numbers: Numbers = field(metadata=wire("numbers"))


def test_defaults_and_whole_numbers_are_those_of_the_general_way():
    for data in ({}, {"one": 7.0, "two": 8.0}, {"one": None, "two": None}, {"one": 1.5, "two": True}):
        message = Numbers.from_wire(data)
        assert message == Numbers.from_wire(as_mapping(data))
        assert [type(value) for value in vars(message).values()].count(float) == (data.get("one") == 1.5)


@pytest.mark.parametrize("value", [[], "text", ["one"], "one", 1, True])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(ValidationError) as caught:
        Holder.from_wire({"numbers": value})
    assert caught.value.path == "numbers"


@dataclass
class Loud(Payload):
    @classmethod
    def from_wire(cls, data):
        raise LookupError("a fault of the program")

    def to_wire(self, datetime_digits=3):
        raise LookupError("another fault of the program")


@dataclass
class Outer(Payload):
    loud: Loud = field(metadata=wire("loud"))


def test_a_traceback_shows_the_lines_that_were_made():
    with pytest.raises(LookupError, match="a fault of the program") as caught:
        Outer.from_wire({"loud": {}})
    shown = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert re.search(r"<ocppj: from_wire of .*Outer>.*\n +value = c\d+\.read\(value\)", shown)
    with pytest.raises(LookupError, match="another fault") as caught:
        Outer(Loud()).to_wire()
    shown = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert re.search(r"<ocppj: to_wire of .*Outer>.*\n +value = c\d+\.write\(value, encoders\)", shown)


def test_a_class_may_be_used_first_by_several_threads():
    @dataclass
    class Fresh(Payload):
        numbers: List[int] = field(metadata=wire("numbers"))
        node: Optional[Node] = field(default=None, metadata=wire("node"))

    data, ready, results = {"numbers": [1, 2], "node": {"name": "x"}}, threading.Barrier(8), []

    def use():
        ready.wait(10)
        results.append(Fresh.from_wire(data).to_wire())

    threads = [threading.Thread(target=use) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    assert results == [data] * 8
