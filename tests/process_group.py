"""What a test's process shares with the others that the test started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist


@contextmanager
def process_group(rank: int, folder: str, *, world: int = 2, seconds: float = 60) -> Iterator[None]:
    """Be one process of several; it ends with the context.

    It ends at once: gloo's threads abort a process that leaves in order while they still let go
    of what they sent (see `LETTING_GO` in unimask/training/processes.py).
    """
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world,
        timeout=timedelta(seconds=seconds),
    )  # fmt: skip
    torch.set_num_threads(1)
    yield
    dist.barrier()
    os._exit(0)
