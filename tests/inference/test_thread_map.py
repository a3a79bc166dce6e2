"""Work in threads: in order, bounded, and over when nobody asks any more."""

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
    taken, done = [], threading.Semaphore(0)

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    with closing(thread_map(items(), lambda _: done.release(), 3)) as results:
        next(results)
        for _ in range(4):
            assert done.acquire(timeout=10)
        assert taken == [0, 1, 2, 3]
        next(results)
        assert len(taken) == 5


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
    go, begun = threading.Event(), []

    def work(item):
        begun.append(item)
        go.wait(10)

    with closing(thread_map(range(20), work, 9)) as results:
        item, _ = next(results)
        assert item == 0
        go.set()
    assert len(begun) <= 10 and threading.active_count() < 20


@pytest.mark.parametrize("fails_at", [1, 5])
def test_failing_sources_stop_the_threads(fails_at):
    def items():
        yield from range(fails_at)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(thread_map(items(), str, 2))
    assert not [t for t in threading.enumerate() if t.name.startswith("unimask")]
    assert WORKER_THREADS > 1


def test_results_are_returned_as_soon_as_they_are_done():
    """A wait without end inside `result()` would miss an interruption that came just before it."""
    started = time.perf_counter()
    with closing(thread_map(range(3), lambda item: time.sleep(0.05) or item, 1)) as items:
        for item, future in items:
            assert future.done() and future.result() == item
    assert time.perf_counter() - started >= 0.1


def in_advance(sizes, most=2):
    """Return the pixels that are in advance whenever an item is taken by the consumer."""
    begun, found = [], []

    def work(item):
        begun.append(item)

    for number, (item, _) in enumerate(
        thread_map(sizes, work, most, count_pixels=lambda size: size)
    ):
        time.sleep(0.01)  # what may begin has begun
        assert item == sizes[number]
        found.append(sum(begun) - sum(sizes[: number + 1]))
    return found


def test_large_items_limit_the_prefetch():
    """Several images of 100 megapixels multiplied the memory of one."""
    assert in_advance([1, 1, 1, 1, 1]) == [2, 2, 2, 1, 0]
    large = MAX_PENDING_PIXELS + 1
    assert in_advance([large, large, large]) == [0, 0, 0]
    assert in_advance([5, large, 5, 5]) == [0, 0, 5, 0]
    half = MAX_PENDING_PIXELS // 2
    assert in_advance([half, half, half, half], most=9) == [half, half, half, 0]


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
