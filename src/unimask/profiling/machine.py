"""Description of the machine: processor, cores, instruction sets, versions."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

from unimask.version import __version__

INSTRUCTIONS = (
    "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
    "asimd", "asimdhp", "bf16", "i8mm", "sve", "sve2", "sme",
)  # fmt: skip
"""Instruction sets that determine the speed of matrix products, as named by Linux."""


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
        "processor": processor.get("model name") or processor_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "instructions": instruction_sets(processor),
        "memory_gb": memory_gigabytes(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "unimask": __version__,
    }


def read_cpuinfo() -> dict[str, str]:
    """Read the description of the first processor on Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def processor_name() -> str | None:
    """Return the processor's name from the operating system."""
    if sys.platform == "darwin":
        answer = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True
        )
        return answer.stdout.strip() or None
    return platform.processor() or None


def instruction_sets(cpuinfo: dict[str, str]) -> list[str]:
    """List the processor's instruction sets that determine the speed of matrix products."""
    flags = (cpuinfo.get("flags") or cpuinfo.get("Features") or "").split()
    supported = [name for name in INSTRUCTIONS if name in flags]
    return supported or [torch.backends.cpu.get_cpu_capability().lower()]


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
