"""A system in a separate process, with its own memory, threads and settings."""

import multiprocessing
import resource
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from unimask.profiling.peak_memory import PeakMemory

MEMORY_SHARE = 0.9
"""Fraction of the free memory that a process may use, so that it fails before the machine does."""


PATIENCE = 20
"""Seconds to wait for a process to end by itself."""


class PeerError(Exception):
    """A system failed; the message is one line."""


class Process:
    """A process that handles one request at a time.

    Args:
        prepare: Function that is called in the process with `arguments` and returns request
            handlers by name; a function of a module, so that the new process can import it.
        arguments: Picklable arguments of `prepare`.
    """

    def __init__(self, prepare: Callable[..., dict[str, Callable]], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, torch.get_num_threads(), prepare, arguments), daemon=True
        )
        self.process.start()
        theirs.close()

    def __enter__(self) -> "Process":
        self.start_seconds = self.receive()
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()  # it exits when the connection closes
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()

    def ask(self, name: str) -> Any:
        """Send a request and return the result.

        Raises:
            PeerError: The request failed, or the process has ended.
        """
        self.connection.send(name)
        return self.receive()

    def receive(self) -> Any:
        """Wait for an answer."""
        try:
            good, answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            raise PeerError(f"the process ended with code {self.process.exitcode}") from None
        if not good:
            self.process.kill()
            raise PeerError(answer)
        return answer


def serve(
    connection: Connection, threads: int, prepare: Callable[..., dict], arguments: tuple
) -> None:
    """Prepare, report the preparation time, then answer requests until the connection closes."""
    torch.set_num_threads(threads)
    limit_memory()
    answers: dict[str, Callable] = {}
    name = ""
    try:
        start = time.perf_counter()
        answers = prepare(*arguments)
        connection.send((True, time.perf_counter() - start))
        while True:
            name = connection.recv()
            connection.send((True, answers[name]()))
    except EOFError:
        return
    except BaseException as error:
        traceback.print_exc(limit=-3)
        lines = str(error).strip().splitlines() or [""]
        connection.send((False, f"{type(error).__name__}: {lines[0][:300]}"))


def limit_memory() -> None:
    """Limit this process's memory, so that it fails before the machine runs out."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            most = int(MEMORY_SHARE * int(line.split()[1]) * 1024)
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def timed(run: Callable[[], object]) -> Callable[[], dict[str, float | None]]:
    """Return a handler that also measures a function's time and peak memory."""

    def answer() -> dict[str, float | None]:
        with PeakMemory(torch.device("cpu")) as memory:
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
        return {"seconds": seconds, "peak_mb": memory.peak and memory.peak / 1e6}

    return answer
