"""Per-pixel classification, the baselines that MaskFormer compares itself with (4.1).

Scores are told as one query per class, that class for certain, whose mask logits are the logarithms
of the pixels' class probabilities: whoever reads outputs needs no second kind. Mask logits differ
from scores by a number that all classes of a pixel share, and resizing keeps it shared, so the best
class of every pixel of any size, and the cross entropy there, are those of the resized scores.
A sigmoid never changes which mask is highest: logarithms of probabilities stay below 0, where it
rounds none to 1; small ones become 0 only where scores of neighbouring cells differ by over 170.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.masks import MaskFeatures
from unimask.modeling.layers.mlp import MLP
from unimask.modeling.pixel_decoders import PixelDecoderOutput
from unimask.outputs import LayerPrediction, SegmenterOutput

CERTAIN = 1000.0
"""A class logit this far above all others has the probability 1, to the bit, in any precision."""


class PerPixelHead(nn.Module):
    """Score the classes of every pixel of the mask features (`PerPixelBaselineHead`).

    Args:
        mask_dim: Channels of the mask features.
        num_classes: Classes.
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
        """Give one query per class; no earlier predictions, nor masks as factors."""
        return SegmenterOutput(*as_queries(self.classify(pixels.mask_features.projected())))


class PerClassHead(nn.Module):
    """Score every pixel by weights that queries make, one per class (`PerPixelBaselinePlusHead`).

    Args:
        dim: Width of the queries.
        mask_dim: Channels of the mask features.
    """

    def __init__(self, *, dim: int, mask_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mask_embed = MLP(dim, dim, mask_dim, num_layers=3)

    def forward(
        self, queries: Float[Tensor, "b k c"], mask_features: MaskFeatures
    ) -> LayerPrediction:
        """Give one query per class."""
        return as_queries(mask_features.masks(self.mask_embed(self.norm(queries))))


def as_queries(scores: Float[Tensor, "b k h w"]) -> LayerPrediction:
    """Tell class scores as one query per class."""
    count = scores.shape[1]
    certain = CERTAIN * (torch.eye(count, count + 1, device=scores.device) - 1)
    classes = certain.to(scores.dtype).expand(len(scores), -1, -1)
    return LayerPrediction(classes, scores.log_softmax(1))
