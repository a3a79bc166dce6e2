"""What a machine can do at best: how fast it multiplies matrices, and how fast it copies."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from unimask.kernels.linear import product

SHAPES = ((2048, 2048, 2048), (4096, 1024, 1024), (2048, 1024, 256), (2048, 256, 1024))
"""Rows, inner and outer width of products as segmenters have them on a CPU."""

GPU_SHAPES = ((8192, 8192, 8192), (16384, 4096, 4096), (65536, 1024, 1024))

COPIED = 256 * 2**20
"""Bytes of a copy: well beyond every cache."""

ROUNDS = 5


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Give the best rate of a few matrix products, in FLOP/s (a multiply and an add are two).

    Each is taken as PyTorch does it and, on a CPU, with a weight made ready for many calls.
    """
    best = 0.0
    for rows, inner, outer in GPU_SHAPES if device.type == "cuda" else SHAPES:
        left = torch.randn(rows, inner, device=device).to(dtype)
        weight = torch.randn(outer, inner, device=device).to(dtype)
        with torch.no_grad():
            seconds = min(best_time(call, device) for call in products(left, weight))
        best = max(best, 2 * rows * inner * outer / seconds)
    return best


def products(left: Tensor, weight: Tensor) -> list[Callable[[], object]]:
    """Give the ways to multiply."""
    transposed = weight.t().contiguous()
    out = left.new_empty(left.shape[0], weight.shape[0])
    prepacked = product(weight, None)
    return [lambda: torch.mm(left, transposed, out=out), lambda: prepacked(left)]


def copy_rate(device: torch.device) -> float:
    """Give the bandwidth of memory in byte/s: what a copy reads and what it writes."""
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED / best_time(lambda: target.copy_(source), device)


def best_time(call: Callable[[], object], device: torch.device) -> float:
    """Give the least seconds of a few calls, after one that does not count."""
    call()
    times = []
    for _ in range(ROUNDS):
        wait_for(device)
        start = time.perf_counter()
        call()
        wait_for(device)
        times.append(time.perf_counter() - start)
    return min(times)


def wait_for(device: torch.device) -> None:
    """Wait until the device has done what it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
