"""The account of what an endpoint holds."""

import sys
import threading

from ocppj.budget import QUEUED, WAITING, Account, MemoryBudget, weigh, weigh_objects, weigh_read
from tests.helpers import seconds


def change(budget, kind, before, after, must=False):
    """Count ``after`` bytes for something that counts ``before``."""
    account = Account()
    account.counted = before
    return budget.count(account, kind, after, must)


def test_what_is_held_is_told_by_kind():
    budget = MemoryBudget(100)
    assert budget.held() == {}
    assert change(budget, WAITING, 0, 40)
    assert change(budget, QUEUED, 0, 50)
    assert budget.held() == {"waiting": 40, "queued": 50}
    assert change(budget, WAITING, 40, 0)
    assert budget.held() == {"queued": 50}


def test_too_much_changes_nothing():
    budget = MemoryBudget(100)
    assert change(budget, WAITING, 0, 60)
    assert not change(budget, QUEUED, 0, 41)
    assert budget.held() == {"waiting": 60}
    assert change(budget, QUEUED, 0, 40), "just as much as may be held"


def test_to_hold_less_is_never_too_much():
    budget = MemoryBudget(100)
    assert change(budget, WAITING, 0, 500, must=True)
    assert change(budget, WAITING, 500, 400)
    assert not change(budget, WAITING, 400, 401)


def test_without_a_limit_all_is_counted():
    budget = MemoryBudget()
    assert change(budget, WAITING, 0, 1 << 60)
    assert budget.held() == {"waiting": 1 << 60}


def test_threads_lose_no_byte():
    budget = MemoryBudget()

    def hold_and_let_go():
        for size in range(1, 2000):
            change(budget, WAITING, 0, size)
            change(budget, WAITING, size, 0)

    threads = [threading.Thread(target=hold_and_let_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(30))
    assert budget.held() == {}


def test_a_text_weighs_what_it_takes_in_memory():
    text = "x" * 1000 + "\U0001f50c"  # four bytes for each character
    assert weigh(text) >= sys.getsizeof(text) > 4000


def test_objects_weigh_by_the_number_of_values():
    one, many = '["' + "x" * 1000 + '"]', "[" + ",".join("1" * 500) + "]"
    assert weigh_objects(one) < 2 * len(one)
    assert weigh_objects(many) > 100 * len(many)


def test_an_account_counts_what_it_holds_now():
    budget, one, other = MemoryBudget(100), Account(), Account()
    assert budget.count(one, WAITING, 40)
    assert budget.count(one, WAITING, 50)
    assert budget.count(other, WAITING, 50)
    assert not budget.count(one, WAITING, 51)
    assert (one.counted, other.counted) == (50, 50)
    assert budget.count(one, WAITING, 0)
    assert budget.held() == {"waiting": 50}


def test_what_was_read_weighs_by_its_values():
    text = "x" * 1000
    assert weigh_read(text, {}) < weigh_read(text, {"a": [1, 2, {"b": None}]}) < 1000 + 100 + 7 * 300
    assert weigh_read(text, {"a": [[[]]] * 100}) > 250 * 200, "however deep"
