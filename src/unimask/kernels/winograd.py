"""Convolutions of 3x3 with a quarter of the multiplications: F(4x4, 3x3) of Lavin and Gray (2016).

Winograd's minimal filtering: a tile of 4x4 results is read off 36 products of transformed pixels
and filters instead of 144, and for all tiles and channels together these are 36 matrix products.
The transforms are additions. Fractions of the filters' transform round: the error is about three
times that of a direct convolution in float32, around 2e-6 of the results' spread. Worth it where
channels are many, so that products weigh more than transforms.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.linear.packed import ready_product

TILE, REACH = 4, 6
"""Results and pixels of a tile, along each side."""

TILES = 544
"""Tiles at a time, roughly: six of their 36 matrices of 256 channels then fit the inner caches."""

FILTER = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""The paper's matrix G."""


class Filters(NamedTuple):
    """A convolution's weight, made ready for many products."""

    products: Sequence[Callable[[Float[Tensor, "n c"]], Float[Tensor, "n d"]]]
    """Functions of the pixels that each of its 36 matrices multiplies."""
    channels: int
    """Of the results."""


def transform_filters(weight: Float[Tensor, "d c 3 3"]) -> Float[Tensor, "36 d c"]:
    """Give a convolution's weight as 36 matrices."""
    across = torch.tensor(FILTER, dtype=torch.float64)
    filters = torch.einsum("ik,dckl,jl->ijdc", across, weight.double(), across)
    return filters.flatten(0, 1).to(weight.dtype)


def ready_filters(weight: Float[Tensor, "d c 3 3"]) -> Filters:
    """Transform a convolution's weight; no gradients flow through."""
    return Filters([ready_product(matrix) for matrix in transform_filters(weight)], len(weight))


def winograd(x: Float[Tensor, "b c h w"], filters: Filters) -> Float[Tensor, "b d h w"]:
    """Convolve with zeros around the map, in steps of one pixel; channels come last in memory.

    Args:
        x: Maps.
        filters: What `ready_filters` makes of the weight.
    """
    b, _, h, w = x.shape
    out = x.new_empty(b, h, w, filters.channels)
    tiles = -(-w // TILE)
    for picture, result in zip(x.permute(0, 2, 3, 1), out, strict=True):
        for start, count in bands(h, tiles):
            rows = convolve_band(pixel_lines(picture, start, count, tiles), filters)
            band = slice(start * TILE, min(h, (start + count) * TILE))
            result[band] = rows[: band.stop - band.start, :w]
    return out.permute(0, 3, 1, 2)


def convolve_band(lines: Float[Tensor, "6 i j c"], filters: Filters) -> Float[Tensor, "h w d"]:
    """Give the results of some lines of tiles, which `pixel_lines` gave; six products at a time."""
    count, tiles, d = lines.shape[1], lines.shape[2] // TILE, filters.channels
    columns = lines.new_empty(REACH, count, tiles, TILE, d)
    pixels = lines.new_empty(REACH, count, tiles, lines.shape[-1])
    for i, (line, column) in enumerate(zip(lines, columns, strict=True)):
        spread_columns(line, pixels)
        six = filters.products[i * REACH : (i + 1) * REACH]
        products = [multiply(part) for multiply, part in zip(six, pixels, strict=True)]
        gather(products, column.unbind(2))
    rows = lines.new_empty(count, TILE, tiles * TILE, d)
    gather(columns.view(REACH, count, tiles * TILE, d).unbind(0), rows.unbind(1))
    return rows.view(count * TILE, tiles * TILE, d)


def weight_gradient(
    x: Float[Tensor, "b c h w"], to_out: Float[Tensor, "b d h w"]
) -> Float[Tensor, "d c 3 3"]:
    """Give a weight's gradient: the steps of `winograd` and `transform_filters`, turned round."""
    h, w = x.shape[2:]
    tiles = -(-w // TILE)
    total = x.new_zeros(REACH, REACH, x.shape[1], to_out.shape[1])
    for picture, towards in zip(x.permute(0, 2, 3, 1), to_out.permute(0, 2, 3, 1), strict=True):
        for start, count in bands(h, tiles):
            lines = pixel_lines(picture, start, count, tiles)
            to_lines = gradient_lines(towards, start, count, tiles)
            pixels = lines.new_empty(REACH, count, tiles, lines.shape[-1])
            to_products = lines.new_empty(REACH, count, tiles, to_lines.shape[-1])
            for sums, line, to_line in zip(total, lines, to_lines, strict=True):
                spread_columns(line, pixels)
                ungather(to_line.unflatten(1, (tiles, TILE)).unbind(2), to_products.unbind(0))
                sums.baddbmm_(pixels.flatten(1, 2).transpose(1, 2), to_products.flatten(1, 2))
    across = torch.tensor(FILTER, dtype=torch.float64)
    return torch.einsum("ik,ijcd,jl->dckl", across, total.double(), across).to(x.dtype)


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
        return winograd(x, ready_filters(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            turned = weight.flip(2, 3).transpose(0, 1)
            to_x = winograd(out, ready_filters(turned))
        if ctx.needs_input_grad[1]:
            to_weight = weight_gradient(x, out)
        return to_x, to_weight


def pixel_lines(
    picture: Float[Tensor, "h w c"], start: int, count: int, tiles: int
) -> Float[Tensor, "6 i j c"]:
    """Transform the pixels of some lines of tiles from line to line, with zeros around the map."""
    h, w, c = picture.shape
    top, height, width = start * TILE - 1, count * TILE + 2, tiles * TILE + 2
    band = picture.new_zeros(height, width, c)
    above, below = max(top, 0), min(top + height, h)
    band[above - top : below - top, 1 : w + 1] = picture[above:below]
    lines = band.new_empty(REACH, count, width, c)
    spread([band[i : height - 5 + i : TILE] for i in range(REACH)], lines.unbind(0))
    return lines


def spread_columns(line: Float[Tensor, "i j c"], out: Float[Tensor, "6 i t c"]) -> None:
    """Transform pixels along their line."""
    width = line.shape[1]
    spread([line[:, i : width - 5 + i : TILE] for i in range(REACH)], out.unbind(0))


def gradient_lines(
    towards: Float[Tensor, "h w d"], start: int, count: int, tiles: int
) -> Float[Tensor, "6 i j d"]:
    """Turn the last step of `convolve_band` round for the gradients of some lines of tiles."""
    d = towards.shape[2]
    band = towards.new_zeros(count * TILE, tiles * TILE, d)
    part = towards[start * TILE : (start + count) * TILE]
    band[: part.shape[0], : part.shape[1]] = part
    lines = band.new_empty(REACH, count, tiles * TILE, d)
    ungather(band.view(count, TILE, tiles * TILE, d).unbind(1), lines.unbind(0))
    return lines


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
