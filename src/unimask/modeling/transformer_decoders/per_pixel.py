"""Per-pixel classification, the baseline that MaskFormer compares itself with (4.1)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.pixel_decoders import PixelDecoderOutput
from unimask.outputs import SegmenterOutput

CERTAIN = 1000.0
"""A class logit this far above all others has the probability 1, to the bit, in any precision."""


class PerPixelHead(nn.Module):
    """Score the classes of every pixel of the mask features (`PerPixelBaselineHead`).

    The scores are told as one query per class, which is that class for certain, and whose mask
    logits are the logarithms of the pixels' class probabilities. That says what every other
    network's output says, and whoever reads outputs needs no second kind of them:

    - A class's mask logits differ from the convolution's results by a number that all classes of a
      pixel share. Resizing is linear and keeps it shared, so the best class of every pixel of any
      size, and the cross entropy there, are those of the convolution's resized results.
    - A sigmoid never changes which mask is highest. Logarithms of probabilities stay below 0, where
      it does not round great values to 1; small ones become 0 only where the scores of
      neighbouring cells differ by more than 170.

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
    ) -> SegmenterOutput:
        """Give one query per class; there are no earlier predictions to give."""
        logits = self.classify(pixels.mask_features)
        count = logits.shape[1]
        certain = CERTAIN * (torch.eye(count, count + 1, device=logits.device) - 1)
        classes = certain.to(logits.dtype).expand(len(logits), -1, -1)
        return SegmenterOutput(classes, logits.log_softmax(1))
