"""Compilation of a network with torch.compile for recurring input sizes."""

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

MAX_COMPILED_SHAPES = 8
"""Largest number of compiled sizes: PyTorch's limit for one function."""

COMPILER_REQUIREMENTS = {
    "cpu": "a C++ compiler and Python's headers are needed (Linux: apt install g++ python3-dev; "
    "macOS: xcode-select --install; Windows: Visual Studio's build tools)",
    "cuda": "Triton is needed (pip install triton; on Windows triton-windows), and a C compiler",
}
"""Requirements of the compiler by type of device."""

ShapeKey = tuple[torch.Size, Task | None]


class CompileWarning(UnimaskWarning):
    """Warning that images have more sizes than are compiled."""


class CompiledSegmenter:
    """Wrapper that runs a network compiled for recurring input shapes.

    Compiling takes longer than many predictions, and each shape is compiled separately: at its
    second occurrence, up to `MAX_COMPILED_SHAPES` shapes; all others run uncompiled. On CUDA, a
    shape's kernels are recorded as a CUDA graph at its third occurrence and replayed afterwards.
    Logits equal the network's up to rounding. Thread-safe.

    Args:
        network: Network in eval mode on its device; its weights are shared.

    Raises:
        SettingsError: The compiler does not work on this machine.
    """

    def __init__(self, network: Segmenter) -> None:
        device = next(network.parameters()).device
        try_compiler(device)
        # Imported here because it takes a second, which only users of the compiler should pay.
        from torch._dynamo.exc import TorchDynamoException

        self.compiler_errors = TorchDynamoException
        self.network = network
        self.records_graphs = device.type == "cuda"
        mode = "reduce-overhead" if self.records_graphs else None
        self.compiled: Callable[..., SegmenterOutput] = torch.compile(
            network, dynamic=False, mode=mode
        )
        self.shape_counts: Counter[ShapeKey] = Counter()
        self.compiled_shapes: set[ShapeKey] = set()
        self.limit_reached = False
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[type, tuple[Segmenter]]:
        """Pickle the network only; copies and other processes compile it again."""
        return CompiledSegmenter, (self.network,)

    def __call__(self, pixel_values: Tensor, task: Task | None = None) -> SegmenterOutput:
        """Predict with the network, compiled if the input shape recurs.

        Raises:
            SettingsError: The network cannot be compiled.
        """
        if not self.runs_compiled(
            (pixel_values.shape, task if self.network.task_encoder else None)
        ):
            return self.network(pixel_values, task)
        try:
            output = self.compiled(pixel_values, task)
        except self.compiler_errors as error:
            raise SettingsError(
                f"the network cannot be compiled: {first_error_line(error)}; leave compile out, or "
                "empty the compiler's cache (TORCHINDUCTOR_CACHE_DIR)"
            ) from None
        if self.records_graphs:  # a CUDA graph reuses its output memory
            return SegmenterOutput(output.class_logits.clone(), output.mask_logits.clone())
        return output

    def runs_compiled(self, key: ShapeKey) -> bool:
        """Count an occurrence of a shape and return whether it runs compiled."""
        with self.lock:
            self.shape_counts[key] += 1
            if key in self.compiled_shapes or self.shape_counts[key] == 1:
                return key in self.compiled_shapes
            if len(self.compiled_shapes) < MAX_COMPILED_SHAPES:
                self.compiled_shapes.add(key)
                return True
            was_reached, self.limit_reached = self.limit_reached, True
        if not was_reached:
            warnings.warn(
                f"{MAX_COMPILED_SHAPES} sizes of images are compiled; all others run as they are",
                CompileWarning,
                stacklevel=4,
            )
        return False


def try_compiler(device: torch.device) -> None:
    """Compile a small function, so that a missing compiler is reported before any prediction.

    Raises:
        SettingsError: Compilation fails; the message gives the reason and what is needed.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # warnings of PyTorch's modules at import
            torch.compile(increment)(torch.zeros(8, device=device))
    except Exception as error:  # PyTorch documents no error type
        need = COMPILER_REQUIREMENTS.get(device.type, COMPILER_REQUIREMENTS["cpu"])
        raise SettingsError(
            f"nothing can be compiled here: {first_error_line(error)}; {need}; or leave compile out"
        ) from None
    # PyTorch's compiler warns about its own caches.
    warnings.filterwarnings("ignore", module=r"torch\._(dynamo|inductor)\.")


def increment(x: Tensor) -> Tensor:
    """Return x + 1, as a small function to compile."""
    return x + 1


def first_error_line(error: Exception) -> str:
    """Return the first line of a compiler error."""
    cause = getattr(error, "inner_exception", error)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0].removesuffix(".") if lines else type(cause).__name__
