"""Inserts at the same time share a sync: which thread writes, which wait, and what happens when one fails."""

import contextlib
import threading

import pytest

from ocppj import NotRunning, QueueFailed, QueueFull, RequestBundle
from ocppj.storage.group_commit import CommitQueue, PendingInsert
from tests.helpers import eventually, seconds
from tests.inside.storage import file_of, held, waiting
from tests.storing import (  # noqa: F401
    bundle,
    disk,
    disk_full,
    file,
    ids,
    path,
    queue,
    queue_in,
    queues,
    stored,
)


class Inserting:
    """A thread that inserts a request, and the error it got."""

    def __init__(self, push, what):
        self.error = None
        self._push, self._what = push, what
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self._push(self._what)
        except BaseException as error:
            self.error = error

    def join(self):
        """Return what was raised."""
        self._thread.join(seconds(20))
        assert not self._thread.is_alive(), "it waits for ever"
        return self.error


def wait_in_order(file, requests):
    """Have a thread for each (queue, bundle) of ``requests`` wait for the locked file, in order."""
    threads, before = [], waiting(file)
    for target, one in requests:
        threads.append(Inserting(target.push, one))
        eventually(lambda: waiting(file) == before + len(threads))
    return threads


def nothing_to_do(*arguments):
    pass


def test_waiting_inserts_are_written_with_one_sync_in_order(disk, file):
    queue = [queue_in(file, client) for client in "ABC"]
    with held(file):
        threads = wait_in_order(file, [(queue[n % 3], bundle(n)) for n in range(12)])
        assert all(each.is_empty() for each in queue)
        disk.told.clear()
    assert [each.join() for each in threads] == [None] * 12
    assert disk.told.count("COMMIT") == 1
    assert [ids(each) for each in queue] == [[str(n) for n in range(12) if n % 3 == each] for each in range(3)]
    assert ids(queue_in(file, "B")) == ["1", "4", "7", "10"]
    assert [row.message_id for row in file.rows("C")] == ["2", "5", "8", "11"]


def test_the_queue_grows_while_one_thread_syncs(disk, file, stored):
    """And a single insert does not wait."""
    threads = []
    disk.once("COMMIT", lambda: threads.extend(wait_in_order(file, [(stored, bundle(n)) for n in range(1, 6)])))
    disk.told.clear()
    stored.push(bundle(0))
    assert [each.join() for each in threads] == [None] * 5
    wrote = [each.split()[0] for each in disk.told]
    assert [each for each in wrote if each in ("INSERT", "COMMIT")] == ["INSERT", "COMMIT", *["INSERT"] * 5, "COMMIT"]
    assert ids(stored) == [str(n) for n in range(6)]


def test_no_insert_ends_before_it_is_on_disk(disk, file, stored):
    finished, seen = [], []
    inserts = [
        PendingInsert(None, bundle(n), nothing_to_do, lambda one, number: finished.append(number)) for n in range(3)
    ]
    disk.once(
        "COMMIT", lambda: seen.append((len(stored), stored.peek(), [each.ended for each in inserts], [*finished]))
    )
    with held(file):
        threads = wait_in_order(file, [(stored, bundle("in a queue"))])
        threads += [Inserting(file.insert, each) for each in inserts]
        eventually(lambda: waiting(file) == 4)
    assert [each.join() for each in threads] == [None] * 4
    assert seen == [(0, None, [False] * 3, [])]
    assert (ids(stored), sorted(finished)) == (["in a queue"], [2, 3, 4])
    assert [(each.ended, each.error) for each in inserts] == [(True, None)] * 3


def test_only_the_bad_insert_is_refused(file, stored):
    bad = [RequestBundle(bundle("surrogate").call, "\ud800", "1.6"), RequestBundle(bundle("nothing").call, None, "1.6")]
    with held(file):
        requests = [bundle(0), bad[0], bundle(1), bad[1], bundle(2)]
        threads = wait_in_order(file, [(stored, each) for each in requests])
    errors = [each.join() for each in threads]
    assert [type(each) for each in errors] == [type(None), QueueFailed, type(None), QueueFailed, type(None)]
    assert "queue.db: request 'surrogate' could not be written: 'utf-8' codec" in str(errors[1])
    assert "queue.db: request 'nothing' could not be written: NOT NULL" in str(errors[3])
    assert ids(stored) == ["0", "1", "2"]
    stored.init()
    assert ids(stored) == ["0", "1", "2"]


def test_the_capacity_counts_inserts_of_one_transaction(file):
    queue = queue_in(file, capacity=3)
    queue.push(bundle("first"))
    with held(file):
        threads = wait_in_order(file, [(queue, bundle(n)) for n in range(5)])
    assert [type(each.join()) for each in threads] == [type(None)] * 2 + [QueueFull] * 3
    assert ids(queue) == ["first", "0", "1"]
    queue.pop()
    queue.push(bundle("again"))
    assert queue.is_full()


def test_a_refused_insert_takes_no_room(file):
    queue = queue_in(file, capacity=2)
    for _ in range(3):
        with pytest.raises(QueueFailed):
            queue.push(RequestBundle(bundle().call, "\ud800", "1.6"))
    with held(file):
        threads = wait_in_order(file, [(queue, RequestBundle(bundle(0).call, None, "")), (queue, bundle(1))])
    assert [type(each.join()) for each in threads] == [QueueFailed, type(None)]
    assert not queue.is_full()
    queue.push(bundle(2))
    assert ids(queue) == ["1", "2"]


