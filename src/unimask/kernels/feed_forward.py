"""The feed-forward part of a transformer layer: two linear layers with an activation between.

With gradients on a CPU, a custom autograd function works block by block and saves little.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.int8 import chained, computes_in_int8
from unimask.kernels.layer_norm import Norm, Normalized, norm_backward, normalize
from unimask.kernels.linear import linear, linear_function
from unimask.kernels.linear.autograd import (
    ParameterGradients,
    compute_dtype,
    uses_custom_autograd,
)
from unimask.kernels.linear.cache import drop_cached
from unimask.kernels.linear.prepacked import Activation, prepacked_product
from unimask.kernels.rows import rowwise

BLOCK_BYTES = 2**22
"""Bytes of hidden activations per block: they and their gradients then stay in the cache."""

MAX_RECOMPUTED_CHANNELS = 192
"""Number of channels up to which hidden activations are recomputed in the backward pass instead of
saved: those of a backbone's first stages take the most memory for the least arithmetic."""


class Weights(NamedTuple):
    """Parameters of the two linear layers, in the layout of `nn.Linear`."""

    expand: Float[Tensor, "d c"]
    expand_bias: Float[Tensor, " d"]
    project: Float[Tensor, "c d"]
    project_bias: Float[Tensor, " c"]


class Variant(NamedTuple):
    """Options of `feed_forward_autograd`; `eps` is None without normalization."""

    activation: Activation
    eps: float | None
    residual: bool


def feed_forward(
    x: Float[Tensor, "b ... c"],
    expand: nn.Linear,
    project: nn.Linear,
    activation: Activation,
    *,
    norm: nn.LayerNorm | None = None,
) -> Float[Tensor, "b ... c"]:
    """Compute `project(activation(expand(norm(x))))`.

    Args:
        x: Input rows.
        expand: Linear layer to the hidden width.
        project: Linear layer back to the width of the rows.
        activation: "gelu" (the exact one) or "relu".
        norm: Normalization that is applied first, or None.
    """
    if uses_custom_autograd(x) and not computes_in_int8(expand):
        return with_autograd(x, expand, project, activation, norm, residual=False)
    both = chained(linear_function(expand, activation), linear_function(project))
    rows = rowwise(lambda rows: both(rows if norm is None else norm(rows)))
    return rows(x.flatten(1, -2)).view(x.shape)


def post_norm_feed_forward(
    x: Float[Tensor, "b n c"],
    norm: nn.LayerNorm,
    expand: nn.Linear,
    project: nn.Linear,
    *,
    dropout: nn.Dropout,
) -> Float[Tensor, "b n c"]:
    """Compute `y + dropout(project(dropout(relu(expand(y)))))` with `y = norm(x)`.

    Args:
        x: Sum of the previous sub-layer and its input.
        norm: Normalization of the previous sub-layer.
        expand: Linear layer to the hidden width.
        project: Linear layer back to the width of the rows.
        dropout: Dropout of hidden activations and of the result.
    """
    drops = dropout.training and dropout.p
    if computes_in_int8(expand) and not drops:
        y = norm(x)
        return y + chained(linear_function(expand, "relu"), linear_function(project))(y)
    if uses_custom_autograd(x) and not drops:
        return with_autograd(x, expand, project, "relu", norm, residual=True)
    y = norm(x)
    return y + dropout(linear(dropout(linear(y, expand, "relu")), project))


def with_autograd(
    x: Float[Tensor, "... c"],
    expand: nn.Linear,
    project: nn.Linear,
    activation: Activation,
    norm: nn.LayerNorm | None,
    *,
    residual: bool,
) -> Float[Tensor, "... c"]:
    """Call `feed_forward_autograd` with the parameters of layers, which are about to be trained."""
    drop_cached(expand)
    drop_cached(project)
    weights = Weights(expand.weight, expand.bias, project.weight, project.bias)
    parameters = None if norm is None else Norm.from_layer(norm)
    return feed_forward_autograd(x, weights, activation, parameters, residual=residual)


def feed_forward_autograd(
    x: Float[Tensor, "... c"],
    weights: Weights,
    activation: Activation,
    norm: Norm | None,
    *,
    residual: bool = False,
) -> Float[Tensor, "... c"]:
    """Compute `project(activation(expand(norm(x))))` block by block, with gradients.

    PyTorch's autograd would save the normalized rows, and both input and output of GELU. Here only
    `x` and the hidden activations before GELU are saved; the rest is recomputed, which needs no
    matrix product. For rows of few channels `x` alone is saved.

    Args:
        x: Input rows.
        weights: Parameters of the two layers.
        activation: "gelu" (the exact one) or "relu".
        norm: Normalization that is applied first, or None.
        residual: Whether the normalized rows are added to the result.
    """
    variant = Variant(activation, norm and norm.eps, residual)
    return _FeedForward.apply(x, variant, *weights, *(norm or ())[:2])  # type: ignore[return-value]


