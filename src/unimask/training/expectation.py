"""Expected first loss of a run, for comparison with the first logged loss."""

import math
from typing import NamedTuple

from unimask.config import (
    LossConfig,
    MaskedDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    SegmenterConfig,
)
from unimask.losses.build import default_losses

FRESH_MASKS = {"points": (math.log(2), 0.87), "dense": (0.045, 0.86), "proposals": (0.3, 0.52)}
"""Mask and dice loss of untrained networks: undecided pixels cost log 2, and since the best of many
queries is matched, the values are slightly lower than at probability one half. Measured on presets
with objects that cover a few percent of the image; the focal loss ("dense") may be several times as
large if all initial masks happen to be bright.
"""


class Expectation(NamedTuple):
    """Expected first loss of an untrained network.

    Attributes:
        headline: Loss of the last layer.
        total: Loss of all layers, without the contrastive loss.
        layers: Number of layers.
        words: Headline as a weighted sum of its terms.
    """

    headline: float
    total: float
    layers: int
    words: str


def expect(network: SegmenterConfig, config: LossConfig | None) -> Expectation:
    """Compute the expected first loss of an untrained network, whose classes are equally likely.

    Args:
        network: Configuration of the network.
        config: Configuration of the losses; None for the network's default.
    """
    decoder = network.transformer_decoder
    classes = fresh_class_loss(network)
    layers = count_layers(network)
    if isinstance(decoder, PerPixelConfig | PerPixelPlusConfig):
        words = f"log({network.num_classes}) of the classes"
        return Expectation(classes, layers * classes, layers, words)
    losses = config or default_losses(network)
    kind = losses.kind
    if isinstance(decoder, MaskedDecoderConfig) and decoder.proposals and kind == "points":
        kind = "proposals"
    mask, dice = FRESH_MASKS[kind]
    parts = (
        (losses.class_weight, classes, "class"),
        (losses.mask_weight, mask, "mask"),
        (losses.dice_weight, dice, "dice"),
    )
    headline = sum(weight * value for weight, value, _ in parts)
    words = " + ".join(f"{weight:g} x {value:.2f} {name}" for weight, value, name in parts)
    return Expectation(headline, layers * headline, layers, words)


def fresh_class_loss(network: SegmenterConfig) -> float:
    """Compute the cross entropy of a new class head: the logarithm of the number of outputs."""
    per_pixel = isinstance(network.transformer_decoder, PerPixelConfig | PerPixelPlusConfig)
    return math.log(network.num_classes + (0 if per_pixel else 1))


def count_layers(network: SegmenterConfig) -> int:
    """Return the number of layers whose predictions have losses."""
    decoder = network.transformer_decoder
    if isinstance(decoder, PerPixelConfig):
        return 1
    return decoder.num_layers + isinstance(decoder, MaskedDecoderConfig)
