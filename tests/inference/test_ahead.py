"""Work in threads: in order, bounded, and over when nobody asks any more."""

import threading
import time
from contextlib import closing

import pytest

from unimask.inference.ahead import THREADS, ahead


def test_results_come_in_order_whatever_takes_longest():
    def work(item):
        time.sleep(0.02 if item == 0 else 0)
        return -item

    assert [(i, f.result()) for i, f in ahead(range(9), work, 3)] == [(i, -i) for i in range(9)]


def test_work_goes_on_while_nobody_asks_but_not_far_ahead():
    taken, done = [], threading.Semaphore(0)

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    with closing(ahead(items(), lambda _: done.release(), 3)) as results:
        next(results)
        for _ in range(4):
            assert done.acquire(timeout=10)
        assert taken == [0, 1, 2, 3]
        next(results)
        assert len(taken) == 5


def test_failures_are_raised_where_results_are_asked_for():
    found = []
    for item, future in ahead([1, 0, 2], lambda item: 1 / item, 2):
        if item:
            found.append(future.result())
        else:
            with pytest.raises(ZeroDivisionError):
                future.result()
    assert found == [1, 0.5]


def test_what_has_not_begun_is_dropped_when_the_asking_stops():
    go, begun = threading.Event(), []

    def work(item):
        begun.append(item)
        go.wait(10)

    with closing(ahead(range(20), work, 9)) as results:
        item, _ = next(results)
        assert item == 0
        go.set()
    assert len(begun) <= 10 and threading.active_count() < 20


@pytest.mark.parametrize("fails_at", [1, 5])
def test_a_source_that_fails_ends_the_threads(fails_at):
    def items():
        yield from range(fails_at)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(ahead(items(), str, 2))
    assert not [t for t in threading.enumerate() if t.name.startswith("unimask")]
    assert THREADS > 1


def test_items_come_when_they_are_done():
    """A wait without end inside `result()` would miss an interruption that came just before it."""
    started = time.perf_counter()
    with closing(ahead(range(3), lambda item: time.sleep(0.05) or item, 1)) as items:
        for item, future in items:
            assert future.done() and future.result() == item
    assert time.perf_counter() - started >= 0.1
