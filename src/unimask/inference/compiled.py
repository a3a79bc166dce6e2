"""A network that PyTorch's compiler makes quicker for sizes that come again."""

import threading
import warnings
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from unimask.errors import SettingsError, UnimaskWarning
from unimask.labels import Task
from unimask.modeling.segmenter import Segmenter
from unimask.outputs import SegmenterOutput

MOST_SIZES = 8
"""Sizes that are compiled: as many as PyTorch keeps of one network."""

MENDS = {
    "cpu": "a C++ compiler and Python's headers are needed (Linux: apt install g++ python3-dev; "
    "macOS: xcode-select --install; Windows: Visual Studio's build tools)",
    "cuda": "Triton is needed (pip install triton; on Windows triton-windows), and a C compiler",
}
"""What the compiler needs, by kind of device."""

Kind = tuple[torch.Size, Task | None]


class CompileWarning(UnimaskWarning):
    """Pictures have more sizes than are compiled."""


class CompiledSegmenter:
    """Run a network, compiled for those shapes of input that came before.

    Compiling takes longer than many pictures, and each shape is compiled for itself: when it comes
    for the second time, and no more than `MOST_SIZES` of them; all others run as they are. On CUDA
    a shape's kernels are recorded as a CUDA graph at its third time and replayed from then on.
    Logits are the network's but for rounding. Threads may share it.

    Args:
        network: In eval mode, on its device. Its weights are shared and keep their names.

    Raises:
        SettingsError: The compiler does not work on this machine.
    """

    def __init__(self, network: Segmenter) -> None:
        device = next(network.parameters()).device
        try_compiler(device)
        # A second to import, which only those pay who compile.
        from torch._dynamo.exc import TorchDynamoException

        self.refusals = TorchDynamoException
        self.network = network
        self.recorded = device.type == "cuda"
        mode = "reduce-overhead" if self.recorded else None
        self.compiled: Callable[..., SegmenterOutput] = torch.compile(
            network, dynamic=False, mode=mode
        )
        self.seen: Counter[Kind] = Counter()
        self.chosen: set[Kind] = set()
        self.full = False
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[type, tuple[Segmenter]]:
        """Copies, and other processes, compile for themselves."""
        return CompiledSegmenter, (self.network,)

    def __call__(self, pixel_values: Tensor, task: Task | None = None) -> SegmenterOutput:
        """Give the network's last prediction.

        Raises:
            SettingsError: The network cannot be compiled.
        """
        if not self.chooses((pixel_values.shape, task if self.network.task_encoder else None)):
            return self.network(pixel_values, task)
        try:
            output = self.compiled(pixel_values, task)
        except self.refusals as error:
            raise SettingsError(
                f"the network cannot be compiled: {told(error)}; leave compile out, or empty the "
                "compiler's cache (TORCHINDUCTOR_CACHE_DIR)"
            ) from None
        if self.recorded:  # a graph writes to the same memory each time
            return SegmenterOutput(output.class_logits.clone(), output.mask_logits.clone())
        return output

    def chooses(self, kind: Kind) -> bool:
        """Say whether a shape runs compiled, and remember that it came."""
        with self.lock:
            self.seen[kind] += 1
            if kind in self.chosen or self.seen[kind] == 1:
                return kind in self.chosen
            if len(self.chosen) < MOST_SIZES:
                self.chosen.add(kind)
                return True
            known, self.full = self.full, True
        if not known:
            warnings.warn(
                f"{MOST_SIZES} sizes of pictures are compiled; all others run as they are",
                CompileWarning,
                stacklevel=4,
            )
        return False


def try_compiler(device: torch.device) -> None:
    """Compile something small, so that what is missing shows before anything is predicted.

    Raises:
        SettingsError: It does not work; the message says why, and what is needed.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of PyTorch's own modules, at their import
            torch.compile(one_more)(torch.zeros(8, device=device))
    except Exception as error:  # PyTorch promises no kind
        need = MENDS.get(device.type, MENDS["cpu"])
        raise SettingsError(
            f"nothing can be compiled here: {told(error)}; {need}; or leave compile out"
        ) from None
    # It tells its developers that it looks through caches.
    warnings.filterwarnings("ignore", module=r"torch\._(dynamo|inductor)\.")


def one_more(x: Tensor) -> Tensor:
    """Give the compiler something to do."""
    return x + 1


def told(error: Exception) -> str:
    """Give the first line of what the compiler says."""
    cause = getattr(error, "inner_exception", error)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0].removesuffix(".") if lines else type(cause).__name__
