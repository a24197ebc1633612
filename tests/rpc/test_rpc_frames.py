"""What is seen at the head of a text that is no valid frame."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocppj.rpc.frames import read_head
from tests.helpers import seconds

UUID = "5c2ba1e0-7e1c-4c53-9d2f-0f8f6f2f8a01"


@pytest.mark.parametrize(
    ("text", "message_type", "message_id"),
    [
        ('[2,"19","MeterValues",{"transactionId":,', 2, "19"),
        (f'[3,"{UUID}",', 3, UUID),
        (f'[3,"{UUID}"', 3, UUID),
        (f'[3,"{UUID}"]', 3, UUID),
        (f'[3,"{UUID}', 3, None),
        (f'[3,"{UUID}"x', 3, None),
        (f'\ufeff\x00 \n[ "4" ,\t"{UUID}" ,', 4, UUID),
        ("[3.0,7,", 3, "7"),
        ("[3.00,-7]", 3, "-7"),
        ("[3,7.5,{}]", 3, None),
        ("[3,7x,{}]", 3, None),
        (f"[3,'{UUID}',", 3, UUID),
        ("[ 3 , 'a\"b' ]", 3, 'a"b'),
        ("['3','1',", 3, "1"),
        ("[3,'1\",", 3, None),
        (r"[3,'\q',", 3, None),
        ("[3,'',", 3, None),
        ("[3", 3, None),
        ("[3]", 3, None),
        ("[3,", 3, None),
        ("[3,,", 3, None),
        ('[3,"",{}]', 3, None),
        ('[3,"' + "x" * 37 + '",', 3, None),
        ("[3," + "1" * 37 + ",", 3, None),
        (r'[3,"\u0041\"\\",', 3, 'A"\\'),
        (r'[3,"\u004",', 3, None),
        ('[3,"a\x00b",', 3, "a\x00b"),
        ('[3,"' + r"\ud83d\udd0c" * 36 + '",', 3, "\U0001f50c" * 36),
        ('[6,"1"', 6, "1"),
        ("", None, None),
        ("[", None, None),
        ("[]", None, None),
        ('["3",', 3, None),
        ('["3,"1",', None, None),
        ('[3","1",', None, None),
        ('[1,"1",', None, None),
        ('[7,"1",', None, None),
        ('[33,"1",', None, None),
        ('[3.1,"1",', None, None),
        ('[-3,"1",', None, None),
        ('[03,"1",', None, None),
        ('[[3,"1",', None, None),
        ('{"3":"1",', None, None),
        ('x[3,"1",', None, None),
    ],
    ids=range(44),
)
def test_the_head_of_a_text(text, message_type, message_id):
    assert read_head(text) == (message_type, message_id)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from("23456"), st.text(min_size=1, max_size=36), st.booleans(), st.text())
def test_every_id_is_seen(number, message_id, ascii_only, rest):
    assert read_head(f"[{number},{json.dumps(message_id, ensure_ascii=ascii_only)},{rest}") == (int(number), message_id)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('[]{}",:.0123456\\u -\x00\ufeff'), max_size=60))
def test_no_text_raises(text):
    message_type, message_id = read_head(text)
    assert message_type is not None or message_id is None


HOSTILE = [
    " " * 1_000_000,
    "[" * 1_000_000,
    '[3,"' + "\\" * 1_000_000,
    '[3,"' + '\\"' * 500_000,
    "[3," + "1" * 1_000_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(5))
def test_a_hostile_text_takes_no_longer(text):
    start = time.process_time()
    read_head(text)
    assert time.process_time() - start < seconds(1)
