"""Work that goes on in threads beside what asks for it: in order, and never far ahead."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")

THREADS = 2
"""More would only take turns with the network on a small machine."""

PATIENCE = 2.0
"""Seconds that a thread is given to end what it does: a file may never come to its end."""


def ahead(
    items: Iterable[Item], work: Callable[[Item], Done], most: int
) -> Generator[tuple[Item, "Future[Done]"]]:
    """Work on items in threads, while whoever asks is busy with earlier ones.

    Items are taken one at a time in the thread that asks. Whoever stops asking closes the iterator
    (`contextlib.closing`): what has not begun is dropped, what has is waited for a little.

    Args:
        items: Taken as they are needed.
        work: Safe from several threads.
        most: Items that may wait at a time, done or not: so much memory they hold.

    Yields:
        Each item and what became of it, in order; a failure is raised by `result()`.
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

    threads = [Thread(target=serve, name="unimask", daemon=True) for _ in range(THREADS)]
    try:
        for thread in threads:
            thread.start()
        for item in items:
            waiting.append((item, Future()))
            tasks.put(waiting[-1])
            if len(waiting) > most:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for _, future in waiting:
            future.cancel()
        for _ in threads:
            tasks.put(None)
        for thread in threads:
            thread.join(PATIENCE)
