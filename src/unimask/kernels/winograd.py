"""Convolutions of 3x3 with a quarter of the multiplications: F(4x4, 3x3) of Lavin and Gray (2016).

Winograd's minimal filtering: a tile of 4x4 results is read off 36 products of transformed pixels
and filters instead of 144, and for all tiles and channels together these are 36 matrix products.
The transforms are additions. Fractions of the filters' transform round: the error is about three
times that of a direct convolution in float32, around 2e-6 of the results' spread. Worth it where
channels are many, so that products weigh more than transforms.
"""

from collections.abc import Sequence
from typing import Any

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
    tiles = -(-w // TILE)
    for picture, result in zip(x.permute(0, 2, 3, 1), out, strict=True):
        for start, count in bands(h, tiles):
            products = torch.bmm(pixels(picture, start, count, tiles), filters)
            rows = results(products.unflatten(0, (REACH, REACH)), count, tiles)
            band = slice(start * TILE, min(h, (start + count) * TILE))
            result[band] = rows[: band.stop - band.start, :w]
    return out.permute(0, 3, 1, 2)


def weight_gradient(
    x: Float[Tensor, "b c h w"], to_out: Float[Tensor, "b d h w"]
) -> Float[Tensor, "d c 3 3"]:
    """Give a weight's gradient: the steps of `winograd` and `transform_filters`, turned round."""
    h, w = x.shape[2:]
    tiles = -(-w // TILE)
    total = x.new_zeros(REACH * REACH, x.shape[1], to_out.shape[1])
    for picture, towards in zip(x.permute(0, 2, 3, 1), to_out.permute(0, 2, 3, 1), strict=True):
        for start, count in bands(h, tiles):
            read = pixels(picture, start, count, tiles).transpose(1, 2)
            total.baddbmm_(read, towards_products(towards, start, count, tiles))
    across = torch.tensor(FILTER, dtype=torch.float64)
    products = total.unflatten(0, (REACH, REACH)).double()
    return torch.einsum("ik,ijcd,jl->dckl", across, products, across).to(x.dtype)


def bands(height: int, tiles: int) -> list[tuple[int, int]]:
    """Cut a map's lines of tiles into bands that fit the cache: the first line, and how many."""
    lines, step = -(-height // TILE), max(1, TILES // tiles)
    return [(start, min(step, lines - start)) for start in range(0, lines, step)]


def learn_winograd(
    x: Float[Tensor, "b c h w"], weight: Float[Tensor, "d c 3 3"]
) -> Float[Tensor, "b d h w"]:
    """Convolve like `winograd`, with gradients once; that of the maps takes the quick way too."""
    return _Winograd.apply(x, weight)  # type: ignore[return-value]


class _Winograd(torch.autograd.Function):
    """Keeps the maps and the weight: the gradient of the maps is a convolution of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return winograd(x, transform_filters(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = winograd(out, transform_filters(weight.flip(2, 3).transpose(0, 1)))
        if ctx.needs_input_grad[1]:
            to_weight = weight_gradient(x, out)
        return to_x, to_weight


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


def towards_products(
    towards: Float[Tensor, "h w d"], start: int, count: int, tiles: int
) -> Float[Tensor, "36 n d"]:
    """Turn `results` round: the gradients of some lines of tiles as those of their products."""
    d = towards.shape[2]
    band = towards.new_zeros(count * TILE, tiles * TILE, d)
    part = towards[start * TILE : (start + count) * TILE]
    band[: part.shape[0], : part.shape[1]] = part
    rows = band.new_empty(REACH, count, tiles * TILE, d)
    ungather(band.view(count, TILE, tiles * TILE, d).unbind(1), rows.unbind(0))
    both = band.new_empty(REACH, REACH, count, tiles, d)
    ungather(rows.view(REACH, count, tiles, TILE, d).unbind(3), both.unbind(1))
    return both.view(REACH * REACH, count * tiles, d)


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


def ungather(four: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Multiply by A itself: (1 0 0 0), (1 1 1 1), (1 -1 1 -1), (1 2 4 8), ..."""
    first, second, third, fourth = four
    even, odd = first + third, second + fourth
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.add(first, third, alpha=4, out=even)
    torch.add(second, fourth, alpha=4, out=odd)
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])
    out[0].copy_(first)
    out[5].copy_(fourth)
