"""`ocppj.payloads.model`, with the classes below."""

from __future__ import annotations

import sys
from dataclasses import FrozenInstanceError, InitVar, dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Dict, List, Optional, Union

import pytest

from ocppj import v16
from ocppj.errors import EncodingError, ErrorCode, UsageError, ValidationError
from ocppj.payloads.model import Payload, TextEnum, wire


class Color(TextEnum):
    RED = "Red"
    DEEP_BLUE = "DeepBlue"


class Level(Enum):
    LOW = 1
    HIGH = 2


@dataclass
class Item(Payload):
    at: datetime = field(metadata=wire("@at"))
    color: Optional[Union[Color, str]] = field(default=None, metadata=wire("Color"))


@dataclass
class Order(Payload):
    id_tag: str = field(metadata=wire("idTag"))
    items: List[Item] = field(metadata=wire("itemList"))
    first: Optional[Item] = field(default=None, metadata=wire("first"))
    colors: Optional[List[Union[Color, str]]] = field(default=None, metadata=wire("colors"))
    moments: Optional[List[datetime]] = field(default=None, metadata=wire("moments"))
    notes: Optional[List[str]] = field(default=None, metadata=wire("notes"))
    level: Optional[Level] = field(default=None, metadata=wire("level"))
    ratio: Optional[float] = field(default=None, metadata=wire("ratio"))
    anything: Any = field(default=None, metadata=wire("anything"))
    extras: Dict[str, Any] = field(default_factory=dict, metadata=wire("extras"))


@dataclass
class Node(Payload):
    children: Optional[List[Node]] = field(default=None, metadata=wire("children"))


@dataclass
class BiggerOrder(Order):
    weight: Optional[int] = field(default=None, metadata=wire("WGT"))


AT = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
AT_TEXT = "2024-05-01T12:00:00.000Z"


# --- classes


def test_round_trip() -> None:
    data = {
        "idTag": "T",
        "itemList": [{"@at": AT_TEXT, "Color": "Red"}, {"@at": AT_TEXT}],
        "first": {"@at": AT_TEXT, "Color": "Mauve"},
        "colors": ["DeepBlue", "Mauve"],
        "moments": [AT_TEXT],
        "notes": ["a", "b"],
        "level": 2,
        "ratio": 21.4,
        "anything": {"x": [1, None, True, {"y": "z"}]},
        "extras": {"k": [1]},
    }
    order = Order.from_wire(data)
    assert order == Order(
        id_tag="T",
        items=[Item(AT, Color.RED), Item(AT)],
        first=Item(AT, "Mauve"),
        colors=[Color.DEEP_BLUE, "Mauve"],
        moments=[AT],
        notes=["a", "b"],
        level=Level.HIGH,
        ratio=21.4,
        anything={"x": [1, None, True, {"y": "z"}]},
        extras={"k": [1]},
    )
    assert type(order.items[0].color) is Color
    assert order.to_wire() == data


def test_none_is_left_out_and_defaults_are_set() -> None:
    order = Order.from_wire({"idTag": "T", "itemList": [], "first": None})
    assert order == Order("T", [])
    assert order.to_wire() == {"idTag": "T", "itemList": [], "extras": {}}


def test_unknown_properties_are_dropped() -> None:
    assert Item.from_wire({"@at": AT_TEXT, "at": 1, "more": {}}).to_wire() == {"@at": AT_TEXT}


def test_the_json_object_is_neither_changed_nor_kept() -> None:
    data = {"idTag": "T", "itemList": [], "notes": ["a"]}
    order = Order.from_wire(data)
    assert order.notes is not None
    order.notes.append("b")
    assert data == {"idTag": "T", "itemList": [], "notes": ["a"]}


def test_a_class_may_hold_itself() -> None:
    data: Dict[str, Any] = {"children": [{"children": [{}]}, {}]}
    assert Node.from_wire(data).to_wire() == data


def test_a_class_may_extend_another() -> None:
    order = BiggerOrder.from_wire({"idTag": "T", "itemList": [], "WGT": 3})
    assert order.weight == 3
    assert order.to_wire()["WGT"] == 3
    # The base class must keep its own list of fields.
    assert "WGT" not in Order.from_wire({"idTag": "T", "itemList": [], "WGT": 3}).to_wire()


