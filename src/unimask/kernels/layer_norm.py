"""Layer normalisation of rows as two plain functions, for gradients that are written by hand."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Norm(NamedTuple):
    """The numbers of a layer normalisation.

    Attributes:
        weight: Of each channel, after normalising.
        bias: Likewise.
        eps: Added to the variance.
    """

    weight: Float[Tensor, " c"]
    bias: Float[Tensor, " c"]
    eps: float


class Normalised(NamedTuple):
    """Normalised rows, and what their gradient asks for."""

    rows: Float[Tensor, "... c"]
    mean: Float[Tensor, "... 1"]
    inverse: Float[Tensor, "... 1"]


def normalise(rows: Float[Tensor, "... c"], norm: Norm) -> Normalised:
    """Normalise each row."""
    return Normalised(*torch.native_layer_norm(rows, rows.shape[-1:], *norm))


def norm_gradients(
    to_out: Float[Tensor, "... c"], rows: Float[Tensor, "... c"], done: Normalised, norm: Norm
) -> tuple[Float[Tensor, "... c"], Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Give the gradients of the rows, the weight and the bias."""
    return torch.ops.aten.native_layer_norm_backward(
        to_out, rows, rows.shape[-1:], done.mean, done.inverse, norm.weight, norm.bias, [True] * 3
    )
