"""3x3 convolutions with stride 1."""

from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.convolution import convolution_3x3


class Convolution3x3(nn.Conv2d):
    """3x3 convolution that keeps the size of the map.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        bias: Whether the convolution has a bias.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Convolve."""
        return convolution_3x3(input, self)