def test_tuples_and_nested_values_are_encoded() -> None:
    order = Order("T", [], anything=(Color.RED, {"at": AT, "item": Item(AT)}))
    assert order.to_wire()["anything"] == ["Red", {"at": AT_TEXT, "item": {"@at": AT_TEXT}}]


def test_text_enum_prints_as_its_text() -> None:
    assert f"{Color.RED} {Color.DEEP_BLUE!s}" == "Red DeepBlue"
    assert Color.RED == "Red"


# --- invalid payload classes


def test_a_field_without_a_wire_name_is_refused() -> None:
    @dataclass
    class Nameless(Payload):
        here: int = field(metadata=wire("here"))
        there: int = 0

    with pytest.raises(UsageError, match=r"Nameless\.there has no wire name"):
        Nameless.from_wire({})
    with pytest.raises(UsageError, match=r"Nameless\.there has no wire name"):
        Nameless(1).to_wire()


def test_a_class_that_is_no_dataclass_is_refused() -> None:
    class Plain(Payload):
        pass

    with pytest.raises(UsageError, match="Plain is no dataclass"):
        Plain().to_wire()


def test_an_annotation_with_an_unknown_name_is_refused() -> None:
    @dataclass
    class Lost(Payload):
        what: NoSuchClass = field(metadata=wire("what"))  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(UsageError, match=r"Lost: an annotation cannot be evaluated.*NoSuchClass"):
        Lost.from_wire({"what": 1})


def test_an_ambiguous_union_is_refused() -> None:
    @dataclass
    class Either(Payload):
        what: Union[Item, Node] = field(metadata=wire("what"))

    with pytest.raises(UsageError, match="JSON does not show which"):
        Either.from_wire({"what": {}})


@pytest.mark.skipif(sys.version_info < (3, 10), reason="X | Y needs Python 3.10")
def test_new_style_unions() -> None:
    @dataclass
    class Modern(Payload):
        color: Color | str | None = field(default=None, metadata=wire("color"))
        moments: list[datetime] | None = field(default=None, metadata=wire("moments"))

    assert Modern.from_wire({"color": "Red", "moments": [AT_TEXT]}) == Modern(Color.RED, [AT])


# --- errors of decoding


@pytest.mark.parametrize(
    ("data", "path", "code"),
    [
        ({"itemList": []}, "", ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION),
        ({"idTag": "T", "itemList": [{"@at": AT_TEXT}, {}]}, "itemList[1]", ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION),
        ({"idTag": "T", "itemList": [{"@at": "today"}]}, "itemList[0].@at", ErrorCode.TYPE_CONSTRAINT_VIOLATION),
        ({"idTag": "T", "itemList": [{"@at": 5}]}, "itemList[0].@at", ErrorCode.TYPE_CONSTRAINT_VIOLATION),
        ({"idTag": "T", "itemList": "@at"}, "itemList", ErrorCode.TYPE_CONSTRAINT_VIOLATION),
        ({"idTag": "T", "itemList": {"@at": AT_TEXT}}, "itemList", ErrorCode.TYPE_CONSTRAINT_VIOLATION),
        ({"idTag": "T", "itemList": ["@at"]}, "itemList[0]", ErrorCode.TYPE_CONSTRAINT_VIOLATION),
        ({"idTag": "T", "itemList": [], "first": []}, "first", ErrorCode.TYPE_CONSTRAINT_VIOLATION),
        ({"idTag": "T", "itemList": [], "moments": [AT_TEXT, "x"]}, "moments[1]", ErrorCode.TYPE_CONSTRAINT_VIOLATION),
        ({"idTag": "T", "itemList": [], "notes": "abc"}, "notes", ErrorCode.TYPE_CONSTRAINT_VIOLATION),
        ({"idTag": "T", "itemList": [], "colors": [[]]}, "colors[0]", ErrorCode.TYPE_CONSTRAINT_VIOLATION),
        ({"idTag": "T", "itemList": [], "level": {}}, "level", ErrorCode.TYPE_CONSTRAINT_VIOLATION),
        ([], "", ErrorCode.TYPE_CONSTRAINT_VIOLATION),
        ("idTag", "", ErrorCode.TYPE_CONSTRAINT_VIOLATION),
    ],
)
def test_an_error_of_decoding_has_the_path(data: Any, path: str, code: ErrorCode) -> None:
    with pytest.raises(ValidationError) as caught:
        Order.from_wire(data)
    assert (caught.value.path, caught.value.code) == (path, code)


