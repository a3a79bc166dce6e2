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

UNKNOWN = -1
"""The class of pixels that nobody labelled, and of ignored ones."""


class PixelCriterion(nn.Module):
    """Mean cross entropy over all pixels whose class is known, summed over the decoder's layers.

    The network tells one query per class (`modeling/transformer_decoders/per_pixel.py`); its mask
    logits are resized to the truth, as the authors do.
    """

    takes_factors: ClassVar[bool] = False

    def forward(
        self,
        output: SegmenterOutput,
        targets: list[Target],
        *,
        generator: torch.Generator | None = None,
    ) -> Losses:
        """Judge a batch; without any known pixel the loss is zero, yet part of the graph.

        Args:
            output: The network's output.
            targets: One per picture, a mask per class: where classes overlap, the last counts.
            generator: Not drawn from: every pixel counts.
        """
        classes = torch.stack([class_map(target) for target in targets])
        size = (output.mask_logits.shape[-2], output.mask_logits.shape[-1])
        known = known_pixels(classes == UNKNOWN, size)
        classes = classes.masked_fill(~known, UNKNOWN)
        pixels = mean_over_processes(known.sum(dtype=torch.float32)[None])[0]
        pixels = pixels.clamp(min=1 / count_processes())
        last, *earlier = (
            cross_entropy(layer.mask_logits, classes) / pixels
            for layer in (output, *output.auxiliary)
        )
        nothing = torch.zeros_like(last).detach()
        return Losses(sum(earlier, last), last.detach(), nothing, nothing, last.detach())


def cross_entropy(
    mask_logits: Float[Tensor, "b k i j"], classes: Int[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Sum the cross entropy of all known pixels at the size of the truth."""
    logits = F.interpolate(
        mask_logits.float(), classes.shape[-2:], mode="bilinear", align_corners=False
    )
    return F.cross_entropy(logits, classes, ignore_index=UNKNOWN, reduction="sum")


def class_map(target: Target) -> Int[Tensor, "h w"]:
    """Give every pixel's class."""
    classes = torch.full(
        target.masks.shape[-2:], UNKNOWN, dtype=torch.long, device=target.masks.device
    )
    for label, mask in zip(target.labels, target.masks, strict=True):
        classes[mask] = label
    if target.ignored is not None:
        classes[target.ignored] = UNKNOWN
    return classes
