"""Pushes that meet share a sync: who writes, who waits, and what becomes of each when one fails."""

import contextlib
import threading

import pytest

from ocppj import NotRunning, QueueFailed, QueueFull, RequestBundle
from ocppj.durable import SQLiteQueue
from ocppj.pushes import Line, Push
from tests.helpers import eventually, seconds
from tests.storing import (  # noqa: F401
    bundle,
    disk_full,
    ids,
    opened,
    path,
    queue,
    queues,
)


class Pushing:
    """A thread that pushes, and what came of it."""

    def __init__(self, queue, bundle):
        self.error = None
        self._queue, self._bundle = queue, bundle
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self._queue.push(self._bundle)
        except BaseException as error:
            self.error = error

    def join(self):
        """Return what was raised."""
        self._thread.join(seconds(20))
        assert not self._thread.is_alive(), "it waits for ever"
        return self.error


def line_up(file, requests):
    """Have a thread for each (queue, bundle) of ``requests`` wait for the file, in order; call with it held."""
    threads = []
    for target, one in requests:
        threads.append(Pushing(target, one))
        eventually(lambda: len(file._line._pushes) == len(threads))
    return threads


@contextlib.contextmanager
def commits(file):
    """Count them."""
    seen = []
    file._connection.set_trace_callback(lambda statement: seen.append(statement) if statement == "COMMIT" else None)
    try:
        yield seen
    finally:
        file._connection.set_trace_callback(None)


def test_those_that_wait_are_written_with_one_sync_in_order(queues):
    file, queue = queues._file, [queues.get_or_create(client) for client in "ABC"]
    with commits(file) as seen:
        with file.held():
            threads = line_up(file, [(queue[n % 3], bundle(n)) for n in range(12)])
            assert all(each.is_empty() for each in queue)
        assert [each.join() for each in threads] == [None] * 12
    assert len(seen) == 1
    assert [ids(each) for each in queue] == [[str(n) for n in range(12) if n % 3 == each] for each in range(3)]
    queues.init()
    assert ids(queues.get_or_create("B")) == ["1", "4", "7", "10"]
    assert [row.message_id for row in queues._file.rows("C")] == ["2", "5", "8", "11"]


def test_the_line_grows_while_one_syncs(queue, monkeypatch):
    """And who pushes alone waits for nobody."""
    file, sizes, insert = queue._file, [], queue._file._insert
    threads = []

    def slow(pushes):
        if not sizes:
            threads.extend(line_up(file, [(queue, bundle(n)) for n in range(1, 6)]))
        sizes.append(len(pushes))
        return insert(pushes)

    monkeypatch.setattr(file, "_insert", slow)
    queue.push(bundle(0))
    assert [each.join() for each in threads] == [None] * 5
    assert sizes == [1, 5]
    assert ids(queue) == [str(n) for n in range(6)]


def test_nobody_is_told_before_it_is_on_disk(queue, monkeypatch):
    file, insert, seen = queue._file, queue._file._insert, []

    def looking(pushes):
        seen.append((len(queue), queue.peek(), [each.ended for each in pushes]))
        return insert(pushes)

    monkeypatch.setattr(file, "_insert", looking)
    with file.held():
        threads = line_up(file, [(queue, bundle(n)) for n in range(3)])
    assert [each.join() for each in threads] == [None] * 3
    assert seen == [(0, None, [False] * 3)]


def test_a_bad_one_is_refused_alone(queue):
    bad = [RequestBundle(bundle("surrogate").call, "\ud800", "1.6"), RequestBundle(bundle("nothing").call, None, "1.6")]
    with queue._file.held():
        requests = [bundle(0), bad[0], bundle(1), bad[1], bundle(2)]
        threads = line_up(queue._file, [(queue, each) for each in requests])
    errors = [each.join() for each in threads]
    assert [type(each) for each in errors] == [type(None), QueueFailed, type(None), QueueFailed, type(None)]
    assert "queue.db: request 'surrogate' could not be written: 'utf-8' codec" in str(errors[1])
    assert "queue.db: request 'nothing' could not be written: NOT NULL" in str(errors[3])
    assert ids(queue) == ["0", "1", "2"]
    queue.init()
    assert ids(queue) == ["0", "1", "2"]


def test_the_capacity_counts_those_that_are_written_together(path):
    queue = opened(SQLiteQueue, path, 3)
    queue.push(bundle("first"))
    with queue._file.held():
        threads = line_up(queue._file, [(queue, bundle(n)) for n in range(5)])
    assert [type(each.join()) for each in threads] == [type(None)] * 2 + [QueueFull] * 3
    assert ids(queue) == ["first", "0", "1"]
    queue.pop()
    queue.push(bundle("again"))
    assert queue.is_full()
    queue.close()


def test_a_refused_write_gives_its_room_back(path):
    queue = opened(SQLiteQueue, path, 2)
    for _ in range(3):
        with pytest.raises(QueueFailed):
            queue.push(RequestBundle(bundle().call, "\ud800", "1.6"))
    with queue._file.held():
        threads = line_up(queue._file, [(queue, RequestBundle(bundle(0).call, None, "")), (queue, bundle(1))])
    assert [type(each.join()) for each in threads] == [QueueFailed, type(None)]
    assert not queue.is_full()
    queue.push(bundle(2))
    assert ids(queue) == ["1", "2"]
    queue.close()


def test_on_a_full_disk_each_has_its_own_error_and_nothing_is_taken(queue):
    with disk_full():
        with queue._file.held():
            threads = line_up(queue._file, [(queue, bundle(n)) for n in range(4)])
        errors = [each.join() for each in threads]
    for n, error in enumerate(errors):
        assert isinstance(error, QueueFailed)
        assert f"request '{n}' could not be written" in str(error)
    assert queue.is_empty()
    queue.push(bundle("later"))
    queue.init()
    assert ids(queue) == ["later"]


