"""Processes that read inputs; one that dies or hangs counts as a failure and is replaced."""

import ctypes
import multiprocessing
import os
import re
import resource
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

PATIENCE = 60.0
"""Seconds after which an unresponsive process is killed."""

ROOM = 3 * 2**30
"""Bytes that a process may allocate in addition to those at its start."""


@dataclass
class Report:
    """Outcomes of the inputs of a reader.

    Attributes:
        accepted: How many were read.
        refused: How many were refused in one line.
        failed: How many did what none may.
        slowest: The longest time of one input, in seconds.
        peak: The most memory that a process took beyond what it had when it began, in bytes.
        faults: Numbers of the failed inputs by what is wrong.
    """

    accepted: int = 0
    refused: int = 0
    failed: int = 0
    slowest: float = 0.0
    peak: int = 0
    faults: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    @property
    def inputs(self) -> int:
        return self.accepted + self.refused + self.failed

    def add(self, number: int, kind: str, seconds: float, fault: str, peak: int) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        self.slowest, self.peak = max(self.slowest, seconds), max(self.peak, peak)
        if fault:
            self.faults[fault].append(number)


class Worker:
    """A process that reads some inputs of a reader, replaced when it dies or hangs."""

    def __init__(self, name: str, place: Path, seed: int, numbers: range, report: Report) -> None:
        self.arguments, self.numbers, self.report = (name, place, seed), numbers, report
        context = multiprocessing.get_context("spawn")
        self.context, self.current = context, context.Value(ctypes.c_longlong, -1)
        self.since = time.monotonic()
        self.process: BaseProcess
        self.start(numbers)

    def start(self, numbers: range) -> None:
        self.left = numbers
        self.pipe, theirs = self.context.Pipe(duplex=False)
        self.current.value = -1
        self.process = self.context.Process(
            target=read_some, args=(*self.arguments, numbers, theirs, self.current), daemon=True
        )
        self.process.start()
        theirs.close()
        self.since = time.monotonic()

    def finished(self) -> bool:
        """Handle reports of the process; return whether it has read all of its inputs."""
        alive = self.process.is_alive()
        while self.left and (rows := self.receive()):
            for row in rows:
                self.report.add(*row)
                self.left = self.left[1:]
            self.since = time.monotonic()
        if not self.left:
            self.process.join()
            return True
        hangs = alive and self.current.value >= 0 and time.monotonic() - self.since > PATIENCE
        if hangs:
            self.process.kill()
        if hangs or not alive:
            self.process.join()
            self.replace("hangs" if hangs else f"ended the process ({self.process.exitcode})")
        return not self.left

    def receive(self) -> list[tuple[Any, ...]]:
        """Return the report of the process, or None if it has ended."""
        try:
            return self.pipe.recv() if self.pipe.poll() else []
        except (EOFError, OSError):
            return []

    def replace(self, fault: str) -> None:
        """Count the input on which the process ended as a failure, and continue with the next."""
        number = self.current.value
        if number < 0:
            sys.exit(f"{self.arguments[0]}: a worker ended before its first input")
        self.report.add(number, "failed", 0.0, fault, 0)
        self.start(range(number + 1, self.numbers.stop))


def read_all(name: str, place: Path, inputs: int, seed: int, workers: int) -> Report:
    """Read the inputs 0 to `inputs` of a reader in several processes."""
    report = Report()
    share = -(-inputs // workers)
    running = [
        Worker(name, place / str(n), seed, range(n * share, min(inputs, (n + 1) * share)), report)
        for n in range(workers)
        if n * share < inputs
    ]
    while running:
        running = [worker for worker in running if not worker.finished()]
        time.sleep(0.05)
    return report


def read_some(
    name: str, place: Path, seed: int, numbers: range, pipe: Connection, current: Any
) -> None:
    """Read inputs and report each; the body of a process."""
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)
    os.dup2(sys.stderr.fileno(), 2)  # decoders in C write there
    from fuzzing.inputs import Inputs

    place.mkdir(parents=True, exist_ok=True)
    inputs = Inputs(name, place, seed)
    inputs.warm_up()
    size = int(re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024  # type: ignore[index]
    resource.setrlimit(resource.RLIMIT_DATA, (size + ROOM, resource.RLIM_INFINITY))
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        current.value = number
        outcome = inputs.read(inputs.write(number))
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * 1024
        pipe.send([(number, outcome.kind, outcome.seconds, outcome.fault, peak)])
