"""The configuration keys and variables of a simulated station."""

import pytest

from ocppj.testing.simulation.settings import Change, Setting, Settings


def check_even(value):
    if value % 2:
        raise ValueError("odd")


def make():
    settings = [
        Setting("Flag", True),
        Setting("Number", 10, minimum=0, maximum=100, check=check_even),
        Setting("Ratio", 0.5),
        Setting("Text", "abc", maximum=5),
        Setting("Choice", "A", choices=["A", "B"]),
        Setting("List", ["A"], choices=["A", "B", "C"], maximum=2),
        Setting("Fixed", 1, read_only=True),
        Setting("Later", 1, reboot_required=True),
    ]
    return Settings(settings, {"number": "Number", "absent": "Absent"})


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("Flag", "FALSE", False),
        ("Number", "12", 12),
        ("Ratio", "1.5", 1.5),
        ("Text", "xyz", "xyz"),
        ("Choice", "B", "B"),
        ("List", "C, B", ["C", "B"]),
        ("List", "", []),
    ],
)
def test_a_change(key, text, value):
    settings = make()
    assert settings.change(key, text) is Change.ACCEPTED
    assert settings[key] == value
    assert type(settings[key]) is type(value)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("Flag", "yes"),
        ("Number", "twelve"),
        ("Number", "1.5"),
        ("Number", "1_0"),
        ("Number", "-2"),
        ("Number", "102"),
        ("Number", "3"),
        ("Ratio", "x"),
        ("Ratio", "nan"),
        ("Text", "abcdef"),
        ("Choice", "C"),
        ("List", "A,D"),
        ("List", "A,B,C"),
        ("Fixed", "2"),
    ],
)
def test_a_change_that_is_rejected(key, text):
    settings = make()
    before = settings[key]
    assert settings.change(key, text) is Change.REJECTED
    assert settings[key] == before


def test_an_unknown_key():
    settings = make()
    assert settings.change("Nonsense", "1") is Change.UNKNOWN
    assert "Nonsense" not in settings
    assert settings.find("Nonsense") is None
    with pytest.raises(KeyError):
        settings["Nonsense"]


def test_a_change_that_needs_a_reboot():
    settings = make()
    assert settings.change("Later", "2") is Change.REBOOT_REQUIRED
    assert settings["Later"] == 1
    settings.reboot()
    assert settings["Later"] == 2


def test_texts():
    texts = {setting.key: setting.text for setting in make()}
    assert (texts["Flag"], texts["Number"], texts["List"], texts["Ratio"]) == ("true", "10", "A", "0.5")


def test_the_names_of_the_model():
    settings = make()
    assert (settings.get("number"), settings.get("absent", 7), settings.get("nameless", 8)) == (10, 7, 8)
    settings.put_named("number", 20)
    settings.put_named("nameless", 20)
    assert settings["Number"] == 20


def test_watchers():
    settings, seen = make(), []
    settings.watch("number", lambda: seen.append(settings["Number"]))
    settings.watch("nameless", lambda: seen.append("never"))
    settings.watch_all(lambda setting: seen.append(setting.key))
    settings.change("Number", "10")  # no change
    settings.change("Number", "11")  # refused
    settings.change("Number", "12")
    settings.put("Text", "new")
    assert seen == [12, "Number", "Text"]


def test_a_setting_is_added():
    settings = make()
    settings.add(Setting("New", 1))
    assert settings["New"] == 1
    assert [setting.key for setting in settings][-1] == "New"
