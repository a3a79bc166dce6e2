"""Peak memory of a block of code."""

from pathlib import Path
from types import TracebackType

import torch

STATUS_FILE, RESET_FILE = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Context manager that measures the peak memory between entry and exit, in bytes.

    On a GPU it measures PyTorch's tensors; elsewhere the whole process, whose peak Linux can reset.
    Other systems cannot, and the values are None.

    Args:
        device: Device whose memory is measured.

    Attributes:
        before: Memory on entry in bytes; None if the system does not provide it.
        peak: Peak memory until exit in bytes; None if the system does not provide it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.before: int | None = None
        self.peak: int | None = None

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
        elif reset_peak():
            self.before = read_memory_size("VmRSS")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated(self.device)
        elif self.before is not None:
            self.peak = read_memory_size("VmHWM")


def reset_peak() -> bool:
    """Reset the peak memory of the process; return whether the system supports it."""
    try:
        RESET_FILE.write_text("5")
    except OSError:
        return False
    return True


def read_memory_size(name: str) -> int | None:
    """Read a memory size of the process from /proc, in bytes."""
    for line in STATUS_FILE.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None
