"""Time the implementations of deformable attention, with and without gradients.

The implementations run in turns on one thread, and processor time is measured, so that neither the
order nor other work on the machine matters. Times on several threads are not measured here.

    python -m benchmarks.deformable_attention
"""

import statistics
import time
from collections.abc import Callable

import torch

from unimask.kernels.deformable_attention import (
    deformable_attention,
    deformable_attention_reference,
)

PATHS = {"reference": deformable_attention_reference, "gather": deformable_attention}
CASES = {
    "1 image 800x1088, dim 256": (1, (800, 1088), 256),
    "6 images 256x256, dim 128": (6, (256, 256), 128),
    "1 image 256x256, dim 128": (1, (256, 256), 128),
}
HEADS, POINTS, ROUNDS = 8, 4, 7


def example(
    images: int, size: tuple[int, int], dim: int
) -> tuple[list[tuple[int, int]], list[torch.Tensor]]:
    """Draw random inputs of an encoder layer: points some steps around each position."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(size[0] // stride, size[1] // stride) for stride in (32, 16, 8)]
    centres = torch.cat(
        [
            torch.cartesian_prod((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w)
            for h, w in shapes
        ]
    ).flip(-1)
    n = len(centres)
    value = torch.randn(images, n, HEADS, dim // HEADS, generator=generator)
    # One linear layer computes them all: x, y and logits are planes of its output.
    planes = torch.randn(images, n, 3, HEADS, 3, POINTS, generator=generator)
    offsets, logits = planes[:, :, :2].movedim(2, -1).mul_(2.5), planes[:, :, 2]
    return shapes, [value, centres, offsets, logits]


def calls(path: Callable, shapes: list, inputs: list[torch.Tensor]) -> list[Callable[[], None]]:
    """Return one call without gradients, and one with gradients."""
    value, centres, offsets, logits = [tensor.detach() for tensor in inputs]
    for tensor in (value, offsets, logits):
        tensor.requires_grad_()

    def values() -> None:
        with torch.no_grad():
            path(value, shapes, centres, offsets, logits)

    def gradients() -> None:
        path(value, shapes, centres, offsets, logits).sum().backward()

    return [values, gradients]


def milliseconds(call: Callable[[], None]) -> float:
    """Measure the processor time of one call."""
    start = time.process_time()
    call()
    return 1000 * (time.process_time() - start)


def main() -> None:
    """Print a line per case and path."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, float32, 1 thread; processor time, median of {ROUNDS}, ms")
    for case, arguments in CASES.items():
        shapes, inputs = example(*arguments)
        timed = {name: calls(path, shapes, inputs) for name, path in PATHS.items()}
        times = {name: ([], []) for name in PATHS}
        for index in range(ROUNDS + 1):
            for name, pair in timed.items():
                for durations, call in zip(times[name], pair, strict=True):
                    duration = milliseconds(call)
                    if index > 0:  # the first round warms up
                        durations.append(duration)
        for name, durations in times.items():
            values, gradients = map(statistics.median, durations)
            print(f"{case}  {name:9}  values {values:7.1f}  with gradients {gradients:7.1f}")


if __name__ == "__main__":
    main()