def test_a_missing_property_is_named_as_on_the_wire() -> None:
    with pytest.raises(ValidationError, match="required property 'itemList' is missing"):
        Order.from_wire({"idTag": "T"})


def test_the_text_of_the_peer_is_not_quoted() -> None:
    with pytest.raises(ValidationError) as caught:
        Item.from_wire({"@at": "2024-13-01T00:00:00Z"})
    assert "2024" not in str(caught.value)


def test_an_error_of_the_class_itself_is_not_hidden() -> None:
    @dataclass
    class Picky(Payload):
        what: int = field(metadata=wire("what"))

        def __post_init__(self) -> None:
            raise TypeError("my own")

    with pytest.raises(TypeError, match="my own"):
        Picky.from_wire({"what": 1})


# --- how an object is constructed


class Calm(type):
    """A metaclass that changes nothing."""


class Marking(type):
    """A metaclass that changes each object."""

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        made = super().__call__(*arguments, **named)
        made.made_by = "the metaclass"
        return made


@dataclass
class Simple(Payload):
    a: int = field(metadata=wire("a"))
    b: Optional[Item] = field(default=None, metadata=wire("b"))
    c: Optional[int] = field(default=7, metadata=wire("c"))


@dataclass
class Calmly(Simple, metaclass=Calm):
    pass


@dataclass
class Posted(Simple):
    def __post_init__(self) -> None:
        self.made_by = "__post_init__"


@dataclass
class OwnInit(Simple):
    def __init__(self, a: int, b: Optional[Item] = None, c: Optional[int] = None) -> None:
        self.a, self.b, self.c = a, b, c
        self.made_by = "__init__"


@dataclass
class Marked(Simple, metaclass=Marking):
    pass


@dataclass
class Newly(Simple):
    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        made = super().__new__(cls)
        made.made_by = "__new__"
        return made


@dataclass
class Setting(Simple):
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        super().__setattr__("made_by", f"__setattr__ of {name}")


class Watched:
    """A descriptor that records stored values."""

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return 9 if owner is None else owner.__dict__.get("kept", 9)

    def __set__(self, owner: Any, value: Any) -> None:
        owner.__dict__["kept"] = value
        owner.__dict__["made_by"] = "a descriptor"


@dataclass
class Described(Payload):
    a: int = field(metadata=wire("a"))


Described.a = Watched()  # type: ignore[assignment]


@dataclass
class HalfGiven(Payload):
    a: int = field(metadata=wire("a"))
    made_by: str = field(default="the class", init=False, metadata=wire("madeBy"))


@dataclass
class Handed(Payload):
    a: int = field(metadata=wire("a"))
    made_by: InitVar[str] = "InitVar"

    def __post_init__(self, made_by: str) -> None:
        self.kept = made_by


@dataclass(frozen=True)
class Frozen(Payload):
    a: int = field(metadata=wire("a"))
    b: List[int] = field(default_factory=lambda: [1], metadata=wire("b"))


@dataclass(init=False)
class OtherDefault(Simple):
    c: Optional[int] = field(default=8, metadata=wire("c"))  # but the __init__ of the base


def test_an_inherited_init_has_its_own_defaults() -> None:
    assert OtherDefault.from_wire({"a": 1}) == OtherDefault(1)
    assert OtherDefault.from_wire({"a": 1}).c == 7


