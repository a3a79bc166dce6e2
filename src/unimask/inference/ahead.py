"""Work that goes on in threads beside what asks for it: in order, and never far ahead."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")

THREADS = 2
"""More would only take turns with the network on a small machine."""


def ahead(
    items: Iterable[Item], work: Callable[[Item], Done], most: int
) -> Generator[tuple[Item, "Future[Done]"]]:
    """Work on items in threads, while whoever asks is busy with earlier ones.

    Items are taken one at a time in the thread that asks. Whoever stops asking closes the iterator
    (`contextlib.closing`): what has not begun is dropped, what has is waited for.

    Args:
        items: Taken as they are needed.
        work: Safe from several threads.
        most: Items that may wait at a time, done or not: so much memory they hold.

    Yields:
        Each item and what became of it, in order; a failure is raised by `result()`.
    """
    waiting: deque[tuple[Item, Future[Done]]] = deque()
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="unimask")
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > most:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(cancel_futures=True)
