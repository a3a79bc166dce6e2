"""Deformable attention on a CPU: every sample is four weighted rows of one embedding bag.

The four neighbours of all points of a query are summed in one pass over the rows of `value`,
without the (b, m, c, q, points) tensor that `grid_sample` writes and reads again.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def deformable_attention_gather(
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    locations: Float[Tensor, "b q m l p 2"],
    weights: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Give what `deformable_attention_reference` defines."""
    b, n, m, c = value.shape
    q = locations.shape[1]
    rows, row_weights = neighbours(shapes, locations, weights)
    rows = rows + batch_head_offset(b, n, m, rows.device)
    # The bag's rows are (picture, position, head): `value` is used as it lies in memory.
    bags = F.embedding_bag(
        rows.reshape(b * q * m, -1),
        value.reshape(b * n * m, c),
        mode="sum",
        per_sample_weights=row_weights.reshape(b * q * m, -1),
    )
    return bags.view(b, q, m * c)


def batch_head_offset(b: int, n: int, m: int, device: torch.device) -> Int[Tensor, "b 1 m 1"]:
    """Give the first row of each picture and head in the table of rows."""
    pictures = torch.arange(b, device=device) * (n * m)
    heads = torch.arange(m, device=device)
    return pictures[:, None, None, None] + heads[None, None, :, None]


def neighbours(
    shapes: list[tuple[int, int]],
    locations: Float[Tensor, "b q m l p 2"],
    weights: Float[Tensor, "b q m l p"],
) -> tuple[Int[Tensor, "b q m j"], Float[Tensor, "b q m j"]]:
    """List the rows that each query reads, before the offset of its head, and their weights.

    A neighbour outside its map keeps weight 0 and points at a row that exists.
    """
    m = weights.shape[2]
    rows, row_weights = [], []
    start = 0
    for level, (h, w) in enumerate(shapes):
        x = locations[:, :, :, level, :, 0] * w - 0.5
        y = locations[:, :, :, level, :, 1] * h - 0.5
        x0, y0 = x.floor(), y.floor()
        fx, fy = x - x0, y - y0
        weight = weights[:, :, :, level]
        for dy, wy in ((0, 1 - fy), (1, fy)):
            row = y0 + dy
            inside_y = (row >= 0) & (row < h)
            row_start = row.clamp(0, h - 1).long() * w + start
            for dx, wx in ((0, 1 - fx), (1, fx)):
                column = x0 + dx
                inside = inside_y & (column >= 0) & (column < w)
                rows.append((row_start + column.clamp(0, w - 1).long()) * m)
                row_weights.append((weight * wy * wx).masked_fill(~inside, 0))
        start += h * w
    # Positions are float32 whatever the values are: only the finished weights may be rounded.
    return torch.cat(rows, dim=-1), torch.cat(row_weights, dim=-1).to(weights.dtype)
