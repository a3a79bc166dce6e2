"""The last blocks of a ViT, which process queries and patches together (EoMT, 3.2).

Masks are products of queries and patches, upscaled to stride 4: there is no pixel decoder.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.blocked_positions import blocked_patches
from unimask.modeling.backbones.vit import PatchTokens
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.layers.masks import MaskFeatures
from unimask.modeling.layers.vit_block import ViTBlock
from unimask.outputs import LayerPrediction, SegmenterOutput


class UpscaleBlock(nn.Module):
    """Doubling of the height and width of a map (`models/scale_block.py`).

    Args:
        dim: Number of channels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(dim, dim, 2, stride=2)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False)
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c i j"]:
        """Upscale."""
        x = self.conv2(F.gelu(self.conv1(x)))
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class JointDecoder(nn.Module):
    """Blocks that process learned queries beside the tokens of an image (figure 1, right).

    Args:
        dim: Number of channels of a token.
        num_queries: Number of queries.
        blocks: Blocks.
        head: Prediction head; its normalization is also that of the patches.
        upscale: Module from patches to mask features at stride 4.
        mask_probs: Probability, per block, that a query attends only inside its mask.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_queries: int,
        blocks: Sequence[ViTBlock],
        head: MaskHead,
        upscale: nn.Module,
        mask_probs: tuple[float, ...],
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(num_queries, dim))
        self.blocks = nn.ModuleList(blocks)
        self.head = head
        self.upscale = upscale
        self.mask_probs = mask_probs

    def forward(
        self,
        tokens: PatchTokens,
        task_token: Float[Tensor, "b c"] | None = None,
        *,
        auxiliary: bool,
        factored: bool = False,
    ) -> SegmenterOutput:
        """Predict classes and masks of all queries.

        Args:
            tokens: Tokens of the backbone.
            task_token: None; the network has no task.
            auxiliary: Whether to return the predictions before each block too.
            factored: Ignored: the mask features of blocks differ, and masks are computed.
        """
        queries = self.queries.expand(tokens.features.shape[0], -1, -1)
        x, earlier = torch.cat([queries, tokens.features], dim=1), []
        for block, prob in zip(self.blocks, self.mask_probs, strict=True):
            blocked = None
            if auxiliary or prob > 0:
                earlier.append(self.predict(x, tokens))
            if prob > 0:
                counts = x.shape[1], len(self.queries)
                blocked = blocked_patches(earlier[-1].mask_logits, tokens.grid, counts, prob)
            x = block(x, tokens.rotary, blocked)
        predicted = [*(earlier if auxiliary else ()), self.predict(x, tokens)]
        height, width = (-(-side // 4) for side in tokens.image_size)
        *others, last = (
            LayerPrediction(classes, masks[..., :height, :width]) for classes, masks in predicted
        )
        return SegmenterOutput(*last, tuple(others), queries if auxiliary else None)

    def predict(self, x: Float[Tensor, "b n c"], tokens: PatchTokens) -> LayerPrediction:
        """Predict classes and masks from queries, which are the first tokens, and patches."""
        rows, columns = tokens.grid
        queries, patches = x[:, : len(self.queries)], x[:, -rows * columns :]
        maps = self.head.norm(patches).transpose(1, 2).unflatten(2, tokens.grid)
        return self.head(queries, MaskFeatures(self.upscale(maps)))
