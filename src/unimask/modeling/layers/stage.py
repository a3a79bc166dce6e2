"""Stages of hierarchical vision transformers."""

from jaxtyping import Float
from torch import Tensor, nn


class Stage(nn.Module):
    """Blocks, then downsampling except in the last stage."""

    def __init__(self, blocks: nn.Sequential, downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = blocks
        self.downsample = downsample

    def forward(
        self, x: Float[Tensor, "b h w c"]
    ) -> tuple[Float[Tensor, "b h w c"], Float[Tensor, "b i j d"]]:
        """Return the map of this stage and the input of the next."""
        x = self.blocks(x)
        return x, x if self.downsample is None else self.downsample(x)
