"""Tables of learned position embeddings for grids of any size."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def positions_at(
    table: Float[Tensor, "n c"], side: int, grid: tuple[int, int]
) -> Float[Tensor, "m c"]:
    """Return the position embeddings of a square, resized to a grid (bicubic, as in timm).

    Args:
        table: Embeddings, row by row.
        side: Number of rows, and of columns, of the table.
        grid: Number of rows and columns of the result.
    """
    if grid == (side, side):
        return table
    maps = table.T.unflatten(1, (side, side))[None].float()
    resized = F.interpolate(maps, grid, mode="bicubic", antialias=True)
    return resized[0].flatten(1).T.to(table.dtype)
