"""Deformable attention on a CPU: every sample is four weighted rows of one embedding bag.

Seen as algebra, the samples are one sparse matrix: a row for each query and head, and in it the
weights of the value rows that it reads. The output is that matrix times the values; the gradient
of the values is its transpose times the gradient of the output; the gradient of its entries is
one dot product each. All three run over memory once, without the tensor of samples that
`grid_sample` writes and reads again.

A head reads rows of its own alone. So the matrix is made for as many heads at a time as fit the
caches, one for large pictures; the backward pass makes it again rather than keep it.
"""

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
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
    to_inputs,
    without_border,
)

BLOCK = 2**18
"""Sampling points whose place is found at a time: each step of it then fits the caches."""

LEARNED = 2**16
"""The same with gradients, where threads share the heads: they get one each of large pictures."""


def gather_values(
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Give what `deformable_attention_reference` defines."""
    tables = bordered(value.to(torch.promote_types(value.dtype, torch.float32)), shapes)
    return sample(tables, shapes, centres, offsets, logits).to(value.dtype)


def sample(
    tables: Float[Tensor, "b m r c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Read the tables of values where the points are.

    The arithmetic is float32 or wider: on a CPU half precision would be slower here.
    """
    dtype = tables.dtype
    steps_x, steps_y, scores = (part.to(dtype) for part in planes(offsets, logits))
    (b, q, m, k), centres = scores.shape, centres.to(dtype)
    out = tables.new_empty(b, q, m, tables.shape[3])
    grid = lay_grid(tuple(shapes), m, k // len(shapes), tables.device)
    for picture, table in enumerate(tables.flatten(1, 2)):
        for block in runs(q, m * k, BLOCK):
            part = picture, block
            points = locate(grid, centres[block], steps_x[part], steps_y[part])
            matrix, rows = entries(points, softmax_of_few(scores[part])), neighbours(grid, points)
            bags = F.embedding_bag(rows, table, mode="sum", per_sample_weights=matrix)
            out[part] = bags.view(-1, m, out.shape[3])
    return out.flatten(2)


def gather_gradients(
    to_out: Float[Tensor, "b q d"],
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the gradients of `value`, `offsets` and `logits`.

    SciPy knows one thread, so as many transposed products run at once as PyTorch has threads.
    Each has heads of its own: their number changes no bit.
    """
    dtype = torch.promote_types(value.dtype, torch.float32)
    steps_x, steps_y, scores = (part.to(dtype) for part in planes(offsets, logits))
    (b, q, m, k), centres = scores.shape, centres.to(dtype)
    tables = bordered(value.to(dtype), shapes)
    to_tables, to_scores = torch.empty_like(tables), tables.new_empty(scores.shape)
    to_steps = tables.new_empty(b, q, 2, m, k)
    to_bags = to_out.to(dtype).unflatten(2, (m, -1))
    parts = list(product(range(b), runs(m, q * k, LEARNED)))
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        for batch in (parts[i : i + threads] for i in range(0, len(parts), threads)):
            factors = []
            for picture, heads in batch:
                part = picture, slice(None), heads
                table = tables[picture, heads].flatten(0, 1)
                grid = lay_grid(tuple(shapes), len(range(m)[heads]), k // len(shapes), value.device)
                points = locate(grid, centres, steps_x[part], steps_y[part])
                weights, rows = softmax_of_few(scores[part]), neighbours(grid, points)
                bags = to_bags[part].flatten(0, 1).contiguous()
                dots = dot_products(rows, bags, table).view(q, -1, 4, k)
                to_x, to_y = to_steps[picture, :, :, heads].unbind(1)
                to_inputs(points, weights, dots, (to_x, to_y, to_scores[part]))
                factors.append((rows, entries(points, weights), bags, len(table)))
            run = pool.map if len(batch) > 1 else map
            for (picture, heads), found in zip(
                batch, run(transposed_product, factors), strict=True
            ):
                to_tables[picture, heads].copy_(found.view(to_tables[picture, heads].shape))
    to_value = without_border(to_tables, shapes, value.shape[1]).to(value.dtype)
    return to_value, *from_planes(to_steps, to_scores, offsets, logits)


def runs(things: int, points: int, most: int) -> Iterator[slice]:
    """Cut things of so many points each into equal runs of up to about `most` points."""
    count = max(1, -(-things * points // most))
    step = max(1, -(-things // count))
    return (slice(start, min(start + step, things)) for start in range(0, things, step))


def transposed_product(
    factors: tuple[Int[Tensor, "n j"], Float[Tensor, "n j"], Float[Tensor, "n c"], int],
) -> Float[Tensor, "r c"]:
    """Add each bag to the rows that it read, weighted: rows, matrix, bags, number of all rows.

    SciPy does it in one pass; PyTorch's own ways sort the rows first and take five times longer.
    """
    rows, matrix, bags, length = factors
    parts = (matrix.flatten().numpy(), rows.flatten().numpy(), row_starts(rows).numpy())
    sparse = csr_matrix(parts, shape=(len(rows), length), copy=False)
    return torch.from_numpy(sparse.T @ bags.numpy())


def dot_products(
    rows: Int[Tensor, "n j"], bags: Float[Tensor, "n c"], table: Float[Tensor, "r c"]
) -> Float[Tensor, "n j"]:
    """Multiply each bag with the rows that it read."""
    silence_beta_notice()
    out = bags.new_zeros(rows.numel())  # what is there is multiplied by 0: it must be a number
    sparse = torch.sparse_csr_tensor(
        row_starts(rows), rows.flatten(), out, (len(rows), len(table)), check_invariants=False
    )
    torch.sparse.sampled_addmm(sparse, bags, table.T, beta=0.0, out=sparse)
    return sparse.values().view(rows.shape)


def row_starts(rows: Int[Tensor, "n j"]) -> Int[Tensor, " k"]:
    """Give the first entry of each row of a sparse matrix with equally long rows."""
    return torch.arange(0, rows.numel() + 1, rows.shape[1], dtype=rows.dtype)


@cache
def silence_beta_notice() -> None:
    """Let PyTorch say here, where nobody hears it, what it says once: CSR tensors are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zero = torch.zeros(1, dtype=torch.int32)
        torch.sparse_csr_tensor(torch.arange(2).int(), zero, torch.zeros(1), (1, 1))
