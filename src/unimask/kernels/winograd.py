"""Convolutions of 3x3 with a quarter of the multiplications: F(4x4, 3x3) of Lavin and Gray (2016).

Winograd's minimal filtering: a tile of 4x4 results is read off 36 products of transformed pixels
and filters instead of 144, and for all tiles and channels together these are 36 matrix products.
The transforms are additions. Fractions of the filters' transform round: the error is about three
times that of a direct convolution in float32, around 2e-6 of the results' spread. Worth it where
channels are many, so that products weigh more than transforms.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

TILE, REACH = 4, 6
"""Results and pixels of a tile, along each side."""

TILES = 272
"""Tiles at a time, roughly: their 36 matrices of 256 channels then fit the outer cache."""

FILTER = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""The paper's matrix G."""


def transform_filters(weight: Float[Tensor, "d c 3 3"]) -> Float[Tensor, "36 c d"]:
    """Give a convolution's weight as 36 matrices."""
    across = torch.tensor(FILTER, dtype=torch.float64)
    filters = torch.einsum("ik,dckl,jl->ijcd", across, weight.double(), across)
    return filters.flatten(0, 1).to(weight.dtype).contiguous()


def winograd(
    x: Float[Tensor, "b c h w"], filters: Float[Tensor, "36 c d"]
) -> Float[Tensor, "b d h w"]:
    """Convolve with zeros around the map, in steps of one pixel; channels come last in memory.

    Args:
        x: Maps.
        filters: What `transform_filters` makes of the weight.
    """
    b, _, h, w = x.shape
    out = x.new_empty(b, h, w, filters.shape[2])
    lines, tiles = -(-h // TILE), -(-w // TILE)
    step = max(1, TILES // tiles)
    for picture, result in zip(x.permute(0, 2, 3, 1), out, strict=True):
        for start in range(0, lines, step):
            count = min(step, lines - start)
            products = torch.bmm(pixels(picture, start, count, tiles), filters)
            rows = results(products.unflatten(0, (REACH, REACH)), count, tiles)
            band = slice(start * TILE, min(h, (start + count) * TILE))
            result[band] = rows[: band.stop - band.start, :w]
    return out.permute(0, 3, 1, 2)


def pixels(
    picture: Float[Tensor, "h w c"], start: int, count: int, tiles: int
) -> Float[Tensor, "36 n c"]:
    """Transform the pixels of some lines of tiles (the paper's matrix B, along both axes)."""
    h, w, c = picture.shape
    top, height, width = start * TILE - 1, count * TILE + 2, tiles * TILE + 2
    band = picture.new_zeros(height, width, c)
    above, below = max(top, 0), min(top + height, h)
    band[above - top : below - top, 1 : w + 1] = picture[above:below]
    rows = band.new_empty(REACH, count, width, c)
    spread([band[i : height - 5 + i : TILE] for i in range(REACH)], rows.unbind(0))
    both = band.new_empty(REACH, REACH, count, tiles, c)
    spread([rows[:, :, i : width - 5 + i : TILE] for i in range(REACH)], both.unbind(1))
    return both.view(REACH * REACH, count * tiles, c)


def results(products: Float[Tensor, "6 6 n d"], count: int, tiles: int) -> Float[Tensor, "h w d"]:
    """Read the results off the products (the paper's matrix A, along both axes)."""
    d = products.shape[-1]
    columns = products.new_empty(REACH, count, tiles, TILE, d)
    gather(products.view(REACH, REACH, count, tiles, d).unbind(1), columns.unbind(3))
    rows = products.new_empty(count, TILE, tiles * TILE, d)
    gather(columns.view(REACH, count, tiles * TILE, d).unbind(0), rows.unbind(1))
    return rows.view(count * TILE, tiles * TILE, d)


def spread(six: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Multiply by the transpose of B: (4 0 -5 0 1 0), (0 -4 -4 1 1 0), (0 4 -4 -1 1 0), ..."""
    first, second, third, fourth, fifth, sixth = six
    even, odd = torch.sub(fifth, third, alpha=4), torch.sub(fourth, second, alpha=4)
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.sub(fifth, third, out=even)
    torch.sub(fourth, second, out=odd)
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])
    torch.sub(first, third, out=out[0])
    torch.add(even, out[0], alpha=4, out=out[0])
    torch.sub(sixth, fourth, out=out[5])
    torch.sub(out[5], odd, alpha=4, out=out[5])


def gather(six: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Multiply by the transpose of A: (1 1 1 1 1 0), (0 1 -1 2 -2 0), (0 1 1 4 4 0), ..."""
    first, second, third, fourth, fifth, sixth = six
    near, far = second + third, fourth + fifth
    torch.add(first, near, out=out[0])
    out[0].add_(far)
    torch.add(near, far, alpha=4, out=out[2])
    torch.sub(second, third, out=near)
    torch.sub(fourth, fifth, out=far)
    torch.add(near, far, alpha=2, out=out[1])
    torch.add(near, far, alpha=8, out=out[3])
    out[3].add_(sixth)
