"""How much memory a stretch of work takes at most."""

from pathlib import Path
from types import TracebackType

import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Measure the most memory that is held between entry and exit, in bytes.

    On a GPU that is what PyTorch's tensors take; elsewhere the whole process, whose peak Linux
    forgets when it is asked to. Other systems do not forget, and tell None.

    Args:
        device: Whose memory.

    Attributes:
        before: Held on entry; None where the system does not tell.
        peak: The most until exit; likewise.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.before: int | None = None
        self.peak: int | None = None

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
        elif forget_peak():
            self.before = told_by_linux("VmRSS")
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
            self.peak = told_by_linux("VmHWM")


def forget_peak() -> bool:
    """Ask Linux to begin anew with the process's peak; say whether it did."""
    try:
        RESET.write_text("5")
    except OSError:
        return False
    return True


def told_by_linux(name: str) -> int | None:
    """Read one of the process's sizes, in bytes."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None