def test_on_a_full_disk_each_insert_has_its_own_error_and_nothing_is_taken(file, stored):
    with disk_full():
        with held(file):
            threads = wait_in_order(file, [(stored, bundle(n)) for n in range(4)])
        errors = [each.join() for each in threads]
    for n, error in enumerate(errors):
        assert isinstance(error, QueueFailed)
        assert f"request '{n}' could not be written" in str(error)
    assert stored.is_empty()
    stored.push(bundle("later"))
    stored.init()
    assert ids(stored) == ["later"]


@pytest.mark.parametrize("end", ["close", "discard"])
def test_waiting_inserts_are_refused_when_the_queue_is_closed(queue, end):
    queue.push(bundle("first"))
    with held(file_of(queue)):
        threads = wait_in_order(file_of(queue), [(queue, bundle(n)) for n in range(4)])
        closing = threading.Thread(target=getattr(queue, end), daemon=True)
        closing.start()
        eventually(queue.is_empty)
    assert [type(each.join()) for each in threads] == [NotRunning] * 4
    closing.join(seconds(20))
    queue.init()
    assert ids(queue) == ["first"]


@pytest.mark.parametrize(
    ("statement", "use"),
    [
        ("DELETE", lambda file, queue: queue.pop()),
        ("SELECT", lambda file, queue: file.rows(None)),
        ("SELECT", lambda file, queue: file.list_set_aside()),
    ],
    ids=["pop", "rows", "aside"],
)
def test_every_release_of_the_file_wakes_a_waiting_insert(disk, file, stored, statement, use):
    """Not only inserts take the file."""
    threads = []
    stored.push(bundle("first"))
    disk.once(statement, lambda: threads.extend(wait_in_order(file, [(stored, bundle("second"))])))
    use(file, stored)
    assert [each.join() for each in threads] == [None]


def test_an_interrupted_writer_leaves_the_inserts_of_others_to_them(disk, file, stored):
    """As by Ctrl-C, which the main thread may get anywhere. Its own is not written."""

    def interrupt():
        raise KeyboardInterrupt

    disk.once("INSERT", interrupt)
    with held(file):
        threads = wait_in_order(file, [(stored, bundle(n)) for n in range(3)])
    errors = [each.join() for each in threads]
    assert [type(each) for each in errors].count(KeyboardInterrupt) == 1
    written = [str(n) for n, error in enumerate(errors) if error is None]
    assert len(written) == 2
    stored.push(bundle("after"))
    assert sorted(ids(stored)) == [*written, "after"]


def test_an_insert_interrupted_while_it_waits_wakes_the_next(file, stored):
    free = threading.Event()

    class Interrupted(threading.Event):
        def wait(self, timeout=None):
            free.wait(seconds(20))
            raise KeyboardInterrupt

    insert = PendingInsert(None, bundle("interrupted"), nothing_to_do, nothing_to_do)
    insert.wake = Interrupted()
    with held(file):
        first = Inserting(file.insert, insert)
        eventually(lambda: waiting(file) == 1)
        (second,) = wait_in_order(file, [(stored, bundle("second"))])
    free.set()  # the file is free, and the first was woken
    assert isinstance(first.join(), KeyboardInterrupt)
    assert second.join() is None
    assert ids(stored) == ["second"]
    stored.init()
    assert ids(stored) == ["second"]


def test_an_insert_stays_in_the_queue_until_it_has_ended_or_is_given_up():
    commits = CommitQueue()
    inserts = [PendingInsert(None, bundle(n), nothing_to_do, nothing_to_do) for n in range(3)]
    commits.wake_first()
    for each in inserts:
        commits.add(each)
    commits.give_up(inserts[0])
    commits.wake_first()
    assert [each.wake.is_set() for each in inserts] == [False, True, False]
    assert commits.all() == inserts[1:]
    inserts[2].end(7)
    commits.drop_ended()
    assert commits.all() == [inserts[1]]
    assert inserts[2].wake.is_set()
    commits.give_up(inserts[1])
    commits.give_up(inserts[1])
    assert commits.all() == []


@pytest.mark.parametrize("error", [None, QueueFailed("no")])
def test_an_insert_has_ended_only_after_its_callback(error):
    """Its thread may be awake already, and reads nothing else."""
    seen = []

    def note(*arguments):
        seen.append((insert.ended, insert.error, *arguments))

    insert = PendingInsert(None, bundle(), nothing_to_do, note)
    assert insert.begin()
    insert.end(None if error else 7, error)
    assert seen == [(False, error, insert.bundle, None if error else 7)]
    assert insert.ended


def test_an_insert_that_is_refused_is_never_finished():
    def refuse():
        raise QueueFull("full")

    insert = PendingInsert(None, bundle(), refuse, lambda *arguments: pytest.fail("finished"))
    assert insert.begin() is False
    assert insert.ended
    assert isinstance(insert.error, QueueFull)


def test_many_threads_in_many_queues_while_clients_come_and_go(queues):
    """What was taken is in the file and in memory, in the order of each thread."""
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
    copies = {client: ids(queues.get_or_create(client)) for client in clients}
    queues.init()
    assert {client: ids(queues.get_or_create(client)) for client in clients} == copies
    left = [each for client in clients for each in copies[client]]
    assert sorted([*left, *popped]) == sorted(taken)
    for name in range(12):
        own = [each for each in [*popped, *left] if each.startswith(f"{name}-")]
        assert own == sorted(own)
