"""Frames that are almost messages: whatever they hold, mending them raises nothing and is done once."""

import json
from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocppj import Endpoint, MessageError, v16, v21
from ocppj.dispatch.pending import PendingRequestState
from ocppj.rpc.dialect import V16, V21
from ocppj.rpc.lenient_frames import mend_frame

ENDPOINT = Endpoint([*v16.PROFILES, *v21.PROFILES], validate="off")
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
types = st.one_of(st.sampled_from([2, 3, 4, 5, 6, "2", "3", "4", 2.0, 3.0, 6.0, "6"]), values)
ids = st.one_of(st.sampled_from(["1", 1, 10**36, -5]), values)
actions = st.one_of(st.sampled_from(["heartbeat", "Heartbeat", "HEARTBEATREQUEST", "reset.req"]), values)


@settings(max_examples=200, deadline=None)
@given(st.tuples(types, ids, actions).map(list), st.lists(values, max_size=4))
@example([2, "1", "Heartbeat"], [[]])
@example([4, "1", "GenericError"], [])
def test_mending_raises_nothing_and_is_done_once(head, rest):
    fields = head + rest
    before = json.dumps(fields)
    for dialect in (V16, V21):
        mended = mend_frame(fields, dialect, lambda action: False)
        assert json.dumps(fields) == before, "the elements that came stay as they are"
        if mended is None:
            continue
        assert mended.faults
        assert mended.fields != fields or [*map(type, mended.fields)] != [*map(type, fields)]
        again = mend_frame(mended.fields, dialect, lambda action: False)
        assert again is None or again.faults == ["a CALLRESULT has an action"]
        with suppress(MessageError):
            ENDPOINT.parse_message(mended.fields, PendingRequestState(), dialect)


def test_an_action_of_the_program_stays_as_it_is():
    known = {"heartbeat"}
    assert mend_frame([2, "1", "heartbeat", {}], V16, known.__contains__) is None
    mended = mend_frame([2, "1", "Reset.req", {}], V16, known.__contains__)
    assert mended is not None
    assert mended.fields == [2, "1", "Reset", {}]
