"""Deformable attention by Triton: how its kernels are called."""

from functools import cache, lru_cache
from itertools import accumulate
from typing import Any

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]
from jaxtyping import Float, Int
from torch import Tensor

from unimask.kernels.deformable_attention.points import (
    bordered,
    entries,
    from_planes,
    lay_grid,
    locate,
    neighbours,
    planes,
    softmax_of_few,
    without_border,
)
from unimask.kernels.deformable_attention.triton_kernels import attend, go_back

TILES = ((512, 4), (1024, 8), (1024, 4), (256, 2))
"""Channels of all queries that a program holds, and its warps: what is tried at the first call."""


def fused_values(
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Give what `deformable_attention_reference` defines."""
    out = value.new_empty(*logits.shape[:3], value.shape[3])
    launch(attend, (value, centres, *in_rows(offsets, logits)), shapes, out)
    return out.flatten(2)


def fused_gradients(
    to_out: Float[Tensor, "b q d"],
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the gradients of `value`, `offsets` and `logits`.

    Programs add to the same positions in no order: the gradient of `value` differs from run to
    run by rounding. With `torch.use_deterministic_algorithms` PyTorch adds, in order and slower.
    """
    inputs = value, centres, *in_rows(offsets, logits)
    (b, q, m, k), wide = inputs[-1].shape, torch.promote_types(value.dtype, torch.float32)
    to_value = value.new_zeros(value.shape, dtype=wide)
    to_steps = value.new_empty(b, q, 2, m, k, dtype=wide)
    to_scores = value.new_empty(b, q, m, k, dtype=wide)
    in_order = torch.are_deterministic_algorithms_enabled()
    outputs = to_value, to_steps, to_scores
    launch(go_back, inputs, shapes, to_out.contiguous(), *outputs, ADD=not in_order)
    if in_order:
        to_value = add_in_order(to_out, inputs, shapes)
    return to_value.to(value.dtype), *from_planes(to_steps, to_scores, offsets, logits)


def launch(
    kernel: Any,
    inputs: tuple[Tensor, ...],
    shapes: list[tuple[int, int]],
    *others: Tensor,
    **constants: bool,
) -> None:
    """Run a kernel for every query of every head and picture."""
    value, centres, x, y, scores = inputs
    (b, n, m, c), (q, k), device = value.shape, scores.shape[1::2], value.device
    lanes = triton.next_power_of_2(c)
    wide = tl.float64 if value.dtype == torch.float64 else tl.float32
    # Tuning decides by the clock, and how many sums are formed at once decides their rounding.
    by_the_clock = device.type == "cuda" and not torch.are_deterministic_algorithms_enabled()
    run, fixed = (tuned(kernel, lanes), {}) if by_the_clock else (kernel, options(lanes)[0])
    with torch.cuda.device_of(value):
        run[lambda chosen: (triton.cdiv(q, chosen["Q"]), b * m)](
            value.contiguous(), centres.contiguous(), x, y, scores,
            lay_levels(tuple(shapes), device.type == "cuda").to(device, non_blocking=True), *others,
            n, q, c, x.stride(1), scores.stride(1),
            HEADS=m, LEVELS=len(shapes), POINTS=k // len(shapes),
            SLOTS=triton.next_power_of_2(k), C=lanes, WIDE=wide, **constants, **fixed,
        )  # fmt: skip


def in_rows(
    offsets: Float[Tensor, "b q m l p 2"], logits: Float[Tensor, "b q m l p"]
) -> tuple[Float[Tensor, "b q m k"], Float[Tensor, "b q m k"], Float[Tensor, "b q m k"]]:
    """Give x, y and logits with the numbers of a query in a row, rows equally far apart.

    They lie like that where one linear layer gives them all; else they are copied.
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
    """Give a kernel that tries its options at the first call of a kind, and keeps the fastest."""
    configs = [
        triton.Config({"Q": option["Q"]}, num_warps=option["num_warps"])
        for option in options(lanes)
    ]
    added = ["to_value"] if kernel is go_back else None
    return triton.autotune(configs, key=["HEADS", "LEVELS", "POINTS"], reset_to_zero=added)(kernel)


def options(lanes: int) -> list[dict[str, int]]:
    """Give numbers of queries for a program, with its warps."""
    return [{"Q": max(1, size // lanes), "num_warps": warps} for size, warps in TILES]


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def lay_levels(shapes: tuple[tuple[int, int], ...], pinned: bool) -> Int[Tensor, "l 3"]:
    """Give height, width and first position of each map, on the host.

    From pinned memory they reach the card without a wait, also while a CUDA graph is recorded; a
    tensor that was kept on the card would lie in the memory that the graph's next run overwrites.
    """
    ends = accumulate(h * w for h, w in shapes)
    table = [(h, w, end - h * w) for (h, w), end in zip(shapes, ends, strict=True)]
    return torch.tensor(table, dtype=torch.int32, pin_memory=pinned)


def add_in_order(
    to_out: Float[Tensor, "b q d"], inputs: tuple[Tensor, ...], shapes: list[tuple[int, int]]
) -> Float[Tensor, "b n m c"]:
    """Give the gradient of `value` by PyTorch's sums, which keep an order if told to."""
    wide = torch.promote_types(to_out.dtype, torch.float32)
    value, centres, x, y, scores = (part.to(wide) for part in inputs)
    m, k = scores.shape[2:]
    grid = lay_grid(tuple(shapes), m, k // len(shapes), value.device)
    tables = torch.zeros_like(bordered(value, shapes))
    for picture, table in enumerate(tables.flatten(1, 2)):
        points = locate(grid, centres, x[picture], y[picture])
        matrix = entries(points, softmax_of_few(scores[picture]))
        bags = to_out[picture].to(wide).unflatten(1, (m, -1)).flatten(0, 1)
        columns = neighbours(grid, points).long().unbind(1), matrix.unbind(1)
        for rows, weights in zip(*columns, strict=True):
            table.index_add_(0, rows, weights[:, None] * bags)
    return without_border(tables, shapes, value.shape[1])
