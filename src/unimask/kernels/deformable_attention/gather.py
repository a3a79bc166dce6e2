"""Deformable attention on a CPU as an embedding bag: a sample is four weighted rows of a table.

The samples are one sparse matrix: a row for each query and head, whose entries are the weights of
the value rows that it reads. The output is that matrix times the values; the gradient of the values
is its transpose times the gradient of the output; the gradient of each entry is one dot product.
All three pass over memory once, without the tensor of samples that `grid_sample` writes and reads.

Each head reads its own rows only. So the matrix is built for as many heads at a time as fit the
cache, one for large images; the backward pass rebuilds it instead of saving it.
"""

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unimask.kernels.deformable_attention.sampling_points import (
    add_border,
    gradients_from_planes,
    input_gradients,
    locate,
    neighbour_rows,
    neighbour_weights,
    planes,
    remove_border,
    short_softmax,
    table_grid,
)

BLOCK = 2**18
"""Number of sampling points per block: the arithmetic on their locations then fits the cache."""

BACKWARD_BLOCK = 2**16
"""The same in the backward pass, where threads share the heads: one head each for large images."""


def gather_forward(
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Compute `deformable_attention_reference`."""
    tables = add_border(value.to(torch.promote_types(value.dtype, torch.float32)), shapes)
    return sample(tables, shapes, centres, offsets, logits).to(value.dtype)


def sample(
    tables: Float[Tensor, "b m r c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Sample tables of values at the sampling points.

    The arithmetic is float32 or wider: on a CPU half precision would be slower here.
    """
    dtype = tables.dtype
    steps_x, steps_y, scores = (part.to(dtype) for part in planes(offsets, logits))
    (b, q, m, k), centres = scores.shape, centres.to(dtype)
    out = tables.new_empty(b, q, m, tables.shape[3])
    grid = table_grid(tuple(shapes), m, k // len(shapes), tables.device)
    for image, table in enumerate(tables.flatten(1, 2)):
        for block in equal_blocks(q, m * k, BLOCK):
            part = image, block
            points = locate(grid, centres[block], steps_x[part], steps_y[part])
            matrix = neighbour_weights(points, short_softmax(scores[part]))
            rows = neighbour_rows(grid, points)
            bags = F.embedding_bag(rows, table, mode="sum", per_sample_weights=matrix)
            out[part] = bags.view(-1, m, out.shape[3])
    return out.flatten(2)


def gather_backward(
    grad_out: Float[Tensor, "b q d"],
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of `value`, `offsets` and `logits`.

    SciPy is single-threaded, so as many transposed products run at once as PyTorch has threads.
    Each works on its own heads: the number of threads does not change the result.
    """
    dtype = torch.promote_types(value.dtype, torch.float32)
    steps_x, steps_y, scores = (part.to(dtype) for part in planes(offsets, logits))
    (b, q, m, k), centres = scores.shape, centres.to(dtype)
    tables = add_border(value.to(dtype), shapes)
    grad_tables, grad_scores = torch.empty_like(tables), tables.new_empty(scores.shape)
    grad_steps = tables.new_empty(b, q, 2, m, k)
    grad_bags = grad_out.to(dtype).unflatten(2, (m, -1))
    parts = list(product(range(b), equal_blocks(m, q * k, BACKWARD_BLOCK)))
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        for batch in (parts[i : i + threads] for i in range(0, len(parts), threads)):
            factors = []
            for image, heads in batch:
                part = image, slice(None), heads
                table = tables[image, heads].flatten(0, 1)
                num_heads = len(range(m)[heads])
                grid = table_grid(tuple(shapes), num_heads, k // len(shapes), value.device)
                points = locate(grid, centres, steps_x[part], steps_y[part])
                weights, rows = short_softmax(scores[part]), neighbour_rows(grid, points)
                bags = grad_bags[part].flatten(0, 1).contiguous()
                dots = dot_products(rows, bags, table).view(q, -1, 4, k)
                grad_x, grad_y = grad_steps[image, :, :, heads].unbind(1)
                input_gradients(points, weights, dots, (grad_x, grad_y, grad_scores[part]))
                factors.append((rows, neighbour_weights(points, weights), bags, len(table)))
            run = pool.map if len(batch) > 1 else map
            for (image, heads), grad in zip(batch, run(transposed_product, factors), strict=True):
                grad_tables[image, heads].copy_(grad.view(grad_tables[image, heads].shape))
    grad_value = remove_border(grad_tables, shapes, value.shape[1]).to(value.dtype)
    return grad_value, *gradients_from_planes(grad_steps, grad_scores, offsets, logits)


def equal_blocks(items: int, points: int, limit: int) -> Iterator[slice]:
    """Split items of `points` points each into equal blocks of up to about `limit` points."""
    count = max(1, -(-items * points // limit))
    step = max(1, -(-items // count))
    return (slice(start, min(start + step, items)) for start in range(0, items, step))


def transposed_product(
    factors: tuple[Int[Tensor, "n j"], Float[Tensor, "n j"], Float[Tensor, "n c"], int],
) -> Float[Tensor, "r c"]:
    """Multiply the transposed sparse matrix by the bags.

    SciPy needs one pass; PyTorch sorts the rows first and takes five times longer.

    Args:
        factors: Row numbers and entries of the matrix, the bags, and the number of table rows.
    """
    from scipy.sparse import csr_matrix  # imported here: prediction does not need it

    rows, matrix, bags, length = factors
    parts = (matrix.flatten().numpy(), rows.flatten().numpy(), row_starts(rows).numpy())
    sparse = csr_matrix(parts, shape=(len(rows), length), copy=False)
    return torch.from_numpy(sparse.T @ bags.numpy())


def dot_products(
    rows: Int[Tensor, "n j"], bags: Float[Tensor, "n c"], table: Float[Tensor, "r c"]
) -> Float[Tensor, "n j"]:
    """Compute the dot product of each bag with each of the rows that it reads."""
    suppress_csr_warning()
    out = bags.new_zeros(rows.numel())  # multiplied by beta = 0: must not be NaN
    sparse = torch.sparse_csr_tensor(
        row_starts(rows), rows.flatten(), out, (len(rows), len(table)), check_invariants=False
    )
    torch.sparse.sampled_addmm(sparse, bags, table.T, beta=0.0, out=sparse)
    return sparse.values().view(rows.shape)


def row_starts(rows: Int[Tensor, "n j"]) -> Int[Tensor, " k"]:
    """Return the index of the first entry of each row of a sparse matrix with equally long rows."""
    return torch.arange(0, rows.numel() + 1, rows.shape[1], dtype=rows.dtype)


@cache
def suppress_csr_warning() -> None:
    """Trigger PyTorch's one-time warning about CSR tensors here and suppress it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zero = torch.zeros(1, dtype=torch.int32)
        torch.sparse_csr_tensor(torch.arange(2).int(), zero, torch.zeros(1), (1, 1))
