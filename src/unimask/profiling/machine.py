"""Description of the machine: processor, cores, instruction sets, versions."""

import os
import platform

import torch

from unimask.kernels.processor import instruction_sets, processor_name, read_cpuinfo
from unimask.version import __version__


def describe_machine(device: torch.device) -> dict[str, object]:
    """Describe the machine and the device of the computation.

    Returns:
        `{device, processor, cores, threads, instructions, memory_gb, system, python, torch,
        unimask}`; None for values that the system does not provide.
    """
    processor = read_cpuinfo()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "device": name,
        "processor": processor_name(processor),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "instructions": instruction_sets(processor),
        "memory_gb": memory_gigabytes(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "unimask": __version__,
    }


def usable_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_gigabytes() -> float | None:
    """Return the machine's memory in GB."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(total / 1e9, 1)
