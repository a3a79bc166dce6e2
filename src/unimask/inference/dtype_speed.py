"""Measurement of how much faster the processor computes in bfloat16 than in float32."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unimask.formats.user_cache import cached_numbers
from unimask.kernels.depthwise_convolution import depthwise_convolution
from unimask.kernels.linear import product
from unimask.kernels.processor import instruction_sets, processor_name, read_cpuinfo

TYPES = (torch.float32, torch.bfloat16)

MEMORY_SHARE = 2 / 3
"""Share of a memory-bound network's time in float32 that is spent outside matrix products, as in a
depthwise convolution. `benchmarks/precision.py` compares the estimates with times of networks.
"""

ROWS, INNER, OUTER = 1024, 256, 512
"""Rows, inner width and outer width of the matrix product."""

MAPS, KERNEL = (2, 128, 64, 64), 3
"""Shape (b, c, h, w) of the depthwise convolution's input, and side of its kernel."""

MIN_ROUNDS, MAX_ROUNDS = 2, 8
SECONDS = 0.05
"""Numbers of timed calls in each type, and the time after which no more than the least follow."""

REVISION = 1
"""Number to increase when the measurement changes, so that earlier results are not read."""

HOPELESS = 10, 0.03
"""Times the duration in float32, and seconds, beyond both of which bfloat16 is not timed again."""

SHORTEST = 1e-7
"""Shortest time in seconds of a call; the clock may measure none."""

RESOLUTION = time.get_clock_info("thread_time").resolution
clock = time.thread_time if RESOLUTION < 1e-5 else time.perf_counter
"""CPU time of this thread, which other programs do not lengthen, where the system measures it."""


@dataclass(frozen=True, slots=True)
class Speedups:
    """Time in float32 / time in bfloat16.

    Attributes:
        product: That of a matrix product.
        depthwise: That of a depthwise convolution.
    """

    product: float
    depthwise: float

    def combined(self, *, memory_bound: bool) -> float:
        """Estimate the speedup of a network, whose time is products unless it is memory-bound."""
        share = MEMORY_SHARE if memory_bound else 0.0
        return 1 / ((1 - share) / self.product + share / self.depthwise)


def measured_speedups(*, training: bool) -> Speedups:
    """Return the processor's speedups, measured once per processor and version of PyTorch.

    Args:
        training: Whether the backward pass is included, with float32 weights under autocast.
    """
    numbers = cached_numbers(
        "bfloat16",
        cache_key(training),
        ("product", "depthwise"),
        lambda: measure_speedups(training=training),
    )
    return Speedups(numbers["product"], numbers["depthwise"])


def cache_key(training: bool) -> dict[str, object]:
    """Return what the speed of a type depends on."""
    cpuinfo = read_cpuinfo()
    return {
        "revision": REVISION,
        "work": "training" if training else "prediction",
        "processor": processor_name(cpuinfo),
        "instructions": instruction_sets(cpuinfo),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "limit": os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA"),
        "torch": torch.__version__,
    }


def measure_speedups(*, training: bool) -> dict[str, float]:
    """Time a matrix product and a depthwise convolution in both types.

    One thread computes: its CPU time does not depend on what else the machine computes, and how
    the types compare hardly depends on the number of threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(False), torch.set_grad_enabled(training):
            works = {"product": product_call, "depthwise": depthwise_call}
            return {
                name: speedup(*(prepare(kind, training) for kind in TYPES))
                for name, prepare in works.items()
            }
    finally:
        torch.set_num_threads(threads)


def speedup(in_float32: Callable[[], object], in_bfloat16: Callable[[], object]) -> float:
    """Return the quotient of the least times of two calls, which take turns.

    The first call of each prepares what later calls reuse. A type that takes many times as long in
    it is not timed again: without instructions of the processor for it, a call takes very long.
    """
    in_float32()
    least32, least16 = timed(in_float32), float("inf")
    first = timed(in_bfloat16)
    if first > max(HOPELESS[0] * least32, HOPELESS[1]):
        return least32 / first
    end = clock() + SECONDS
    for done in range(MAX_ROUNDS):
        if done >= MIN_ROUNDS and clock() > end:
            break
        least32 = min(least32, timed(in_float32))
        least16 = min(least16, timed(in_bfloat16))
    return least32 / least16


def timed(call: Callable[[], object]) -> float:
    """Return the time of a call in seconds."""
    start = clock()
    call()
    return max(clock() - start, SHORTEST)


def product_call(kind: torch.dtype, training: bool) -> Callable[[], object]:
    """Return a matrix product in a type: with a prepacked weight, or with its backward pass."""
    if training:
        return step(kind, ones(ROWS, INNER), ones(OUTER, INNER), lambda x, w: product(w, None)(x))
    rows = ones(ROWS, INNER).to(kind)
    multiply = product(ones(OUTER, INNER).to(kind), None)
    return lambda: multiply(rows)


def depthwise_call(kind: torch.dtype, training: bool) -> Callable[[], object]:
    """Return a depthwise convolution in a type, with its backward pass for training."""

    def convolve(x: Tensor, weight: Tensor) -> Tensor:
        return depthwise_convolution(x, weight, None, 1, (KERNEL // 2, KERNEL // 2))

    maps = ones(*MAPS).contiguous(memory_format=torch.channels_last)
    weight = ones(MAPS[1], 1, KERNEL, KERNEL)
    if training:
        return step(kind, maps, weight, convolve)
    maps, weight = maps.to(kind), weight.to(kind)
    return lambda: convolve(maps, weight)


def ones(*shape: int) -> Tensor:
    """Return a tensor without drawing random numbers, whose sequence belongs to the caller."""
    return torch.ones(shape)


def step(
    kind: torch.dtype, x: Tensor, weight: Tensor, layer: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[], object]:
    """Return the forward and backward pass of a layer, under autocast for bfloat16."""
    x.requires_grad_()
    weight.requires_grad_()

    def run() -> tuple[Tensor, ...]:
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
            out = layer(x, weight)
        return torch.autograd.grad(out, (x, weight), torch.ones_like(out))

    return run