class _FeedForward(torch.autograd.Function):
    """Autograd function of `feed_forward_autograd`; the norm's weight and bias come last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, variant: Variant, *parameters: Tensor) -> Tensor:
        dtype, norm = compute_dtype(x), norm_parameters(variant, parameters)
        converted = [part.to(dtype) for part in parameters[:4]]
        rows = x.reshape(-1, x.shape[-1])
        out, saved = rows.new_empty(rows.shape, dtype=dtype), []
        with torch.autocast("cpu", enabled=False):
            expand = prepacked_product(converted[0], converted[1])
            project = prepacked_product(converted[2], converted[3])
            for block in blocks(len(rows), len(converted[0]), dtype):
                inputs = maybe_normalize(rows[block], norm).rows.to(dtype)
                hidden = expand(inputs)
                if any(ctx.needs_input_grad) and rows.shape[1] > MAX_RECOMPUTED_CHANNELS:
                    saved.append(hidden)
                result = project(activate(hidden, variant.activation))
                out[block] = result.add_(inputs) if variant.residual else result
        ctx.save_for_backward(rows, *parameters, *saved)
        ctx.variant, ctx.num_parameters, ctx.shape = variant, len(parameters), x.shape
        return out.view(x.shape)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        rows, *others = ctx.saved_tensors
        parameters, saved = others[: ctx.num_parameters], others[ctx.num_parameters :]
        variant, weights = ctx.variant, Weights(*parameters[:4])
        norm = norm_parameters(variant, parameters)
        expand_grads, project_grads = (
            ParameterGradients(*weights[:2]),
            ParameterGradients(*weights[2:]),
        )
        grad_out = grad_out.reshape(rows.shape)
        converted = [part.to(grad_out.dtype) for part in weights]
        expand = prepacked_product(converted[0], converted[1])
        expand_back, project_back = (prepacked_product(weight.T) for weight in converted[::2])
        grad_x, grad_norm = torch.empty_like(rows), [torch.zeros_like(p) for p in parameters[4:]]
        for index, block in enumerate(blocks(len(rows), len(converted[0]), grad_out.dtype)):
            inputs = maybe_normalize(rows[block], norm)
            hidden = saved[index] if saved else expand(inputs.rows.to(grad_out.dtype))
            project_grads.add(grad_out[block], activate(hidden, variant.activation))
            grad_hidden = activation_backward(
                project_back(grad_out[block]), hidden, variant.activation
            )
            expand_grads.add(grad_hidden, inputs.rows.to(grad_hidden.dtype))
            grad_rows = expand_back(grad_hidden)
            if variant.residual:
                grad_rows += grad_out[block]
            if norm is not None:
                grad_rows, *grads = norm_backward(
                    grad_rows.to(rows.dtype), rows[block], inputs, norm
                )
                for total, grad in zip(grad_norm, grads, strict=True):
                    total += grad
            grad_x[block] = grad_rows
        weight_grads = *expand_grads.totals(), *project_grads.totals()
        return grad_x.view(ctx.shape), None, *weight_grads, *grad_norm


def norm_parameters(variant: Variant, parameters: Sequence[Tensor]) -> Norm | None:
    """Return the normalization whose weight and bias follow the layers' parameters."""
    return None if variant.eps is None else Norm(parameters[4], parameters[5], variant.eps)


def blocks(rows: int, hidden: int, dtype: torch.dtype) -> Iterator[slice]:
    """Split rows into blocks of about `BLOCK_BYTES` of hidden activations."""
    step = max(1, BLOCK_BYTES // (hidden * dtype.itemsize))
    return (slice(start, start + step) for start in range(0, rows, step))


def maybe_normalize(rows: Float[Tensor, "n c"], norm: Norm | None) -> Normalized:
    """Return the input of the first layer: the rows themselves where there is no norm."""
    return Normalized(rows, rows, rows) if norm is None else normalize(rows, norm)


def activate(hidden: Float[Tensor, "n d"], activation: Activation) -> Float[Tensor, "n d"]:
    """Apply the activation; ReLU in place, so that a saved tensor holds its output."""
    return hidden.relu_() if activation == "relu" else F.gelu(hidden)


def activation_backward(
    grad_out: Float[Tensor, "n d"], hidden: Float[Tensor, "n d"], activation: Activation
) -> Float[Tensor, "n d"]:
    """Compute the gradient of the activation's input; for ReLU `hidden` is its output."""
    if activation == "relu":
        return torch.ops.aten.threshold_backward(grad_out, hidden, 0)
    return torch.ops.aten.gelu_backward(grad_out, hidden)
