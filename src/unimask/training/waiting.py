"""Work of one process that the others wait for, however long it takes."""

import time

import torch
from lightning_fabric import Fabric

BUSY, DONE, ENOUGH = 1.0, 2.0, 3.0
"""What the first process says: that it still works, that training goes on, that it ends."""

SECONDS = 30.0
"""Between two words of it: a process group gives up after minutes without any."""


class FirstProcessWorks:
    """The first process judges and tells the others now and then that it still does.

    Without a word they would give up when the process group's time is over, which a long
    validation outlasts.

    Args:
        fabric: The processes.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.last = time.monotonic()

    def tick(self, done: int = 0, total: int = 0) -> None:
        """Say that the work goes on, if nothing was said for a while."""
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
