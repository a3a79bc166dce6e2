"""Launch of the Triton kernels of deformable attention."""

from functools import cache, lru_cache
from itertools import accumulate
from typing import Any

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]
from jaxtyping import Float, Int
from torch import Tensor

from unimask.kernels.deformable_attention.sampling_points import (
    add_border,
    gradients_from_planes,
    locate,
    neighbour_rows,
    neighbour_weights,
    planes,
    remove_border,
    short_softmax,
    table_grid,
)
from unimask.kernels.deformable_attention.triton_kernels import backward_kernel, forward_kernel

TILES = ((512, 4), (1024, 8), (1024, 4), (256, 2))
"""Candidates of autotuning: channels of all queries of a program, and its number of warps."""


def triton_forward(
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Compute `deformable_attention_reference`."""
    out = value.new_empty(*logits.shape[:3], value.shape[3])
    launch(forward_kernel, (value, centres, *in_rows(offsets, logits)), shapes, out)
    return out.flatten(2)


def triton_backward(
    grad_out: Float[Tensor, "b q d"],
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of `value`, `offsets` and `logits`.

    Programs add to the same positions atomically, in no fixed order: the gradient of `value`
    differs between runs by rounding. With `torch.use_deterministic_algorithms` PyTorch adds them
    in order, which is slower.
    """
    inputs = value, centres, *in_rows(offsets, logits)
    (b, q, m, k), dtype = inputs[-1].shape, torch.promote_types(value.dtype, torch.float32)
    grad_value = value.new_zeros(value.shape, dtype=dtype)
    grad_steps = value.new_empty(b, q, 2, m, k, dtype=dtype)
    grad_scores = value.new_empty(b, q, m, k, dtype=dtype)
    deterministic = torch.are_deterministic_algorithms_enabled()
    outputs = grad_value, grad_steps, grad_scores
    launch(backward_kernel, inputs, shapes, grad_out.contiguous(), *outputs, ADD=not deterministic)
    if deterministic:
        grad_value = deterministic_value_gradient(grad_out, inputs, shapes)
    grads = gradients_from_planes(grad_steps, grad_scores, offsets, logits)
    return grad_value.to(value.dtype), *grads


def launch(
    kernel: Any,
    inputs: tuple[Tensor, ...],
    shapes: list[tuple[int, int]],
    *others: Tensor,
    **constants: bool,
) -> None:
    """Run a kernel for every query of every head and image."""
    value, centres, x, y, scores = inputs
    (b, n, m, c), (q, k), device = value.shape, scores.shape[1::2], value.device
    lanes = triton.next_power_of_2(c)
    wide = tl.float64 if value.dtype == torch.float64 else tl.float32
    # Autotuning depends on timings, and the tile size changes the rounding of sums.
    autotune = device.type == "cuda" and not torch.are_deterministic_algorithms_enabled()
    run, fixed = (tuned(kernel, lanes), {}) if autotune else (kernel, options(lanes)[0])
    levels = level_table(tuple(shapes), device.type == "cuda").to(device, non_blocking=True)
    with torch.cuda.device_of(value):
        run[lambda chosen: (triton.cdiv(q, chosen["Q"]), b * m)](
            value.contiguous(), centres.contiguous(), x, y, scores, levels, *others,
            n, q, c, x.stride(1), scores.stride(1),
            HEADS=m, LEVELS=len(shapes), POINTS=k // len(shapes),
            SLOTS=triton.next_power_of_2(k), C=lanes, WIDE=wide, **constants, **fixed,
        )  # fmt: skip


def in_rows(
    offsets: Float[Tensor, "b q m l p 2"], logits: Float[Tensor, "b q m l p"]
) -> tuple[Float[Tensor, "b q m k"], Float[Tensor, "b q m k"], Float[Tensor, "b q m k"]]:
    """Return x, y and logits with one contiguous row per query at a constant stride.

    The output of one joint linear layer has this layout; any other is copied.
    """
    x, y, scores = planes(offsets, logits)
    q, k = scores.shape[1::2]
    if x.stride() != (q * x.stride(1), x.stride(1), k, 1):
        x, y = x.contiguous(), y.contiguous()
    if scores.stride() != (q * scores.stride(1), scores.stride(1), k, 1):
        scores = scores.contiguous()
    return x, y, scores


@cache
def tuned(kernel: Any, lanes: int) -> Any:
    """Return a kernel that autotunes its tile size at the first call with new constants."""
    configs = [
        triton.Config({"Q": option["Q"]}, num_warps=option["num_warps"])
        for option in options(lanes)
    ]
    accumulated = ["grad_value"] if kernel is backward_kernel else None
    return triton.autotune(configs, key=["HEADS", "LEVELS", "POINTS"], reset_to_zero=accumulated)(
        kernel
    )


def options(lanes: int) -> list[dict[str, int]]:
    """Return the candidate numbers of queries per program, each with a number of warps."""
    return [{"Q": max(1, size // lanes), "num_warps": warps} for size, warps in TILES]


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def level_table(shapes: tuple[tuple[int, int], ...], pinned: bool) -> Int[Tensor, "l 3"]:
    """Return height, width and first position of each map as a tensor in host memory.

    Pinned memory is copied to the GPU without synchronization, also while a CUDA graph is captured;
    a cached GPU tensor would lie in memory that a replay of the graph overwrites.
    """
    ends = accumulate(h * w for h, w in shapes)
    table = [(h, w, end - h * w) for (h, w), end in zip(shapes, ends, strict=True)]
    return torch.tensor(table, dtype=torch.int32, pin_memory=pinned)


def deterministic_value_gradient(
    grad_out: Float[Tensor, "b q d"], inputs: tuple[Tensor, ...], shapes: list[tuple[int, int]]
) -> Float[Tensor, "b n m c"]:
    """Compute the gradient of `value` by PyTorch's deterministic sums."""
    dtype = torch.promote_types(grad_out.dtype, torch.float32)
    value, centres, x, y, scores = (part.to(dtype) for part in inputs)
    m, k = scores.shape[2:]
    grid = table_grid(tuple(shapes), m, k // len(shapes), value.device)
    tables = torch.zeros_like(add_border(value, shapes))
    for image, table in enumerate(tables.flatten(1, 2)):
        points = locate(grid, centres, x[image], y[image])
        matrix = neighbour_weights(points, short_softmax(scores[image]))
        bags = grad_out[image].to(dtype).unflatten(1, (m, -1)).flatten(0, 1)
        columns = neighbour_rows(grid, points).long().unbind(1), matrix.unbind(1)
        for rows, weights in zip(*columns, strict=True):
            table.index_add_(0, rows, weights[:, None] * bags)
    return remove_border(tables, shapes, value.shape[1])