@pytest.mark.parametrize("end", ["close", "discard"])
def test_who_waits_when_the_queue_is_closed_is_told(queue, end):
    with queue._file.held():
        threads = line_up(queue._file, [(queue, bundle(n)) for n in range(4)])
        closing = threading.Thread(target=getattr(queue, end), daemon=True)
        closing.start()
        eventually(lambda: not queue._taking)
    assert [type(each.join()) for each in threads] == [NotRunning] * 4
    closing.join(seconds(20))
    queue.init()
    assert queue.is_empty()


@pytest.mark.parametrize("use", [lambda queue: queue.pop(), lambda queue: queue._file.rows(None)])
def test_whoever_releases_the_file_wakes_who_waits(queue, use, monkeypatch):
    """Not only who pushes has the file."""
    file, threads = queue._file, []
    queue.push(bundle("first"))
    take = file._take_leaving

    def taken():
        if not threads:
            threads.extend(line_up(file, [(queue, bundle("second"))]))
        return take()

    monkeypatch.setattr(file, "_take_leaving", taken)
    use(queue)
    assert [each.join() for each in threads] == [None]


def test_a_writer_that_is_interrupted_leaves_nobody_waiting(queue, monkeypatch):
    """As by Ctrl-C, which the main thread may get anywhere."""
    file, insert, threads = queue._file, queue._file._insert, []

    def interrupted(pushes):
        monkeypatch.setattr(file, "_insert", insert)
        raise KeyboardInterrupt

    monkeypatch.setattr(file, "_insert", interrupted)
    with file.held():
        threads = line_up(file, [(queue, bundle(n)) for n in range(3)])
    errors = [each.join() for each in threads]
    assert sorted(type(each).__name__ for each in errors) == ["KeyboardInterrupt", "QueueFailed", "QueueFailed"]
    assert "was interrupted" in str(next(each for each in errors if isinstance(each, QueueFailed)))
    queue.push(bundle("after"))
    assert ids(queue) == ["after"]


def test_who_is_interrupted_while_it_waits_passes_its_turn_on(queue, monkeypatch):
    waiting = threading.Event()

    class Interrupted(threading.Event):
        def wait(self, timeout=None):
            waiting.wait(seconds(20))
            raise KeyboardInterrupt

    class InterruptedPush(Push):
        __slots__ = ()

        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.turn = Interrupted()

    with queue._file.held():
        monkeypatch.setattr("ocppj.stored.Push", InterruptedPush)
        (first,) = line_up(queue._file, [(queue, bundle("interrupted"))])
        monkeypatch.setattr("ocppj.stored.Push", Push)
        second = Pushing(queue, bundle("second"))
        eventually(lambda: len(queue._file._line._pushes) == 2)
    waiting.set()  # the file is free, and the first was woken
    assert isinstance(first.join(), KeyboardInterrupt)
    assert second.join() is None
    assert ids(queue) == ["second"]


def test_a_push_stands_in_the_line_until_it_is_taken_or_given_up():
    line, pushes = Line(), [Push(None, bundle(n), lambda: None, lambda *arguments: None) for n in range(3)]
    line.wake()
    for each in pushes:
        line.add(each)
    line.give_up(pushes[0])
    assert [each.turn.is_set() for each in pushes] == [False, True, False]
    assert line.take() == pushes[1:]
    assert line.take() == []
    line.give_up(pushes[1])


@pytest.mark.parametrize("error", [None, QueueFailed("no")])
def test_a_push_has_ended_when_all_that_belongs_to_it_is_done(error):
    """Its thread may be awake already, and looks at nothing else."""
    seen = []
    push = Push(None, bundle(), lambda: None, lambda *arguments: seen.append((push.ended, push.error, *arguments)))
    assert push.begin()
    push.end(None if error else 7, error)
    assert seen == [(False, error, push.bundle, None if error else 7)]
    assert push.ended


def test_a_push_that_is_refused_is_never_settled():
    def refuse():
        raise QueueFull("full")

    push = Push(None, bundle(), refuse, lambda *arguments: pytest.fail("settled"))
    assert push.begin() is False
    assert push.ended
    assert isinstance(push.error, QueueFull)


def test_many_threads_in_many_queues_while_clients_come_and_go(queues):
    """Whatever meets what: what was taken is in the file and in the mirror, in the order of each thread."""
    clients, taken, popped, done = "ABCD", [], [], []

    def push(name):
        client = clients[name % 4]
        for n in range(25):
            with contextlib.suppress(NotRunning):
                queues.get_or_create(client).push(bundle(f"{name}-{n:02}"))
                taken.append(f"{name}-{n:02}")
        done.append(name)

    def disturb():
        while len(done) < 12:
            for client in clients[:2]:
                queues.remove(client)
            gone = queues.get_or_create("D").pop()
            if gone is not None:
                popped.append(gone.message_id)

    threads = [threading.Thread(target=push, args=(name,), daemon=True) for name in range(12)]
    threads.append(threading.Thread(target=disturb, daemon=True))
    for each in threads:
        each.start()
    for each in threads:
        each.join(seconds(50))
        assert not each.is_alive()
    mirrors = {client: ids(queues.get_or_create(client)) for client in clients}
    queues.init()
    assert {client: ids(queues.get_or_create(client)) for client in clients} == mirrors
    left = [each for client in clients for each in mirrors[client]]
    assert sorted([*left, *popped]) == sorted(taken)
    for name in range(12):
        own = [each for each in [*popped, *left] if each.startswith(f"{name}-")]
        assert own == sorted(own)
