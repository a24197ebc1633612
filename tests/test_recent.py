"""`Recent`: a table that is bounded."""

from ocppj.recent import Recent


def test_the_oldest_entry_is_forgotten():
    table = Recent(2)
    for key in ("a", "b", "c"):
        table.remember(key, key.upper())
    assert dict(table) == {"b": "B", "c": "C"}


def test_an_entry_that_is_remembered_again_is_the_newest():
    table = Recent(2)
    for key in ("a", "b", "a", "c"):
        table.remember(key, None)
    assert list(table) == ["a", "c"]


def test_a_look_changes_nothing():
    table = Recent(2)
    table.remember("a", 1)
    table.remember("b", 2)
    assert table.get("a") == 1
    table.remember("c", 3)
    assert "a" not in table
