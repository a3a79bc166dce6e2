"""The loss of per-pixel classification: cross entropy (MaskFormer, 3.1)."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unimask.losses.matched import Losses
from unimask.losses.points import known_pixels
from unimask.losses.processes import count_processes, mean_over_processes
from unimask.outputs import SegmenterOutput, Target

UNLABELLED = -1
"""Class of pixels without a label, and of ignored ones."""


class PixelCriterion(nn.Module):
    """Mean cross entropy over all labelled pixels, summed over the decoder's layers.

    The network returns one query per class (`modeling/transformer_decoders/per_pixel.py`), whose
    mask logits are resized to the ground truth, as in the authors' code.
    """

    takes_factors: ClassVar[bool] = False

    def forward(
        self,
        output: SegmenterOutput,
        targets: list[Target],
        *,
        generator: torch.Generator | None = None,
    ) -> Losses:
        """Compute the loss of a batch; without labelled pixels it is zero, with gradients of zero.

        Args:
            output: Output of the network.
            targets: Ground truth of each image, a mask per class; where they overlap, the last one
                counts.
            generator: Ignored: every pixel counts.
        """
        classes = torch.stack([class_map(target) for target in targets])
        size = (output.mask_logits.shape[-2], output.mask_logits.shape[-1])
        known = known_pixels(classes == UNLABELLED, size)
        classes = classes.masked_fill(~known, UNLABELLED)
        pixels = mean_over_processes(known.sum(dtype=torch.float32)[None])[0]
        pixels = pixels.clamp(min=1 / count_processes())
        last, *earlier = (
            cross_entropy(layer.mask_logits, classes) / pixels
            for layer in (output, *output.auxiliary)
        )
        zero = torch.zeros_like(last).detach()
        return Losses(sum(earlier, last), last.detach(), zero, zero, last.detach())


def cross_entropy(
    mask_logits: Float[Tensor, "b k i j"], classes: Int[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Sum the cross entropy of all labelled pixels at the size of the ground truth."""
    logits = F.interpolate(
        mask_logits.float(), classes.shape[-2:], mode="bilinear", align_corners=False
    )
    return F.cross_entropy(logits, classes, ignore_index=UNLABELLED, reduction="sum")


def class_map(target: Target) -> Int[Tensor, "h w"]:
    """Return the class of every pixel."""
    classes = torch.full(
        target.masks.shape[-2:], UNLABELLED, dtype=torch.long, device=target.masks.device
    )
    for label, mask in zip(target.labels, target.masks, strict=True):
        classes[mask] = label
    if target.ignored is not None:
        classes[target.ignored] = UNLABELLED
    return classes