@pytest.mark.parametrize("indent", ["", "if True:\n ", "def make():\n "])
def test_another_init_without_a_file_is_called(indent: str) -> None:
    space = " " * (indent.count(" ") and 1)
    text = f"{indent}class Own(Simple):\n{space} def __init__(self, a, c):\n{space}  super().__init__(a + 1, None, c)"
    names: Any = {"__name__": __name__, "Simple": Simple}
    exec(text + ("\n return Own" if "make" in indent else ""), names)
    own = names["make"]() if "make" in indent else names["Own"]
    assert own.from_wire({"a": 1, "c": 3}).a == 2


#: Python 3.9 and 3.10 cannot evaluate the annotation InitVar[str] when it is a string.
HANDED = pytest.param(Handed, marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="no InitVar in a string"))


@pytest.mark.parametrize("cls", [Simple, Calmly, Posted, OwnInit, Marked, Newly, Setting, Described, HalfGiven, HANDED])
def test_a_decoded_object_equals_a_constructed_one(cls: Any) -> None:
    read, called = cls.from_wire({"a": 1}), cls(a=1)
    assert type(read) is cls
    assert vars(read) == vars(called) != {}
    assert read == called
    assert read.to_wire() == called.to_wire()
    with pytest.raises(ValidationError, match="required property 'a' is missing"):
        cls.from_wire({})
    assert hasattr(read, "made_by") or hasattr(read, "kept") or cls in (Simple, Calmly), "its code was run"


def test_a_frozen_object_is_decoded_and_stays_frozen() -> None:
    read = Frozen.from_wire({"a": 1})
    assert read == Frozen(1) and read.b == [1]
    assert Frozen.from_wire({"a": 1, "b": [2]}) == Frozen(1, [2])
    assert read.b is not Frozen.from_wire({"a": 1}).b, "each object has its own list"
    with pytest.raises(FrozenInstanceError):
        read.a = 2  # type: ignore[misc]


def test_the_attributes_have_the_order_of_the_fields() -> None:
    assert list(vars(Simple.from_wire({"c": 1, "a": 2}))) == ["a", "b", "c"]


def test_the_plan_of_a_class_is_not_that_of_its_subclass() -> None:
    @dataclass
    class Parent(Payload):
        a: int = field(metadata=wire("a"))

    @dataclass
    class Child(Parent):
        b: int = field(metadata=wire("b"))

    @dataclass
    class Sibling(Parent):
        c: int = field(metadata=wire("c"))

    assert Parent(1).to_wire() == {"a": 1}
    assert Child(1, 2).to_wire() == {"a": 1, "b": 2}, "encoded first"
    assert Sibling.from_wire({"a": 1, "c": 2}).to_wire() == {"a": 1, "c": 2}, "decoded first"
    assert Parent.from_wire({"a": 1, "b": 2}).to_wire() == {"a": 1}


def test_an_enum_may_override_value() -> None:
    class Loud(Enum):
        RED = "red"

        @property
        def value(self) -> str:  # type: ignore[override]
            return self._value_.upper()

    order = Order("T", [], anything=[Loud.RED, Color.RED, Level.LOW])
    assert order.to_wire()["anything"] == ["RED", "Red", 1]


def test_a_value_without_an_encoder_stays_as_it_is() -> None:
    thing = object()
    assert Order("T", [], anything=thing).to_wire()["anything"] is thing


def test_an_encoding_error_of_a_custom_class_gets_its_path() -> None:
    @dataclass
    class Mute(Payload):
        def to_wire(self) -> Dict[str, Any]:
            raise EncodingError("no words")

    with pytest.raises(EncodingError, match=r"^anything\[1\]: no words$"):
        Order("T", [], anything=[1, Mute()]).to_wire()


# --- errors of encoding


class NoZone(tzinfo):
    """A zone without an offset. A datetime with it has no zone in effect."""

    def utcoffset(self, moment: Optional[datetime]) -> Optional[timedelta]:
        return None


NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (Item(NAIVE), "@at"),
        (Item(datetime(2024, 1, 1, tzinfo=NoZone())), "@at"),
        (Order("T", [], first=Item(NAIVE)), "first.@at"),
        (Order("T", [Item(AT), Item(NAIVE)]), "itemList[1].@at"),
        (Order("T", [], moments=[AT, AT, NAIVE]), "moments[2]"),
        (Order("T", [], anything={"when": [NAIVE]}), "anything.when[0]"),
    ],
)
def test_a_datetime_without_a_zone_is_refused(payload: Payload, place: str) -> None:
    with pytest.raises(EncodingError) as caught:
        payload.to_wire()
    assert str(caught.value).startswith(f"{place}: a datetime needs a zone")


# --- properties without a field


@dataclass
class Custom(Payload):
    vendor_id: str = field(metadata=wire("vendorId"))
    size: Optional[int] = field(default=None, metadata=wire("size"))
    extra: Dict[str, Any] = field(default_factory=dict, metadata=wire("*"))


@dataclass
class Box(Payload):
    custom: Optional[List[Custom]] = field(default=None, metadata=wire("customData"))


@dataclass
class BiggerCustom(Custom):
    color: Optional[Union[Color, str]] = field(default=None, metadata=wire("SoC"))


EXTRAS: Dict[str, Any] = {"SoC": None, "size ": 1, "*": [], "extra": {"vendorId": [1.5, None]}}


def test_properties_without_a_field_are_kept_if_there_is_a_field_for_them():
    custom = Custom.from_wire({"vendorId": "V", "size": 3, **EXTRAS})
    assert custom == Custom(vendor_id="V", size=3, extra=EXTRAS)
    assert custom.to_wire() == {"vendorId": "V", "size": 3, **EXTRAS}
    assert Custom.from_wire({"vendorId": "V"}) == Custom("V")
    assert Custom("V").to_wire() == {"vendorId": "V"}


def test_extras_are_kept_at_any_depth():
    data = {"customData": [{"vendorId": "V", **EXTRAS}, {"vendorId": "W"}]}
    assert Box.from_wire({**data, "unknown": 1}).to_wire() == data


def test_a_subclass_may_have_more_fields():
    data = {"vendorId": "V", "SoC": "Red", "x": 1}
    custom = BiggerCustom.from_wire(data)
    assert (custom.color, custom.extra) == (Color.RED, {"x": 1})
    assert custom.to_wire() == data
    assert Custom.from_wire(data).extra == {"SoC": "Red", "x": 1}


def test_extras_are_encoded_like_fields():
    extra = {"at": AT, "box": Box([Custom("W", extra={"level": Level.LOW})]), "none": None}
    assert Custom("V", extra=extra).to_wire() == {
        "vendorId": "V",
        "at": AT_TEXT,
        "box": {"customData": [{"vendorId": "W", "level": 1}]},
        "none": None,
    }
    assert Custom("V", extra=None).to_wire() == {"vendorId": "V"}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"size": 4}, r"customData\[1\]\.size: there is a field of this name"),
        ({7: 4}, r"customData\[1\]\.7: the name of a property must be text"),
        ({"x": {"at": datetime(2024, 1, 1)}}, r"customData\[1\]\.x\.at: .*zone"),  # noqa: DTZ001
    ],
)
def test_extras_that_cannot_be_encoded(extra, complaint):
    with pytest.raises(EncodingError, match=complaint):
        Box([Custom("V"), Custom("V", extra=extra)]).to_wire()


def test_a_missing_property_is_named_in_a_class_with_extras():
    with pytest.raises(ValidationError, match="'vendorId' is missing"):
        Custom.from_wire({"x": 1})


def test_two_fields_for_extras_are_refused():
    @dataclass
    class Two(Payload):
        a: Dict[str, Any] = field(default_factory=dict, metadata=wire("*"))
        b: Dict[str, Any] = field(default_factory=dict, metadata=wire("*"))

    with pytest.raises(UsageError, match=r"more than one field has the wire name \*: a, b"):
        Two.from_wire({})


# --- equality and representation of classes that inherit them


@dataclass(repr=False, eq=False)
class Lean(Payload):
    name: str = field(metadata=wire("name"))
    inner: Any = field(default=None, metadata=wire("inner"))


@dataclass
class Made(Payload):
    name: str = field(metadata=wire("name"))
    inner: Any = field(default=None, metadata=wire("inner"))


