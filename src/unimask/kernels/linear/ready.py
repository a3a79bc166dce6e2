"""Linear layers that many calls share, with gradients or without."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.linear.learning import learn_linear, learns
from unimask.kernels.linear.packed import Activation, activate, ready_product


def ready_linear(
    weight: Float[Tensor, "d c"], bias: Float[Tensor, " d"] | None, activation: Activation = "none"
) -> Callable[[Float[Tensor, "... c"]], Float[Tensor, "... d"]]:
    """Give `activation(x @ weight.T + bias)` as a function of x, made ready for many calls.

    On a CPU oneDNN multiplies, with gradients or without.
    The weight may change between two calls of this function, not between those of its result.

    Args:
        weight: In the order of `nn.Linear`.
        bias: None adds nothing.
        activation: "none", "relu" or "gelu" (the exact one).
    """
    if learns(weight):
        return lambda x: activate(learn_linear(x, weight, bias), activation)
    return ready_product(weight, bias, activation)


def ready_layer(
    layer: nn.Linear, activation: Activation = "none"
) -> Callable[[Float[Tensor, "... c"]], Float[Tensor, "... d"]]:
    """Give a linear layer, then an activation, as `ready_linear` does."""
    return ready_linear(layer.weight, layer.bias, activation)


def ready_linear_of_sum(
    weight: Float[Tensor, "d c"], bias: Float[Tensor, " d"]
) -> Callable[[Float[Tensor, "b n c"], Float[Tensor, "n c"]], Float[Tensor, "b n d"]]:
    """Give `(x + added) @ weight.T + bias` as a function of both; gradients keep no sum."""
    if learns(weight):
        return lambda x, added: learn_linear(x, weight, bias, added)
    product = ready_product(weight, bias)
    return lambda x, added: product(x + added)
