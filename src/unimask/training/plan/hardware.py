"""Hardware that the defaults of a run depend on."""

import os
from dataclasses import dataclass

import torch

from unimask.inference.load import fastest_dtype


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Properties of the hardware that the defaults depend on.

    Attributes:
        kind: "cpu", or "gpu" for any accelerator.
        memory_gb: Memory of one accelerator in GB; None if unknown.
        bfloat16: Whether bfloat16 is fast.
        cores: Number of CPU cores for each process of the run.
        processes: Number of processes of the run on all machines.
    """

    kind: str
    memory_gb: float | None
    bfloat16: bool
    cores: int
    processes: int


def find_machine(device: str) -> Machine:
    """Detect the hardware.

    Args:
        device: Device name as for `check_device`.
    """
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    on_cuda = device.partition(":")[0] in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    on_mps = not on_cuda and device in ("auto", "gpu", "mps") and torch.backends.mps.is_available()
    place = torch.device("cuda" if on_cuda else "mps" if on_mps else "cpu")
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9 if on_cuda else None
    return Machine(
        kind="cpu" if place.type == "cpu" else "gpu",
        memory_gb=memory,
        bfloat16=fastest_dtype(place) == torch.bfloat16,
        cores=max(1, (os.cpu_count() or 1) // here),
        processes=int(os.environ.get("WORLD_SIZE", here)),
    )
