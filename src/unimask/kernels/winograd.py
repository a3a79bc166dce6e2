"""Winograd's 3x3 convolution F(4x4, 3x3), with a quarter of the products (Lavin and Gray 2016).

A tile of 4x4 outputs takes 36 products of transformed inputs and filters instead of 144; for all
tiles and channels together these are 36 matrix products. The transforms are additions. The filter
transform rounds: the error is about three times that of a direct convolution in float32, around
2e-6 of the outputs' standard deviation. It pays off for many channels, where products cost more
than transforms.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.linear.prepacked import prepacked_product

TILE, PATCH = 4, 6
"""Side of a tile of outputs, and of the patch of inputs that it reads."""

TILES = 544
"""Approximate number of tiles per band: six of their 36 matrices then fit the cache."""

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
    """Transformed, prepacked filters of a convolution.

    Attributes:
        products: For each of the 36 matrices, the function that multiplies transformed inputs.
        channels: Number of output channels.
    """

    products: Sequence[Callable[[Float[Tensor, "n c"]], Float[Tensor, "n d"]]]
    channels: int


def transform_filters(weight: Float[Tensor, "d c 3 3"]) -> Float[Tensor, "36 d c"]:
    """Transform a convolution's weight to 36 matrices."""
    across = torch.tensor(FILTER, dtype=torch.float64)
    filters = torch.einsum("ik,dckl,jl->ijdc", across, weight.double(), across)
    return filters.flatten(0, 1).to(weight.dtype)


def transformed_filters(weight: Float[Tensor, "d c 3 3"]) -> Filters:
    """Transform and prepack a convolution's weight, without autograd support."""
    return Filters([prepacked_product(matrix) for matrix in transform_filters(weight)], len(weight))


