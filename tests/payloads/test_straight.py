"""`ocppj.payloads.straight`: the code that is made for a class reads as the general way. (The rest: test_model.py.)"""

import random
import re
import threading
import traceback
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any, List, Optional

import pytest

from ocppj import EncodingError, ValidationError, v16, v21, v201
from ocppj.payloads.model import Payload, TextEnum, wire
from tests.counting import count_bytecodes
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


def fail():
    raise LookupError("a fault of the program")


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
    name: str = field(default_factory=fail, metadata=wire("name"))

    def to_wire(self, datetime_digits=3):
        raise LookupError("another fault of the program")


@dataclass
class Outer(Payload):
    loud: Loud = field(metadata=wire("loud"))


def test_a_traceback_shows_the_lines_that_were_made():
    with pytest.raises(LookupError, match="a fault of the program") as caught:
        Outer.from_wire({"loud": {}})
    shown = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert re.search(r"<ocppj: from_wire of .*Loud>.*\n +payload.name = c\d+\(\)", shown)
    with pytest.raises(LookupError, match="another fault") as caught:
        Outer(Loud("x")).to_wire()
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


calls = []


@dataclass
class Own(Payload):
    inside: Optional["Own"] = field(default=None, metadata=wire("inside"))
    when: Optional[datetime] = field(default=None, metadata=wire("when"))

    @classmethod
    def from_wire(cls, data):
        calls.append(cls)
        return super().from_wire(data)

    def to_wire(self, datetime_digits=3):
        calls.append(type(self))
        return super().to_wire(datetime_digits)


@dataclass(frozen=True)
class Frozen(Payload):
    inside: Optional["Plain"] = field(default=None, metadata=wire("inside"))

    def __post_init__(self):
        calls.append(type(self))


@dataclass
class Plain(Payload):
    inside: Optional[Frozen] = field(default=None, metadata=wire("inside"))
    any: Any = field(default=None, metadata=wire("any"))
    when: Optional[datetime] = field(default=None, metadata=wire("when"))


def nest(depth, value, wrap):
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize("last", [{}, {"when": "x"}])
@pytest.mark.parametrize("kind", [Own, Plain])
def test_code_of_the_program_runs_once_for_each_object_valid_or_not(kind, last):
    data = nest(10, last, lambda inside: {"inside": inside})
    for _ in range(2):  # the first use differs
        calls.clear()
        assert isinstance(read(kind, data), tuple if last else kind)
        assert len(calls) == (11 if kind is Own else 0 if last else 5)


@pytest.mark.parametrize("wrap", [lambda inside: Own(inside), lambda inside: Plain(any=inside)], ids=["own", "any"])
def test_a_fault_deep_inside_does_not_double_the_work_at_each_level(wrap):
    message = nest(12, Own(when=datetime.now(timezone.utc).replace(tzinfo=None)), wrap)
    calls.clear()
    with pytest.raises(EncodingError, match="a datetime needs a zone"):
        message.to_wire()
    assert len(calls) <= 13 * 14 / 2 + 13


def test_a_fault_deep_inside_costs_as_much_as_the_object_is_large():
    def cost(depth):
        data = nest(depth, {"name": "x", "inside": 7}, lambda inside: {"name": "x", "inside": inside})
        return count_bytecodes(lambda: read(Node, data))

    assert cost(80) < 5 * cost(20)


@dataclass
class Tree(Payload):
    numbers: List[int] = field(default_factory=list, metadata=wire("numbers"))
    inside: List["Tree"] = field(default_factory=list, metadata=wire("inside"))


def test_each_object_gets_a_default_of_its_own():
    tree = Tree.from_wire({"inside": [{"numbers": [1.0]}, {}, {}]})
    assert tree == Tree([], [Tree([1]), Tree(), Tree()])
    assert tree.inside[1].numbers is not tree.inside[2].numbers
    with pytest.raises(ValidationError) as caught:
        Tree.from_wire({"inside": [{}, {"inside": 7}]})
    assert caught.value.path == "inside[1].inside"


class Property(TextEnum):
    ID_TAG = "idTag"
    ODD = "a'b\"c\\d\n{0}\ud800"


@dataclass
class Named(Payload):
    """The fields have the names that the code itself uses."""

    data: str = field(metadata=wire(Property.ID_TAG))
    payload: Optional[int] = field(default=None, metadata=wire(Property.ODD))
    value: Optional[List["Named"]] = field(default=None, metadata=wire("payload"))
    read: Optional["Named"] = field(default=None, metadata=wire("new"))
    größe: Optional[float] = field(default=None, metadata=wire("größe"))


def test_properties_may_have_any_name_also_that_of_a_member():
    data = {"idTag": "x", Property.ODD.value: 1, "payload": [{"idTag": "y"}], "new": {"idTag": "z"}, "größe": 2}
    named = Named.from_wire(data)
    assert named == Named("x", 1, [Named("y")], Named("z"), 2)
    assert named.to_wire() == data
    assert {type(name) for name in named.to_wire()} == {str}


def test_an_attribute_may_have_any_name():
    def set_all(self, **values):
        vars(self).update(values)

    own = {"__annotations__": {"class": int}, "class": field(default=3, metadata=wire("class")), "__init__": set_all}
    kind = dataclass(init=False, repr=False, eq=False)(type("Keyword", (Payload,), own))
    assert kind.from_wire({"class": 7}).to_wire() == {"class": 7}
