"""Profile a forward pass and a training step on the CPU, by type of operation.

    python -m benchmarks.profiles > benchmarks/results/profiles.txt

Requires an environment with `benchmarks/requirements.txt`. Operators are grouped by type; each
counts the time spent in itself, without the operators that it calls. The FLOP of matrix products
are counted, so that their rate can be compared with the peak rate of the machine in the same run.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import unimask
from benchmarks.peers.cases import CASES, FLOAT, TRAINING, Network
from benchmarks.peers.inference import CPU
from benchmarks.peers.networks import images, silence_logs, write
from benchmarks.peers.run import MODELS
from benchmarks.peers.training import stepper
from unimask.profiling.machine import describe_machine
from unimask.profiling.rates import matrix_rate
from unimask.profiling.stages import additional_flop_counters

PASSES = 3

KINDS = {
    "matrix products and convolutions": (
        "_linear_pointwise", "addmm", "mm", "bmm", "baddbmm", "convolution", "_reorder_linear",
    ),
    "fused attention": ("_scaled_dot_product", "_softmax"),
    "sampling in deformable attention": ("_embedding_bag", "sparse", "deformable"),
    "sampling and selecting points in losses": ("grid_sampler", "topk", "sort"),
    "normalization": ("native_layer_norm", "native_group_norm", "batch_norm"),
    "resizing": ("upsample",),
    "copies and memory initialization": ("copy_", "cat", "fill_", "zero_", "empty", "index", "pad"),
}  # fmt: skip
"""Prefixes of operator names by type, without `aten::` and `mkldnn_`."""

REST = "elementwise operations and others"


def kind_of(operator: str) -> str:
    """Return the type of an operator."""
    name = operator.rpartition("::")[2].removeprefix("mkldnn_")
    return next((kind for kind, begins in KINDS.items() if name.startswith(begins)), REST)


def count(run: Callable[[], object]) -> float:
    """Count the GFLOP of matrix products in a run, in-place ones included."""
    aten = torch.ops.aten
    in_place = {
        aten.addmm_: lambda _, a, b, **__: 2 * a[0] * a[1] * b[1],
        aten.baddbmm_: lambda _, a, b, **__: 2 * a[0] * a[1] * a[2] * b[2],
    }
    with FlopCounterMode(
        display=False, custom_mapping={**additional_flop_counters(), **in_place}
    ) as counter:
        run()
    return counter.get_total_flops() / 1e9


def print_profile(name: str, run: Callable[[], object]) -> None:
    """Profile a few runs after two warm-up runs, and print the time by type of operation."""
    gflop = count(run)
    run()
    start = time.perf_counter()
    for _ in range(PASSES):
        run()
    seconds = (time.perf_counter() - start) / PASSES
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(PASSES):
            run()
    durations: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        durations[kind_of(event.key)] += event.self_cpu_time_total / 1e6 / PASSES
    products = gflop / durations["matrix products and convolutions"]
    best = matrix_rate(CPU, torch.float32) / 1e9
    print(f"\n{name}: {seconds:.2f} s; {gflop:.0f} GFLOP in products, at {products:.0f} GFLOP/s")
    print(f"(peak of the machine: {best:.0f} GFLOP/s, so at least {gflop / best:.2f} s)")
    whole = sum(durations.values())
    for kind, part in sorted(durations.items(), key=lambda pair: -pair[1]):
        print(f"{kind:50} {part:6.2f} s {100 * part / whole:4.0f} %")


def prepared(network: Network, models: Path) -> Path:
    """Write a network if its folder does not exist yet, and return the folder."""
    folder = models / network.name
    write(network, folder)
    return folder


def profile_pass(models: Path) -> None:
    """Profile a forward pass of Swin-T on one image."""
    case = CASES["swin-tiny-800x1088"]
    network = unimask.load(prepared(case.network, models), device="cpu").network
    pixel_values = images(1, case.size)
    with torch.inference_mode():
        print_profile(
            f"one pass of {case.name}, {FLOAT}", lambda: network(pixel_values, "panoptic")
        )


def profile_step(models: Path) -> None:
    """Profile a training step of Swin-T."""
    case = TRAINING["training-step"]
    step = stepper("unimask", FLOAT, case, prepared(case.network, models), CPU)
    print_profile(f"one {case.name}, {FLOAT}", step)


def main() -> None:
    """Print the machine and both profiles."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--models", type=Path, default=MODELS, help="folder for networks with random weights"
    )
    models = parser.parse_args().models
    silence_logs()
    for name, value in describe_machine(CPU).items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    profile_pass(models)
    profile_step(models)


if __name__ == "__main__":
    main()
