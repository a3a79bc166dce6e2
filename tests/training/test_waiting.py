"""Work of the first process outlasts the process group's time, and nobody gives up."""

import time
from datetime import timedelta
from types import SimpleNamespace

import torch
import torch.distributed as dist
import torch.multiprocessing as processes

from unimask.training import waiting

TIMEOUT, WORK = 4.0, 7.0


def reduce(tensor, reduce_op):
    dist.all_reduce(tensor)
    return tensor


def work(rank: int, folder: str) -> None:
    """The first process works for longer than the group waits for a word."""
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2,
        timeout=timedelta(seconds=TIMEOUT),
    )  # fmt: skip
    torch.set_num_threads(1)
    waiting.SECONDS = 0.5
    fabric = SimpleNamespace(
        world_size=2, is_global_zero=rank == 0, device=torch.device("cpu"), all_reduce=reduce
    )
    first = waiting.FirstProcessWorks(fabric, lambda: False)
    if rank == 0:
        end = time.monotonic() + WORK
        while time.monotonic() < end:
            time.sleep(0.05)
            first.tick(1, 2)
        word = first.say(waiting.ENOUGH)
    else:
        word = first.wait()
    torch.save(word, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_the_others_wait_for_as_long_as_the_first_works(tmp_path):
    processes.spawn(work, (str(tmp_path),), nprocs=2)
    assert [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)] == [waiting.ENOUGH] * 2
