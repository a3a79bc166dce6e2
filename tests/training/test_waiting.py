"""Other processes wait for the first one longer than the process group's timeout."""

import time
from types import SimpleNamespace

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from process_group import process_group

from unimask.training import waiting

TIMEOUT, WORK = 2.0, 3.5


def reduce(tensor, reduce_op):
    dist.all_reduce(tensor)
    return tensor


def work(rank: int, folder: str) -> None:
    """Run one process; the first one works longer than the group's timeout."""
    waiting.MESSAGE_INTERVAL_SECONDS = 0.25
    fabric = SimpleNamespace(
        world_size=2, is_global_zero=rank == 0, device=torch.device("cpu"), all_reduce=reduce
    )
    first = waiting.FirstProcessWorks(fabric, lambda: False)
    with process_group(rank, folder, seconds=TIMEOUT):
        if rank == 0:
            end = time.monotonic() + WORK
            while time.monotonic() < end:
                time.sleep(0.05)
                first.tick(1, 2)
            message = first.broadcast(waiting.END)
        else:
            message = first.wait()
        torch.save(message, f"{folder}/{rank}.pt")


def test_other_processes_wait_while_the_first_works(tmp_path):
    processes.spawn(work, (str(tmp_path),), nprocs=2)
    assert [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)] == [waiting.END] * 2
