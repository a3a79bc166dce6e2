"""Process group of the processes that a test starts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist


@contextmanager
def process_group(rank: int, folder: str, *, world: int = 2, seconds: float = 60) -> Iterator[None]:
    """Join a process group as one of several processes, and exit at the end of the context.

    It exits without cleanup: gloo's threads abort a process that exits normally while they release
    their buffers (see unimask/training/processes.py).
    """
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world,
        timeout=timedelta(seconds=seconds),
    )  # fmt: skip
    torch.set_num_threads(1)
    yield
    dist.barrier()
    os._exit(0)
