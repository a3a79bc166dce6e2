"""Mapping of a function over items in threads: results in order, a bounded number in advance."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")

WORKER_THREADS = 2
"""Number of threads; more would compete with the network on a small machine."""

SHUTDOWN_SECONDS = 2.0
"""Seconds to wait for a thread at the end, since reading a file may block forever."""

POLL_SECONDS = 0.2
"""Seconds between checks for signals: Python misses one that arrives just before a wait."""

MAX_PENDING_PIXELS = 2**25
"""Largest number of pixels of all pending items."""


def thread_map(
    items: Iterable[Item],
    work: Callable[[Item], Done],
    max_pending: int,
    count_pixels: Callable[[Item], int] = lambda item: 0,
) -> Generator[tuple[Item, "Future[Done]"]]:
    """Process items in threads while the consumer is busy with earlier ones.

    Items are taken in the consumer's thread. A consumer that stops early closes the iterator
    (`contextlib.closing`): pending items are cancelled, running ones are awaited briefly.

    Args:
        items: Items to process, taken as needed.
        work: Function applied to each item; must be thread-safe.
        max_pending: Largest number of pending items, finished or not, which bounds the memory.
        count_pixels: Function that returns the number of pixels of an item. Pending items have at
            most `MAX_PENDING_PIXELS` pixels in all, beside the item that the consumer has; a larger
            item is processed only when the consumer waits for it.

    Yields:
        Each item with its finished future, in order; `result()` raises the item's error.
    """
    waiting: deque[tuple[Item, Future[Done]]] = deque()
    tasks: SimpleQueue[tuple[Item, Future[Done]] | None] = SimpleQueue()

    def serve() -> None:
        while (task := tasks.get()) is not None:
            item, future = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(item))
                except BaseException as error:
                    future.set_exception(error)
            del task, item, future  # else the last result stays in memory

    threads = [Thread(target=serve, name="unimask", daemon=True) for _ in range(WORKER_THREADS)]
    try:
        for thread in threads:
            thread.start()
        sizes: deque[int] = deque()
        for item in items:
            sizes.append(count_pixels(item))
            while waiting and sum(sizes) > MAX_PENDING_PIXELS:
                sizes.popleft()
                yield finished(waiting.popleft())
            waiting.append((item, Future()))
            tasks.put(waiting[-1])
            del item
            while len(waiting) > max_pending or sum(sizes) > MAX_PENDING_PIXELS:
                sizes.popleft()
                yield finished(waiting.popleft())
        while waiting:
            yield finished(waiting.popleft())
    finally:
        for _, future in waiting:
            future.cancel()
        for _ in threads:
            tasks.put(None)
        for thread in threads:
            thread.join(SHUTDOWN_SECONDS)


def finished(task: tuple[Item, "Future[Done]"]) -> tuple[Item, "Future[Done]"]:
    """Wait for a future in steps, so that Ctrl-C always ends the wait; return the task."""
    while not wait([task[1]], POLL_SECONDS).done:
        pass
    return task
