"""Linear layers of 8-bit weights and activations by oneDNN, which has no gradients."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.errors import SettingsError
from unimask.kernels.int8.quantization import (
    Quantized,
    quantize,
    quantize_weight,
    scale_of_range,
)

BATCH = 2048
"""Number of rows per call for which oneDNN picks its layout; other numbers give equal results."""

SAMPLE = 16
"""Every 16th row of hidden activations determines the range of all."""

MARGIN = 1.1
"""Factor by which the range of all hidden activations may exceed that of the sample."""

ALGORITHMS = {"none": ("none", [], ""), "relu": ("relu", [], ""), "gelu": ("gelu", [], "none"),
              "relu6": ("hardtanh", [0.0, 6.0], "")}  # fmt: skip
"""Name, arguments and algorithm of each activation function in oneDNN."""


class Int8Linear:
    """Function `x -> activation(x @ weight.T + bias)` with products of 8-bit integers.

    Weights have one scale per output channel, activations one per call, from their extremes. Sums
    are exact in 32 bits; bias and activation function are applied in float32.

    Args:
        weight: Weight in the layout of `nn.Linear`; its values are copied.
        bias: Bias, or None.
        activation: "none", "relu", "relu6" or "gelu" (the exact one).
    """

    def __init__(
        self, weight: Float[Tensor, "d c"], bias: Float[Tensor, " d"] | None, activation: str
    ) -> None:
        values, self.scales = quantize_weight(weight)
        self.packed = torch.ops.onednn.qlinear_prepack(values, [BATCH, weight.shape[1]])
        self.zero_points = torch.zeros(len(weight), dtype=torch.int64)
        self.bias, self.outputs = bias, len(weight)
        self.activation = ALGORITHMS[activation]

    def __call__(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... d"]:
        """Quantize the rows and multiply."""
        return self.multiply(quantize_rows(x)).view(*x.shape[:-1], self.outputs)

    def multiply(self, rows: Quantized) -> Float[Tensor, "n d"]:
        """Multiply quantized rows; the result is float32."""
        return self.product(rows, 1.0, 0, torch.float32)

    def requantized(self, rows: Quantized) -> Quantized:
        """Multiply quantized rows; the result is quantized before it leaves the cache.

        Its range is that of a sample of the rows, with a margin; values beyond are clipped.
        """
        sample = Quantized(rows.values[::SAMPLE].contiguous(), rows.range)
        low, high = torch.stack(self.multiply(sample).aminmax()).tolist()
        scale = scale_of_range(MARGIN * low, MARGIN * high)
        return Quantized(self.product(rows, *scale, torch.uint8), scale)

    def product(self, rows: Quantized, scale: float, zero_point: int, dtype: torch.dtype) -> Tensor:
        """Call oneDNN's operator with the scale and dtype of its result."""
        return torch.ops.onednn.qlinear_pointwise.default(
            rows.values, *rows.range, self.packed, self.scales, self.zero_points, self.bias,
            scale, zero_point, dtype, *self.activation,
        )  # fmt: skip


def chained(
    first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]
) -> Callable[[Float[Tensor, "... c"]], Float[Tensor, "... d"]]:
    """Return `x -> second(first(x))`; between two products in int8 activations stay in 8 bits."""
    if not (isinstance(first, Int8Linear) and isinstance(second, Int8Linear)):
        return lambda x: second(first(x))

    def both(x: Float[Tensor, "... c"]) -> Float[Tensor, "... d"]:
        out = second.multiply(first.requantized(quantize_rows(x)))
        return out.view(*x.shape[:-1], second.outputs)

    return both


def quantize_rows(x: Float[Tensor, "... c"]) -> Quantized:
    """Quantize all rows by one scale.

    Raises:
        SettingsError: Gradients are enabled.
    """
    refuse_gradients()
    return quantize(x.reshape(-1, x.shape[-1]))


def refuse_gradients() -> None:
    """Raise an error if gradients are enabled, which int8 does not have.

    Raises:
        SettingsError: Gradients are enabled.
    """
    if torch.is_grad_enabled():
        raise SettingsError(
            "a network in int8 has no gradients: use torch.no_grad(), or train in float32 or "
            "bfloat16"
        )
