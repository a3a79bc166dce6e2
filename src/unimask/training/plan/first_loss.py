"""Expected first loss of a run, for comparison with the first logged loss."""

import math

from unimask.config import (
    BoxCriterionConfig,
    JointDecoderConfig,
    LossConfig,
    MaskedDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    SegmenterConfig,
)
from unimask.datasets.clips import CLIP_FRAMES
from unimask.losses.build import default_losses
from unimask.training.plan.facts import FirstLoss

UNTRAINED_MASK_LOSSES = {
    "points": (math.log(2), 0.87),
    "dense": (0.045, 0.86),
    "proposals": (0.3, 0.52),
    "boxes": (0.045, 0.86),
}
"""Mask and dice loss of untrained networks: undecided pixels cost log 2, and since the best of many
queries is matched, the values are slightly lower than at probability one half. Measured on presets
with objects that cover a few percent of the image; the focal loss ("dense") may be several times as
large if all initial masks happen to be bright.
"""


UNTRAINED_BOX_LOSSES = (1.0, 0.95)
"""L1 and GIoU loss of untrained networks, whose boxes cover the middle half of each side."""


def expected_first_loss(network: SegmenterConfig, config: LossConfig | None) -> FirstLoss:
    """Compute the expected first loss of an untrained network, whose classes are equally likely.

    Args:
        network: Configuration of the network.
        config: Configuration of the losses; None for the network's default.
    """
    decoder, layers = network.transformer_decoder, count_layers(network)
    class_loss = new_head_loss(network)
    if isinstance(decoder, PerPixelConfig | PerPixelPlusConfig):
        return FirstLoss(terms=(("class", 1.0, class_loss),), layers=layers)
    losses = config or default_losses(network)
    kind = losses.kind
    if isinstance(decoder, MaskedDecoderConfig) and decoder.proposals and kind == "points":
        kind = "proposals"
    frames = CLIP_FRAMES if network.clips else 1  # each frame of an object has a mask
    mask_loss, dice_loss = (frames * loss for loss in UNTRAINED_MASK_LOSSES[kind])
    classes = (("class", losses.class_weight, class_loss),)
    masks = (("mask", losses.mask_weight, mask_loss), ("dice", losses.dice_weight, dice_loss))
    if not isinstance(losses, BoxCriterionConfig):
        return FirstLoss(terms=classes + masks, layers=layers)
    box_loss, giou_loss = UNTRAINED_BOX_LOSSES
    boxes = (("box", losses.box_weight, box_loss), ("GIoU", losses.giou_weight, giou_loss))
    return FirstLoss(terms=classes + boxes, layers=layers, last_terms=masks)


def new_head_loss(network: SegmenterConfig) -> float:
    """Compute the cross entropy of a new class head: the logarithm of the number of outputs."""
    per_pixel = isinstance(network.transformer_decoder, PerPixelConfig | PerPixelPlusConfig)
    return math.log(network.num_classes + (0 if per_pixel else 1))


def count_layers(network: SegmenterConfig) -> int:
    """Return the number of layers whose predictions have losses."""
    decoder = network.transformer_decoder
    if isinstance(decoder, PerPixelConfig):
        return 1
    return decoder.num_layers + isinstance(decoder, MaskedDecoderConfig | JointDecoderConfig)
