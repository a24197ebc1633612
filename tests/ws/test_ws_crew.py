"""The threads of shared readers: nobody who is in the line is left there, whatever the others are at."""

import threading

from ocppj.ws.readers import SharedReaders
from tests.helpers import Recorder, eventually, seconds
from tests.ws.sources import FakeSource


# Jobs that wait for others to end --------------------------------------------------------------------------------------


def test_jobs_of_one_endpoint_run_though_those_of_another_were_discarded():
    readers = SharedReaders(max_handlers=1)
    mine, others = readers.for_endpoint(), readers.for_endpoint()
    go, begun, ran = threading.Event(), threading.Event(), Recorder()
    mine.submit(FakeSource("CP_1"), lambda: (begun.set(), go.wait(seconds(20))))
    assert begun.wait(seconds(10))
    for number in range(3):
        others.submit(FakeSource(f"other_{number}"), ran)
    mine.submit(FakeSource("CP_2"), lambda: ran("mine"))
    eventually(lambda: len(readers._pool.agenda._backlog) == 4)
    assert others.stop(seconds(5))
    go.set()
    assert ran.wait(1) == [("mine",)]
    assert readers.stop(seconds(5))


def test_stop_while_jobs_wait_for_others_leaves_no_thread():
    readers = SharedReaders(max_handlers=1)
    go, begun, stopped = threading.Event(), threading.Event(), Recorder()
    readers.submit(FakeSource("CP_1"), lambda: (begun.set(), go.wait(seconds(20)), stopped(readers.stop(seconds(5)))))
    assert begun.wait(seconds(10))
    for number in range(3):
        readers.submit(FakeSource(f"other_{number}"), lambda: None)
    eventually(lambda: len(readers._pool.agenda._backlog) == 3)
    go.set()
    assert stopped.wait(1) == [(True,)]
    assert readers.stop(seconds(5))
    eventually(lambda: not readers._pool.crew.manned)
