"""Call a function in several processes, and yield its results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Output = TypeVar("Output")

AHEAD = 3
"""Number of results per process that may wait to be used, which bounds the memory."""


def map_in_processes(
    function: Callable[..., Output], jobs: Iterable[tuple], workers: int
) -> Iterator[Output]:
    """Yield the results of a function, in the order of the jobs.

    Args:
        function: Function of a module that processes can import.
        jobs: Arguments of each call.
        workers: Number of processes; 1 calls the function in this process.
    """
    if workers <= 1:
        yield from (function(*job) for job in jobs)
        return
    waiting: deque[Future[Output]] = deque()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for job in jobs:
            waiting.append(pool.submit(function, *job))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
