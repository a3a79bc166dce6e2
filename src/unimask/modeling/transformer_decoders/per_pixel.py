"""Per-pixel classification: the baselines of MaskFormer (4.1).

Scores are returned as one query per class with that class at probability 1, whose mask logits
are the logarithms of the pixels' class probabilities, so that outputs have one format.

Mask logits differ from scores by a constant per pixel that all classes share, before and after
resizing, so the best class of every pixel at any size, and the cross entropy, are those of the
resized scores. The sigmoid of mask logits never changes their order: logarithms of probabilities
are below 0, where no sigmoid rounds to 1; small ones round to 0 only where scores of adjacent
pixels differ by over 170.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.masks import MaskFeatures
from unimask.modeling.layers.mlp import MLP
from unimask.modeling.pixel_decoders import PixelDecoderOutput
from unimask.outputs import LayerPrediction, SegmenterOutput

CERTAIN = 1000.0
"""Difference of class logits at which the softmax is exactly 1 in any precision."""


class PerPixelHead(nn.Module):
    """Linear classifier of the mask features of every pixel (`PerPixelBaselineHead`).

    Args:
        mask_dim: Number of channels of the mask features.
        num_classes: Number of classes.
    """

    def __init__(self, *, mask_dim: int, num_classes: int) -> None:
        super().__init__()
        self.classify = nn.Conv2d(mask_dim, num_classes, 1)
        nn.init.kaiming_normal_(self.classify.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.classify.bias)  # type: ignore[arg-type]

    def forward(
        self,
        pixels: PixelDecoderOutput,
        task_token: Float[Tensor, "b c"] | None = None,
        *,
        auxiliary: bool,
        factored: bool = False,
    ) -> SegmenterOutput:
        """Predict one query per class; there are no earlier predictions, and masks are computed."""
        return SegmenterOutput(*as_queries(self.classify(pixels.mask_features.projected())))


class PerClassHead(nn.Module):
    """Pixel classifier whose weights come from one query per class (`PerPixelBaselinePlusHead`).

    Args:
        dim: Number of channels of the queries.
        mask_dim: Number of channels of the mask features.
    """

    def __init__(self, *, dim: int, mask_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mask_embed = MLP(dim, dim, mask_dim, num_layers=3)

    def forward(
        self, queries: Float[Tensor, "b k c"], mask_features: MaskFeatures
    ) -> LayerPrediction:
        """Predict one query per class."""
        return as_queries(mask_features.masks(self.mask_embed(self.norm(queries))))


def as_queries(scores: Float[Tensor, "b k h w"]) -> LayerPrediction:
    """Convert class scores of pixels to one query per class."""
    count = scores.shape[1]
    certain = CERTAIN * (torch.eye(count, count + 1, device=scores.device) - 1)
    classes = certain.to(scores.dtype).expand(scores.shape[0], -1, -1)
    return LayerPrediction(classes, scores.log_softmax(1))
