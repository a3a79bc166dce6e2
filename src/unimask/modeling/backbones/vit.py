"""Plain vision transformer (Dosovitskiy et al. 2021) with registers, as in DINOv2 and DINOv3."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.position_table import positions_at
from unimask.kernels.rotary import RotaryPositions, rotary_positions
from unimask.modeling.layers.vit_block import ViTBlock


class PatchTokens(NamedTuple):
    """Output of a ViT's blocks.

    Attributes:
        features: Class token, registers, and patches row by row.
        grid: Number of rows and columns of patches.
        image_size: Height and width of the images, which padding completes to whole patches.
        rotary: Rotary positions of the patches, for further blocks; None if positions are learned.
    """

    features: Float[Tensor, "b n c"]
    grid: tuple[int, int]
    image_size: tuple[int, int]
    rotary: RotaryPositions | None


class ViT(nn.Module):
    """Vision transformer; images are padded with zeros on the right and below to whole patches.

    Args:
        dim: Number of channels of a token.
        blocks: Blocks.
        patch_size: Side of a patch in pixels.
        num_registers: Number of register tokens.
        side: Number of rows, and of columns, of learned position embeddings.
        rotary: Channels of a head, base, and maximum random factor of rotary positions (see
            `rotary_positions`); None for learned positions.
        in_channels: Number of channels of the image.
    """

    def __init__(
        self,
        *,
        dim: int,
        blocks: Sequence[ViTBlock],
        patch_size: int,
        num_registers: int,
        side: int,
        rotary: tuple[int, float, float] | None,
        in_channels: int,
    ) -> None:
        super().__init__()
        self.channels, self.strides = (dim,), (patch_size,)
        self.side, self.rotary = side, rotary
        self.patch_embed = nn.Conv2d(in_channels, dim, patch_size, patch_size)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.registers = nn.Parameter(torch.zeros(1, num_registers, dim))
        if rotary is None:
            self.positions = nn.Parameter(0.02 * torch.randn(side**2, dim))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> PatchTokens:
        """Compute the tokens of images."""
        (height, width), (stride,) = pixel_values.shape[-2:], self.strides
        patches = self.patch_embed(F.pad(pixel_values, (0, -width % stride, 0, -height % stride)))
        grid = patches.shape[-2], patches.shape[-1]
        patches, rotary = patches.flatten(2).transpose(1, 2), None
        if self.rotary is None:
            patches = patches + positions_at(self.positions, self.side, grid)
        else:
            channels, base, rescale = self.rotary
            scale = rescale ** (2 * torch.rand(()).item() - 1) if self.training else 1.0
            rotary = rotary_positions(grid, channels, base, scale, patches.device, patches.dtype)
        prefix = torch.cat([self.cls_token, self.registers], dim=1)
        x = torch.cat([prefix.expand(patches.shape[0], -1, -1), patches], dim=1)
        for block in self.blocks:
            x = block(x, rotary)
        return PatchTokens(x, grid, (height, width), rotary)
