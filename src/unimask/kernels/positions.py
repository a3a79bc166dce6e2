"""Sine position encodings and cell centres of feature maps."""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

LOCAL_WAVE, LOCAL_RANGE = 64, 16
"""Local encoding: shortest wavelength in pixels, two cells of the coarsest map; ratio of longest to
shortest wavelength."""


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def sine_positions(
    size: tuple[int, int],
    dim: int,
    device: torch.device,
    dtype: torch.dtype,
    wave: float | None = None,
) -> Float[Tensor, "c h w"]:
    """Compute the sine encoding of each cell's row, then of its column (DETR, appendix A.4).

    Rows and columns count from 1 and are scaled so that the last is 2 pi: the encoding depends on
    the size of the (padded) map. With `wave` it depends on the distance from the top left only, so
    that distances have the same encoding in images and in training crops of any size. Results are
    cached by size and shared: do not modify them in place.

    Args:
        size: Height and width of the map.
        dim: Number of channels: half for rows, half for columns, sine and cosine alternating.
        device: Device of the result.
        dtype: Dtype of the result; the arithmetic is float32.
        wave: Shortest wavelength in cells; the longest is 16 times as long. None for the size of
            the map, and 10000 times that.
    """
    h, w = size
    half = dim // 2
    index = torch.arange(half, device=device, dtype=torch.float32)
    longest = 10000 if wave is None else LOCAL_RANGE
    periods = longest ** (2 * torch.div(index, 2, rounding_mode="floor") / half)
    rows = interleaved_waves(h, periods, wave)[:, None, :].expand(h, w, half)
    columns = interleaved_waves(w, periods, wave)[None, :, :].expand(h, w, half)
    return torch.cat([rows, columns], dim=-1).permute(2, 0, 1).to(dtype).contiguous()


def interleaved_waves(
    length: int, periods: Float[Tensor, " c"], wave: float | None
) -> Float[Tensor, "n c"]:
    """Compute alternating sines and cosines at positions 1 to `length`, with period `wave`."""
    steps = torch.arange(1, length + 1, device=periods.device, dtype=torch.float32)
    turn = length + 1e-6 if wave is None else wave
    angles = (steps / turn * (2 * math.pi))[:, None] / periods
    return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=-1).flatten(1)


def level_positions(
    sizes: list[tuple[int, int]], dim: int, like: Tensor, *, local: bool
) -> list[Float[Tensor, "_ c"]]:
    """Compute the position encodings of the cells of each map, row by row.

    Args:
        sizes: Height and width of the maps at strides 32, 16 and 8.
        dim: Number of channels.
        like: Tensor whose device and dtype the result has.
        local: Whether positions are measured in pixels instead of relative to the map's size.
    """
    strides = [2 ** (len(sizes) + 2 - level) for level in range(len(sizes))]
    waves = [LOCAL_WAVE / stride if local else None for stride in strides]
    codes = [
        sine_positions(size, dim, like.device, like.dtype, wave)
        for size, wave in zip(sizes, waves, strict=True)
    ]
    return [code.flatten(1).transpose(0, 1) for code in codes]


def clip_positions(
    sizes: list[tuple[int, int]], frames: int, dim: int, like: Tensor
) -> list[Float[Tensor, "_ c"]]:
    """Compute the position encodings of the cells of each map in every frame, frame by frame.

    They are those of rows and columns plus an encoding of time, in which the last frame of a clip
    is 2 pi (`mask2former_video/modeling/transformer_decoder/position_encoding.py`).

    Args:
        sizes: Height and width of the maps at strides 32, 16 and 8.
        frames: Number of frames.
        dim: Number of channels.
        like: Tensor whose device and dtype the result has.
    """
    index = torch.arange(dim, device=like.device, dtype=torch.float32)
    periods = 10000 ** (2 * torch.div(index, 2, rounding_mode="floor") / dim)
    times = interleaved_waves(frames, periods, None)[:, None]
    cells = [sine_positions(size, dim, like.device, torch.float32) for size in sizes]
    return [
        (code.flatten(1).transpose(0, 1) + times).to(like.dtype).flatten(0, 1) for code in cells
    ]


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def cell_centres(shapes: tuple[tuple[int, int], ...], device: torch.device) -> Float[Tensor, "n 2"]:
    """Return the centre (x, y) of every cell of every map, from 0 to 1."""
    centres = []
    for h, w in shapes:
        y = (torch.arange(h, device=device, dtype=torch.float32) + 0.5) / h
        x = (torch.arange(w, device=device, dtype=torch.float32) + 0.5) / w
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        centres.append(torch.stack([columns.flatten(), rows.flatten()], dim=-1))
    return torch.cat(centres)
