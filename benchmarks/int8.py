"""Measure networks and layers in int8 beside float32 on a CPU, and the agreement of their pixels.

    python -m benchmarks.int8 [--images FOLDER [--every N]] > benchmarks/results/int8.txt

Both alternate; times are CPU times of one thread, medians of `RUNS`. The machine needs AVX-512
VNNI; `ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI` hides AMX from oneDNN. FOLDER holds images for `nuclei`,
of which every Nth is read; without it, agreement is not measured.
"""

import argparse
import copy
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

import unimask
from benchmarks.half_precision import label_map
from unimask.inference import Predictor
from unimask.kernels.convolution import convolution_3x3
from unimask.kernels.int8 import Int8Convolution, Int8Linear, chained
from unimask.kernels.linear import Activation, product
from unimask.processing.images import list_images
from unimask.profiling.machine import describe_machine
from unimask.runtimes.int8 import prepare_int8

RUNS = 5
CPU = torch.device("cpu")
PAIRS: tuple[tuple[int, int, int, Activation], ...] = (
    (17850, 256, 1024, "relu"),
    (54400, 96, 384, "gelu"),
    (3400, 384, 1536, "gelu"),
)
"""Rows, channels, hidden channels and activation of feed-forward parts of Swin-T at 800x1088."""

CONVOLUTIONS = (
    ("1x1", 96, 256, 1, 1, (200, 272)),
    ("3x3", 256, 256, 3, 1, (200, 272)),
    ("3x3", 64, 64, 3, 1, (64, 64)),
    ("3x3 depthwise", 96, 96, 3, 96, (200, 272)),
)
"""Kind, channels in and out, side, groups and size of the map."""


def milliseconds(*functions: Callable[[], object]) -> list[float]:
    """Measure functions alternately; return the median CPU time of each."""
    times: list[list[float]] = [[] for _ in functions]
    for run in range(RUNS + 1):
        for function, own in zip(functions, times, strict=True):
            start = time.process_time()
            function()
            if run >= 1:
                own.append(1000 * (time.process_time() - start))
    return [median(own) for own in times]


def print_row(name: str, exact: float, rounded: float) -> None:
    """Print the times of both types and their ratio."""
    print(f"{name:44} {exact:9.2f} {rounded:9.2f} {rounded / exact:6.2f}")


def compare_layers() -> None:
    """Print the times of feed-forward parts and convolutions, quantization included."""
    for rows, channels, hidden, activation in PAIRS:
        x = torch.randn(rows, channels)
        weights = torch.randn(hidden, channels), torch.randn(channels, hidden)
        first, second = product(weights[0], None, activation), product(weights[1], None)
        pair = Int8Linear(weights[0], None, activation), Int8Linear(weights[1], None, "none")
        both = chained(*pair)
        times = milliseconds(lambda: second(first(x)), lambda: both(x))  # noqa: B023
        print_row(f"{rows}x{channels}->{hidden}->{channels} {activation}", *times)
    for kind, inputs, outputs, side, groups, size in CONVOLUTIONS:
        layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, groups=groups)
        x = torch.randn(1, inputs, *size).contiguous(memory_format=torch.channels_last)
        rounded = Int8Convolution(layer, layer.weight, layer.bias)
        exact = layer if side == 1 or groups > 1 else lambda x: convolution_3x3(x, layer)  # noqa: B023
        times = milliseconds(lambda: exact(x), lambda: rounded(x))  # noqa: B023
        print_row(f"{kind} {inputs}->{outputs} on {size[0]}x{size[1]}", *times)


def compare_networks(exact: Predictor, rounded: Predictor, pixels: Tensor) -> None:
    """Print the times of a network."""
    times = milliseconds(lambda: exact.network(pixels), lambda: rounded.network(pixels))
    print_row(f"{exact.name}, {pixels.shape[2]}x{pixels.shape[3]}", *times)


def compare_pixels(exact: Predictor, rounded: Predictor, images: list[Path]) -> None:
    """Print the share of pixels with the same class."""
    for task in exact.tasks:
        same, pixels, counts = 0, 0, [0, 0]
        for path in images:
            results = [model.predict(path, task) for model in (exact, rounded)]
            labels = [label_map(result) for result in results]
            same, pixels = same + int((labels[0] == labels[1]).sum()), pixels + labels[0].size
            counts = [n + len(result.segments) for n, result in zip(counts, results, strict=True)]
        print(
            f"  {task}: {100 * same / pixels:.3f} % of all pixels equal, {len(images)} images; "
            f"segments {counts[0]} in float32, {counts[1]} in int8"
        )


def in_int8(model: Predictor) -> Predictor:
    """Return a copy of a model in int8."""
    rounded = copy.deepcopy(model)
    prepare_int8(rounded.network)
    return rounded


@torch.inference_mode()
def main() -> None:
    """Print layers, networks and agreement."""
    parser = argparse.ArgumentParser(description="Measure int8 beside float32.")
    parser.add_argument("--images", type=Path, help="folder of images of nuclei")
    parser.add_argument("--every", type=int, default=1, help="read every Nth image")
    arguments = parser.parse_args()
    folder: Path | None = arguments.images
    torch.set_num_threads(1)
    for name, value in describe_machine(CPU).items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    print(f"ONEDNN_MAX_CPU_ISA: {os.environ.get('ONEDNN_MAX_CPU_ISA', 'not set')}")
    print(f"\n{'milliseconds of CPU time, medians':44} {'float32':>9} {'int8':>9} {'ratio':>6}")
    compare_layers()
    with torch.inference_mode(False):
        torch.manual_seed(0)
        labels = [f"class {number}" for number in range(80)]
        swin = unimask.build("mask2former-swin-tiny", labels=labels, device="cpu")
        swin.network.requires_grad_(False)
        nuclei = unimask.load("nuclei", device="cpu")
        models = [(swin, in_int8(swin)), (nuclei, in_int8(nuclei))]
    compare_networks(*models[0], torch.randn(1, 3, 800, 1088))
    image = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    images = [] if folder is None else list_images(folder)[:: arguments.every]
    first = nuclei.prepare(images[0] if images else image, None, 10**8)
    compare_networks(*models[1], first.preprocessed.pixel_values[None])
    if images:
        compare_pixels(*models[1], images)


if __name__ == "__main__":
    main()
