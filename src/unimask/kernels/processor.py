"""Name and instruction sets of the processor."""

import platform
import subprocess
import sys
from pathlib import Path

import torch

INSTRUCTIONS = (
    "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
    "asimd", "asimdhp", "bf16", "i8mm", "sve", "sve2", "sme",
)  # fmt: skip
"""Instruction sets that determine the speed of matrix products, as named by Linux."""


def read_cpuinfo() -> dict[str, str]:
    """Read the description of the first processor on Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def processor_name(cpuinfo: dict[str, str]) -> str | None:
    """Return the processor's name."""
    if "model name" in cpuinfo:
        return cpuinfo["model name"]
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
