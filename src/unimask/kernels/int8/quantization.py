"""Quantization of weights per output channel, and of activations per call (Jacob et al. 2018)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int8, UInt8
from torch import Tensor

from unimask.errors import CheckpointError

LEVELS = 254
"""Number of steps between the smallest and the largest activation.

One less than 8 bits have: the zero point is rounded, which moves the ends by up to half a step.
"""

BLOCK = 2**18
"""Number of activations that are quantized at a time: their temporary values stay in the cache."""

WEIGHT_LIMIT = 127
"""Largest magnitude of a quantized weight."""

SMALLEST_SCALE = 1e-30
"""Smallest scale: a map of zeros has no range, and the reciprocal has to be finite."""


class Scale(NamedTuple):
    """Affine map from 8-bit values to real ones: `scale * (value - zero_point)`.

    Attributes:
        scale: Difference between two neighbouring values.
        zero_point: Value from 0 to 255 that stands for zero.
    """

    scale: float
    zero_point: int


class Quantized(NamedTuple):
    """Activations of 8 bits and the scale of all of them.

    Attributes:
        values: Values from 0 to 255.
        range: What they stand for.
    """

    values: UInt8[Tensor, "..."]
    range: Scale


class QuantizedWeight(NamedTuple):
    """Weight of 8 bits, symmetric around zero, with one scale per output channel.

    Attributes:
        values: Values from -127 to 127.
        scales: Factor from a channel's values to real ones.
    """

    values: Int8[Tensor, "d ..."]
    scales: Float[Tensor, " d"]


def quantize_weight(weight: Float[Tensor, "d ..."]) -> QuantizedWeight:
    """Quantize a weight to 8 bits per output channel."""
    rows = weight.float().flatten(1)
    scales = (rows.abs().amax(1) / WEIGHT_LIMIT).clamp_min_(SMALLEST_SCALE)
    values = (rows / scales[:, None]).round_().to(torch.int8)
    return QuantizedWeight(values.view(weight.shape), scales)


def scale_of_range(low: float, high: float) -> Scale:
    """Return the scale of values from `low` to `high`, extended to contain zero exactly.

    Raises:
        CheckpointError: The range is not finite.
    """
    if not math.isfinite(high - low):
        raise CheckpointError("the network computes values that are not finite: check its weights")
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / LEVELS, SMALLEST_SCALE)
    return Scale(scale, round(-low / scale))


def quantize(x: Float[Tensor, "..."]) -> Quantized:
    """Quantize contiguous activations by their own smallest and largest value.

    They are read twice: for the extremes, and to be scaled, shifted and converted, which truncates.
    """
    low, high = torch.stack(x.aminmax()).tolist()
    scale, zero_point = scale_of_range(low, high)
    offset = torch.tensor(zero_point + 0.5)
    values = torch.empty_like(x, dtype=torch.uint8)
    for block, out in zip(x.view(-1).split(BLOCK), values.view(-1).split(BLOCK), strict=True):
        out.copy_(torch.add(offset, block, alpha=1 / scale))
    return Quantized(values, Scale(scale, zero_point))
