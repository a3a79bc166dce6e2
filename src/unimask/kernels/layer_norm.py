"""Layer normalization of rows as plain functions, for hand-written backward passes."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Norm(NamedTuple):
    """Parameters of a layer normalization.

    Attributes:
        weight: Scale of each channel, applied after normalizing.
        bias: Shift of each channel.
        eps: Added to the variance.
    """

    weight: Float[Tensor, " c"]
    bias: Float[Tensor, " c"]
    eps: float

    @classmethod
    def from_layer(cls, layer: nn.LayerNorm) -> "Norm":
        """Return the parameters of a layer."""
        return cls(layer.weight, layer.bias, layer.eps)


class Normalized(NamedTuple):
    """Normalized rows with the statistics that their backward pass needs.

    Attributes:
        rows: The normalized rows.
        mean: Mean of each input row.
        inverse_std: Inverse standard deviation of each input row.
    """

    rows: Float[Tensor, "... c"]
    mean: Float[Tensor, "... 1"]
    inverse_std: Float[Tensor, "... 1"]


def normalize(rows: Float[Tensor, "... c"], norm: Norm) -> Normalized:
    """Normalize each row."""
    return Normalized(*torch.native_layer_norm(rows, rows.shape[-1:], *norm))


def norm_backward(
    grad_out: Float[Tensor, "... c"],
    rows: Float[Tensor, "... c"],
    normalized: Normalized,
    norm: Norm,
) -> tuple[Float[Tensor, "... c"], Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Compute the gradients of the rows, the weight and the bias.

    Args:
        grad_out: Gradient of the normalized rows.
        rows: Input of the normalization.
        normalized: Result of `normalize` for these rows.
        norm: Parameters of the normalization.
    """
    return torch.ops.aten.native_layer_norm_backward(
        grad_out,
        rows,
        rows.shape[-1:],
        normalized.mean,
        normalized.inverse_std,
        norm.weight,
        norm.bias,
        [True] * 3,
    )
