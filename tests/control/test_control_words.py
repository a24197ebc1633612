"""The words of a command line."""

import pytest

from ocppj import UsageError
from ocppj.control import split_words
from ocppj.control.words import quote_word


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  CP_1\tReset  type=Soft ", ["CP_1", "Reset", "type=Soft"]),
        ('"RDAM 123" DataTransfer vendorId="Acme Ltd"', ["RDAM 123", "DataTransfer", "vendorId=Acme Ltd"]),
        ("CP_1 DataTransfer data='say \"hi\"'", ["CP_1", "DataTransfer", 'data=say "hi"']),
        ('CP_1 Reset {"type": "Soft"}', ["CP_1", "Reset", '{"type": "Soft"}']),
        ('CP_1 X a={"b": [1, 2]} c=[3, 4] d=1', ["CP_1", "X", 'a={"b": [1, 2]}', "c=[3, 4]", "d=1"]),
        ('send CP_1 [2, "1", "Reset", {}]', ["send", "CP_1", '[2, "1", "Reset", {}]']),
        ("CP_1 X a[0].b=1 c=x=[1", ["CP_1", "X", "a[0].b=1", "c=x=[1"]),
        ("it's'", ["its"]),
    ],
)
def test_words(line, words):
    assert split_words(line) == words


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('CP_1 X a="b', 'the quote " before'),
        ("CP_1 {type=Soft}", "this is no JSON: {type=Soft}"),
        ("x a=[1", "no JSON"),
        pytest.param("x " + "[" * 100_000, "no JSON", id="deep"),
    ],
)
def test_what_does_not_end_is_refused(line, error):
    with pytest.raises(UsageError, match=error):
        split_words(line)


@pytest.mark.parametrize("word", ["CP_1", "RDAM 123", 'a"b', "it's", "{x"])
def test_a_quoted_word_is_read_as_it_was(word):
    assert split_words(quote_word(word)) == [word]
