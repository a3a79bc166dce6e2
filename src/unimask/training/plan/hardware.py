"""Hardware that the defaults of a run depend on."""

import os
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Properties of the hardware that the defaults depend on.

    Attributes:
        device: Type of the device: "cpu", "cuda" or "mps".
        memory_gb: Memory of one accelerator in GB; None if unknown.
        cores: Number of CPU cores for each process of the run.
        processes: Number of processes of the run on all machines.
    """

    device: str
    memory_gb: float | None
    cores: int
    processes: int

    @property
    def kind(self) -> str:
        """Kind of the device: "cpu", or "gpu" for any accelerator."""
        return "cpu" if self.device == "cpu" else "gpu"


def find_machine(device: str) -> Machine:
    """Detect the hardware.

    Args:
        device: Device name as for `check_device`.
    """
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    on_cuda = device.partition(":")[0] in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    on_mps = not on_cuda and device in ("auto", "gpu", "mps") and torch.backends.mps.is_available()
    device_type = "cuda" if on_cuda else "mps" if on_mps else "cpu"
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9 if on_cuda else None
    return Machine(
        device=device_type,
        memory_gb=memory,
        cores=max(1, (os.cpu_count() or 1) // here),
        processes=int(os.environ.get("WORLD_SIZE", here)),
    )