def winograd(x: Float[Tensor, "b c h w"], filters: Filters) -> Float[Tensor, "b d h w"]:
    """Convolve with stride 1 and padding 1; inputs and outputs are channels-last in memory.

    Args:
        x: Maps.
        filters: Result of `transformed_filters`.
    """
    b, _, h, w = x.shape
    out = x.new_empty(b, h, w, filters.channels)
    tiles = -(-w // TILE)
    for image, result in zip(x.permute(0, 2, 3, 1), out, strict=True):
        for start, count in bands(h, tiles):
            rows = convolve_band(transform_rows(image, start, count, tiles), filters)
            band = slice(start * TILE, min(h, (start + count) * TILE))
            result[band] = rows[: band.stop - band.start, :w]
    return out.permute(0, 3, 1, 2)


def convolve_band(lines: Float[Tensor, "6 i j c"], filters: Filters) -> Float[Tensor, "h w d"]:
    """Compute the outputs of a band from the result of `transform_rows`, six products at a time."""
    count, tiles, d = lines.shape[1], lines.shape[2] // TILE, filters.channels
    columns = lines.new_empty(PATCH, count, tiles, TILE, d)
    pixels = lines.new_empty(PATCH, count, tiles, lines.shape[-1])
    for i, (line, column) in enumerate(zip(lines, columns, strict=True)):
        transform_columns(line, pixels)
        six = filters.products[i * PATCH : (i + 1) * PATCH]
        products = [multiply(part) for multiply, part in zip(six, pixels, strict=True)]
        output_transform(products, column.unbind(2))
    rows = lines.new_empty(count, TILE, tiles * TILE, d)
    output_transform(columns.view(PATCH, count, tiles * TILE, d).unbind(0), rows.unbind(1))
    return rows.view(count * TILE, tiles * TILE, d)


def weight_gradient(
    x: Float[Tensor, "b c h w"], grad_out: Float[Tensor, "b d h w"]
) -> Float[Tensor, "d c 3 3"]:
    """Compute the weight's gradient: the transposed steps of `winograd` in reverse order."""
    h, w = x.shape[2:]
    tiles = -(-w // TILE)
    total = x.new_zeros(PATCH, PATCH, x.shape[1], grad_out.shape[1])
    for image, grad in zip(x.permute(0, 2, 3, 1), grad_out.permute(0, 2, 3, 1), strict=True):
        for start, count in bands(h, tiles):
            lines = transform_rows(image, start, count, tiles)
            grad_lines = transform_gradient_rows(grad, start, count, tiles)
            pixels = lines.new_empty(PATCH, count, tiles, lines.shape[-1])
            grad_products = lines.new_empty(PATCH, count, tiles, grad_lines.shape[-1])
            for sums, line, grad_line in zip(total, lines, grad_lines, strict=True):
                transform_columns(line, pixels)
                tiled = grad_line.unflatten(1, (tiles, TILE)).unbind(2)
                transposed_output_transform(tiled, grad_products.unbind(0))
                sums.baddbmm_(pixels.flatten(1, 2).transpose(1, 2), grad_products.flatten(1, 2))
    across = torch.tensor(FILTER, dtype=torch.float64)
    return torch.einsum("ik,ijcd,jl->dckl", across, total.double(), across).to(x.dtype)


def bands(height: int, tiles: int) -> list[tuple[int, int]]:
    """Split a map's rows of tiles into bands that fit the cache, as (first row, number of rows)."""
    lines, step = -(-height // TILE), max(1, TILES // tiles)
    return [(start, min(step, lines - start)) for start in range(0, lines, step)]


def winograd_autograd(
    x: Float[Tensor, "b c h w"], weight: Float[Tensor, "d c 3 3"]
) -> Float[Tensor, "b d h w"]:
    """Convolve like `winograd`, with gradients; that of the maps uses Winograd's algorithm too."""
    return _Winograd.apply(x, weight)  # type: ignore[return-value]


class _Winograd(torch.autograd.Function):
    """Autograd function of `winograd_autograd`; it saves the maps and the weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return winograd(x, transformed_filters(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            rotated = weight.flip(2, 3).transpose(0, 1)
            grad_x = winograd(grad_out, transformed_filters(rotated))
        if ctx.needs_input_grad[1]:
            grad_weight = weight_gradient(x, grad_out)
        return grad_x, grad_weight


def transform_rows(
    image: Float[Tensor, "h w c"], start: int, count: int, tiles: int
) -> Float[Tensor, "6 i j c"]:
    """Transform the inputs of a band along the vertical axis, with zeros around the map.

    Args:
        image: Map of one image.
        start: First row of tiles of the band.
        count: Number of rows of tiles.
        tiles: Number of tiles per row.
    """
    h, w, c = image.shape
    top, height, width = start * TILE - 1, count * TILE + 2, tiles * TILE + 2
    band = image.new_zeros(height, width, c)
    above, below = max(top, 0), min(top + height, h)
    band[above - top : below - top, 1 : w + 1] = image[above:below]
    lines = band.new_empty(PATCH, count, width, c)
    input_transform([band[i : height - 5 + i : TILE] for i in range(PATCH)], lines.unbind(0))
    return lines


def transform_columns(line: Float[Tensor, "i j c"], out: Float[Tensor, "6 i t c"]) -> None:
    """Transform inputs along the horizontal axis."""
    width = line.shape[1]
    input_transform([line[:, i : width - 5 + i : TILE] for i in range(PATCH)], out.unbind(0))


def transform_gradient_rows(
    grad: Float[Tensor, "h w d"], start: int, count: int, tiles: int
) -> Float[Tensor, "6 i j d"]:
    """Apply the transpose of the last step of `convolve_band` to the gradient of a band."""
    d = grad.shape[2]
    band = grad.new_zeros(count * TILE, tiles * TILE, d)
    part = grad[start * TILE : (start + count) * TILE]
    band[: part.shape[0], : part.shape[1]] = part
    lines = band.new_empty(PATCH, count, tiles * TILE, d)
    transposed_output_transform(band.view(count, TILE, tiles * TILE, d).unbind(1), lines.unbind(0))
    return lines


def input_transform(six: Sequence[Tensor], out: Sequence[Tensor]) -> None:
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


def output_transform(six: Sequence[Tensor], out: Sequence[Tensor]) -> None:
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


def transposed_output_transform(four: Sequence[Tensor], out: Sequence[Tensor]) -> None:
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
