"""What the first loss of a run should be, so that a large number frightens nobody."""

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
"""Mask and dice loss of untrained networks: undecided pixels cost log 2, and the best of many
queries is matched, which makes the others a little less than their values at one half. Measured on
presets, with objects that cover a few hundredths of the picture; the focal loss ("dense") may be
some times as large, where chance made all of the first masks bright."""


class Expectation(NamedTuple):
    """The first loss of an untrained network.

    Attributes:
        headline: Of the last layer.
        total: Of all layers, without a contrast with texts.
        layers: How many they are.
        words: The headline as a sum, spelt out.
    """

    headline: float
    total: float
    layers: int
    words: str


def expect(network: SegmenterConfig, config: LossConfig | None) -> Expectation:
    """Say what an untrained network's first loss is: no class is likelier than another.

    Args:
        network: Untrained.
        config: Of the losses; None for the network's own.
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
    """Give the cross entropy of a fresh class head: the logarithm of the number of answers."""
    per_pixel = isinstance(network.transformer_decoder, PerPixelConfig | PerPixelPlusConfig)
    return math.log(network.num_classes + (0 if per_pixel else 1))


def count_layers(network: SegmenterConfig) -> int:
    """Count the predictions that are judged."""
    decoder = network.transformer_decoder
    if isinstance(decoder, PerPixelConfig):
        return 1
    return decoder.num_layers + isinstance(decoder, MaskedDecoderConfig)
