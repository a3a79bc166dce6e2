"""A system in a process of its own: its memory, its threads and its settings touch nobody else."""

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
"""Of what is free: a process that wants more fails, before the machine does."""


PATIENCE = 20
"""Seconds that a process gets to leave by itself."""


class PeerError(Exception):
    """A system could not do what was asked; the message is one line."""


class Process:
    """A process that answers one request at a time.

    Args:
        prepare: Called in the process with `arguments`; gives its answers by name. Functions of
            a module, so that the new process finds it.
        arguments: Whatever can be sent.
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
        self.ready = self.receive()
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()  # it leaves when nobody asks
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()

    def ask(self, name: str) -> Any:
        """Give the process's answer.

        Raises:
            PeerError: It failed, or it is gone.
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
    """Prepare, tell that it is done, then answer until nobody asks."""
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
    """Let this process fail before it takes what the machine's others need."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            most = int(MEMORY_SHARE * int(line.split()[1]) * 1024)
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def timed(run: Callable[[], object]) -> Callable[[], dict[str, float | None]]:
    """Make an answer of a function: how long it took, and the most memory held meanwhile."""

    def answer() -> dict[str, float | None]:
        with PeakMemory(torch.device("cpu")) as memory:
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
        return {"seconds": seconds, "peak_mb": memory.peak and memory.peak / 1e6}

    return answer
