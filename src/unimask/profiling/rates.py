"""Maximum speed of the machine: rates of matrix products and of copies."""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from unimask.kernels.int8 import Int8Linear, quantize
from unimask.kernels.linear import product

SHAPES = ((2048, 2048, 2048), (4096, 1024, 1024), (2048, 1024, 256), (2048, 256, 1024))
"""Rows, inner width and outer width of matrix products that are typical of segmenters on a CPU."""

GPU_SHAPES = ((8192, 8192, 8192), (16384, 4096, 4096), (65536, 1024, 1024))

COPY_BYTES = 256 * 2**20
"""Size of a copy in bytes, far beyond every cache."""

TIMED_CALLS = 5


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the highest rate of several matrix products in FLOP/s (multiply and add are two).

    Each is computed by PyTorch's function and, on a CPU, with a prepacked weight.
    """
    best = 0.0
    for rows, inner, outer in GPU_SHAPES if device.type == "cuda" else SHAPES:
        left = torch.randn(rows, inner, device=device).to(dtype)
        weight = torch.randn(outer, inner, device=device).to(dtype)
        with torch.no_grad():
            seconds = min(best_time(call, device) for call in product_calls(left, weight))
        best = max(best, 2 * rows * inner * outer / seconds)
    return best


def int8_rate() -> float:
    """Measure the highest rate of products of 8-bit integers on the CPU in operations/s."""
    rates = []
    for rows, inner, outer in SHAPES:
        left = quantize(torch.randn(rows, inner))
        layer = Int8Linear(torch.randn(outer, inner), None, "none")
        call = partial(layer.product, left, 1.0, 128, torch.uint8)
        rates.append(2 * rows * inner * outer / best_time(call, torch.device("cpu")))
    return max(rates)


def product_calls(left: Tensor, weight: Tensor) -> list[Callable[[], object]]:
    """Return the implementations of the product."""
    transposed = weight.t().contiguous()
    out = left.new_empty(left.shape[0], weight.shape[0])
    prepacked = product(weight, None)
    return [lambda: torch.mm(left, transposed, out=out), lambda: prepacked(left)]


def copy_rate(device: torch.device) -> float:
    """Measure the memory bandwidth of a copy in byte/s, counting both reads and writes."""
    source = torch.ones(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / best_time(lambda: target.copy_(source), device)


def best_time(call: Callable[[], object], device: torch.device) -> float:
    """Return the minimum time of several calls in seconds, after one warm-up call."""
    call()
    times = []
    for _ in range(TIMED_CALLS):
        synchronize(device)
        start = time.perf_counter()
        call()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
