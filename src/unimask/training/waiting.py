"""Work of the first process that the other processes wait for."""

import time
from collections.abc import Callable

import torch
from lightning_fabric import Fabric

BUSY, DONE, END, POSTPONED = 1.0, 2.0, 3.0, 4.0
"""Messages of the first process: still working, continue training, end training, and work left
unfinished because of a stop request.
"""

MESSAGE_INTERVAL_SECONDS = 30.0
"""Seconds between messages; a process group times out after minutes without any."""


class StopRequested(Exception):
    """Exception for work left unfinished because of a stop request."""


class FirstProcessWorks:
    """Work of the first process, with messages to the others that it continues.

    Without messages, the others would time out during a long validation.

    Args:
        fabric: Processes of the run.
        stops: Function that returns whether a stop was requested.
    """

    def __init__(self, fabric: Fabric, stops: Callable[[], bool]) -> None:
        self.fabric, self.stops = fabric, stops
        self.last = time.monotonic()

    def tick(self, done: int = 0, total: int = 0) -> None:
        """Send a message that the work continues, if the last message is old.

        Raises:
            StopRequested: A stop was requested.
        """
        if self.stops():
            raise StopRequested
        if time.monotonic() - self.last > MESSAGE_INTERVAL_SECONDS:
            self.broadcast(BUSY)

    def broadcast(self, message: float) -> float:
        """Send a message from the first process to all processes, and return it."""
        self.last = time.monotonic()
        if self.fabric.world_size == 1:
            return message
        value = torch.tensor(
            message if self.fabric.is_global_zero else 0.0, device=self.fabric.device
        )
        return float(self.fabric.all_reduce(value, reduce_op="sum"))  # type: ignore[arg-type]

    def wait(self) -> float:
        """Wait until the first process has finished its work, and return its last message."""
        while (message := self.broadcast(BUSY)) == BUSY:
            pass
        return message
