"""Work of one process that the others wait for, however long it takes."""

import time
from collections.abc import Callable

import torch
from lightning_fabric import Fabric

BUSY, DONE, ENOUGH, LEFT = 1.0, 2.0, 3.0, 4.0
"""What the first process says: that it still works, that training goes on, that it ends, that the
work was left undone because somebody asked to stop."""

SECONDS = 30.0
"""Between two words of it: a process group gives up after minutes without any."""


class AskedToStop(Exception):
    """The work is left undone."""


class FirstProcessWorks:
    """The first process judges and tells the others now and then that it still does.

    Without a word they would give up when the process group's time is over, which a long
    validation outlasts.

    Args:
        fabric: The processes.
        stops: Says whether the work shall be left undone.
    """

    def __init__(self, fabric: Fabric, stops: Callable[[], bool]) -> None:
        self.fabric, self.stops = fabric, stops
        self.last = time.monotonic()

    def tick(self, done: int = 0, total: int = 0) -> None:
        """Say that the work goes on, if nothing was said for a while.

        Raises:
            AskedToStop: It does not.
        """
        if self.stops():
            raise AskedToStop
        if time.monotonic() - self.last > SECONDS:
            self.say(BUSY)

    def say(self, word: float) -> float:
        """Meet all processes, and give what the first one says."""
        self.last = time.monotonic()
        if self.fabric.world_size == 1:
            return word
        said = torch.tensor(word if self.fabric.is_global_zero else 0.0, device=self.fabric.device)
        return float(self.fabric.all_reduce(said, reduce_op="sum"))  # type: ignore[arg-type]

    def wait(self) -> float:
        """Listen until the first process is done."""
        while (word := self.say(BUSY)) == BUSY:
            pass
        return word
