"""Linear layers by the fastest implementation: prepacked, with custom autograd, or PyTorch's.

On a CPU, oneDNN multiplies, with gradients or without. Prepacked weights are cached per module.
Layers marked by `set_int8` multiply 8-bit integers, which has no gradients.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.int8 import Int8Linear, computes_in_int8
from unimask.kernels.linear.autograd import linear_autograd, uses_custom_autograd
from unimask.kernels.linear.cache import cached_for_weights, drop_cached
from unimask.kernels.linear.prepacked import Activation, activate, prepacked_product
from unimask.kernels.rows import rowwise


def linear(
    x: Float[Tensor, "... c"], layer: nn.Linear, activation: Activation = "none"
) -> Float[Tensor, "... d"]:
    """Apply a linear layer, then an activation function.

    Args:
        x: Input rows.
        layer: The layer; its prepacked weight is cached while it is unchanged.
        activation: "none", "relu" or "gelu" (the exact one); always the same for a layer.
    """
    return linear_function(layer, activation)(x)


def linear_function(
    layer: nn.Linear, activation: Activation = "none"
) -> Callable[[Float[Tensor, "... c"]], Float[Tensor, "... d"]]:
    """Return `linear` as a function of x, valid until the weight changes."""
    if computes_in_int8(layer):
        return cached_for_weights(layer, lambda: Int8Linear(layer.weight, layer.bias, activation))
    if uses_custom_autograd(layer.weight):
        drop_cached(layer)
        return product(layer.weight, layer.bias, activation)
    return cached_for_weights(layer, lambda: product(layer.weight, layer.bias, activation))


def product(
    weight: Float[Tensor, "d c"], bias: Float[Tensor, " d"] | None, activation: Activation = "none"
) -> Callable[[Float[Tensor, "... c"]], Float[Tensor, "... d"]]:
    """Return `x -> activation(x @ weight.T + bias)`, with gradients if they are enabled.

    The weight is prepacked by this call, where it can be: do not change it between two calls of
    the returned function.

    Args:
        weight: Weight in the layout of `nn.Linear`.
        bias: Bias, or None.
        activation: "none", "relu" or "gelu" (the exact one).
    """
    if uses_custom_autograd(weight):
        return lambda x: activate(linear_autograd(x, weight, bias), activation)
    return prepacked_product(weight, bias, activation)


def product_of_sum(
    weight: Float[Tensor, "d c"], bias: Float[Tensor, " d"], *, int8: bool = False
) -> Callable[[Float[Tensor, "b n c"], Float[Tensor, "n c"]], Float[Tensor, "b n d"]]:
    """Return `(x, added) -> (x + added) @ weight.T + bias`; the sum is not saved for backward.

    Args:
        weight: Weight in the layout of `nn.Linear`.
        bias: Bias.
        int8: Whether to multiply 8-bit integers, without autograd support.
    """
    if int8:
        multiply_int8 = Int8Linear(weight, bias, "none")
        return lambda x, added: multiply_int8(x + added)
    if uses_custom_autograd(weight):
        return lambda x, added: linear_autograd(x, weight, bias, added)
    multiply = prepacked_product(weight, bias)
    return lambda x, added: multiply(x + added)


def norm_linear(
    x: Float[Tensor, "b ... c"], norm: nn.LayerNorm, layer: nn.Linear
) -> Float[Tensor, "b ... d"]:
    """Apply layer normalization, then a linear layer, to blocks of rows that fit the cache."""
    multiply = linear_function(layer)
    out = rowwise(lambda rows: multiply(norm(rows)))(x.flatten(1, -2))
    return out.unflatten(1, x.shape[1:-1])


def joint_projections(
    owner: nn.Module,
    weight: Float[Tensor, "d c"],
    bias: Float[Tensor, " d"],
    inputs: tuple[Float[Tensor, "b _ c"], ...],
) -> list[Float[Tensor, "b _ e"]]:
    """Apply each of the equal chunks of a joint weight to its own input.

    `nn.MultiheadAttention` stores the projections of queries, keys and values in this way.

    Args:
        owner: Module that holds the weight; the prepacked chunks are cached for it.
        weight: Weights of all projections, one below the other.
        bias: Biases of all projections.
        inputs: One input per projection.
    """
    chunks = list(zip(weight.chunk(len(inputs)), bias.chunk(len(inputs)), strict=True))

    def prepack() -> list[Callable[[Tensor], Tensor]]:
        if computes_in_int8(owner):
            return [Int8Linear(*chunk, "none") for chunk in chunks]
        return [product(*chunk) for chunk in chunks]

    products = cached_for_weights(owner, prepack)
    return [rowwise(multiply)(x) for multiply, x in zip(products, inputs, strict=True)]
