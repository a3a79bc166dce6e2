"""Mapping in threads: ordered, bounded, and stopped when iteration ends."""

import threading
import time
import weakref
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from unimask.inference.thread_map import MAX_PENDING_PIXELS, WORKER_THREADS, thread_map
from unimask.processing.images import count_pixels


def test_results_come_in_order_whatever_takes_longest():
    def work(item):
        time.sleep(0.02 if item == 0 else 0)
        return -item

    assert [(i, f.result()) for i, f in thread_map(range(9), work, 3)] == [
        (i, -i) for i in range(9)
    ]


def test_prefetching_continues_without_requests_up_to_a_limit():
    consumed, done = [], threading.Semaphore(0)

    def items():
        for item in range(100):
            consumed.append(item)
            yield item

    with closing(thread_map(items(), lambda _: done.release(), 3)) as results:
        next(results)
        for _ in range(4):
            assert done.acquire(timeout=10)
        assert consumed == [0, 1, 2, 3]
        next(results)
        assert len(consumed) == 5


def test_exceptions_are_raised_when_results_are_requested():
    found = []
    for item, future in thread_map([1, 0, 2], lambda item: 1 / item, 2):
        if item:
            found.append(future.result())
        else:
            with pytest.raises(ZeroDivisionError):
                future.result()
    assert found == [1, 0.5]


def test_pending_items_are_dropped_when_iteration_stops():
    finish, started = threading.Event(), []
    before = threading.active_count()

    def work(item):
        started.append(item)
        finish.wait(10)

    with closing(thread_map(range(20), work, 9)) as results:
        item, _ = next(results)
        assert item == 0
        finish.set()
    assert len(started) <= 10 and threading.active_count() < before + 12


@pytest.mark.parametrize("fails_at", [1, 5])
def test_failing_sources_stop_the_threads(fails_at):
    def items():
        yield from range(fails_at)
        raise KeyboardInterrupt

    before = set(threading.enumerate())  # a server of other tests may have threads
    with pytest.raises(KeyboardInterrupt):
        list(thread_map(items(), str, 2))
    assert set(threading.enumerate()) <= before
    assert WORKER_THREADS > 1


def test_results_are_returned_as_soon_as_they_are_done():
    """An unbounded wait inside `result()` would miss an interruption just before it."""
    started = time.perf_counter()
    with closing(thread_map(range(3), lambda item: time.sleep(0.05) or item, 1)) as items:
        for item, future in items:
            assert future.done() and future.result() == item
    assert time.perf_counter() - started >= 0.1


def prefetched_pixels(sizes, limit=2):
    """Return the number of prefetched pixels whenever the consumer takes an item."""
    started, prefetched = [], []

    def work(item):
        started.append(item)

    for number, (item, _) in enumerate(
        thread_map(sizes, work, limit, count_pixels=lambda size: size)
    ):
        time.sleep(0.01)  # wait until all permitted items have started
        assert item == sizes[number]
        prefetched.append(sum(started) - sum(sizes[: number + 1]))
    return prefetched


def test_large_items_limit_the_prefetch():
    """Several images of 100 megapixels would multiply the memory of one."""
    assert prefetched_pixels([1, 1, 1, 1, 1]) == [2, 2, 2, 1, 0]
    large = MAX_PENDING_PIXELS + 1
    assert prefetched_pixels([large, large, large]) == [0, 0, 0]
    assert prefetched_pixels([5, large, 5, 5]) == [0, 0, 5, 0]
    half = MAX_PENDING_PIXELS // 2
    assert prefetched_pixels([half, half, half, half], limit=9) == [half, half, half, 0]


def test_results_are_released_after_they_are_returned():
    class Large:
        pass

    taken = []
    for _, future in thread_map(range(4), lambda _: Large(), 0):
        taken.append(weakref.ref(future.result()))
        del future
        time.sleep(0.05)
        assert sum(result() is not None for result in taken) <= 1


def test_pixels_are_counted_by_headers(tmp_path):
    image = Image.new("RGB", (30, 20))
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 3)))
    for name in ("a.png", "a.jpg", "a.tif"):
        image.save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    counts = {path.name: count_pixels(path) for path in tmp_path.iterdir()}
    assert counts == {"a.png": 600, "a.jpg": 600, "a.tif": 600, "a.npy": 20, "broken.png": 0}
    assert count_pixels(image) == 600 and count_pixels(np.zeros((4, 5, 3), np.uint8)) == 20
    assert count_pixels("http://nowhere/a.png") == count_pixels(tmp_path) == 0