def test_equality_is_the_same_as_in_dataclasses():
    for kind in (Lean, Made):
        assert kind("a", [1]) == kind("a", [1])
        assert kind("a") != kind("b")
        assert kind("a") != kind("a", 1)
        with pytest.raises(TypeError):
            hash(kind("a"))
    assert Lean("a") != Made("a")
    assert Lean("a") != "a"


def test_the_representation_is_the_same_as_in_dataclasses():
    assert repr(Lean("a", Lean("b"))) == repr(Made("a", Made("b"))).replace("Made", "Lean")
    endless = Lean("a")
    endless.inner = endless
    assert repr(endless) == "Lean(name='a', inner=...)"


def test_a_payload_that_is_no_dataclass_equals_itself():
    class Bare(Payload):
        pass

    bare = Bare()
    assert bare == bare
    assert bare != Bare()
    assert "Bare()" in repr(bare)


class Proxy:
    """A proxy of another object, such as ``LocalProxy`` of web frameworks."""

    def __init__(self, target: Any) -> None:
        self.target = target

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self.target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


def test_a_proxy_is_encoded_like_its_object() -> None:
    odd = Proxy(range(3))
    assert Item(at=datetime.now(timezone.utc), color=odd).to_wire()["Color"] is odd  # type: ignore[arg-type]
    at = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
    assert Item(at=at, color=Color.RED).to_wire() == Item(at=Proxy(at), color=Proxy(Color.RED)).to_wire()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Decimal("21.40"), "21.4"),
        (Decimal("5"), "5"),
        (Decimal("5.0"), "5.0"),
        (Decimal("-1E+2"), "-100"),
        (Decimal(1) / 3, "0.3333333333333333"),
        (Fraction(1, 4), "0.25"),
        (type("Volts", (float,), {})(1.5), "1.5"),
        (Decimal("1E+20"), "1e+20"),
    ],
)
def test_other_numbers_are_written_as_their_text(number: Any, text: str) -> None:
    assert repr(_encoded(number)) == text


def _encoded(number: Any) -> Any:
    request = v16.HeartbeatRequest()
    request.extra = {"n": [number]}
    return request.to_wire()["n"][0]


@pytest.mark.parametrize("number", [Decimal("sNaN"), complex(1, 2)])
def test_what_is_no_number_names_its_property(number: Any) -> None:
    if isinstance(number, complex):
        assert _encoded(number) == number  # the JSON encoder refuses it
        return
    with pytest.raises(EncodingError, match=r"n\[0\]: Decimal\('sNaN'\) is no JSON number"):
        _encoded(number)


@pytest.mark.parametrize(("digits", "text"), [(0, "00Z"), (3, "00.000Z"), (6, "00.000000Z")])
def test_the_digits_reach_all_date_times_inside(digits: int, text: str) -> None:
    meter = v16.MeterValue(timestamp=AT, sampled_value=[v16.SampledValue(value="1")])
    request = v16.StopTransactionRequest(meter_stop=1, timestamp=AT, transaction_id=1, transaction_data=[meter])
    request.extra = {"more": [AT, {"at": AT}]}
    wire = request.to_wire(digits)
    times = [wire["timestamp"], wire["transactionData"][0]["timestamp"], wire["more"][0], wire["more"][1]["at"]]
    assert times == ["2024-05-01T12:00:" + text] * 4


def test_a_class_with_a_to_wire_of_its_own_may_be_inside() -> None:
    class Own(v16.SampledValue):
        def to_wire(self) -> Dict[str, Any]:  # type: ignore[override]
            return {"value": "own"}

    meter = v16.MeterValue(timestamp=AT, sampled_value=[Own(value="1")])
    assert meter.to_wire(0) == {"timestamp": "2024-05-01T12:00:00Z", "sampledValue": [{"value": "own"}]}


@pytest.mark.parametrize("digits", [1, 9, "3"])
def test_other_digits_are_refused(digits: Any) -> None:
    with pytest.raises(UsageError, match="0, 3 or 6"):
        v16.HeartbeatRequest().to_wire(digits)
