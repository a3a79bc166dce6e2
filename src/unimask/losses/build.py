"""Configuration to loss."""

from unimask.config import (
    CriterionConfig,
    DenseCriterionConfig,
    LossConfig,
    MaskedDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    SegmenterConfig,
    StandardDecoderConfig,
)
from unimask.errors import SettingsError
from unimask.losses.criterion import Criterion
from unimask.losses.dense import DenseCriterion
from unimask.losses.per_pixel import PixelCriterion

PROPOSED_NO_OBJECT = 0.4
"""Weight of "no object" where queries are cells of the picture (`recipes/nuclei.py`): hundreds of
them that answer it with a doubt outvote, summed up over a pixel, the few that are right."""


def build_criterion(
    network: SegmenterConfig, config: LossConfig | None = None
) -> Criterion | DenseCriterion | PixelCriterion:
    """Build the loss that trains a network.

    Args:
        network: What is trained.
        config: Which loss, with its numbers; None takes that of the network's authors.

    Raises:
        SettingsError: A loss of matched masks is wanted for a network without queries.
    """
    if isinstance(network.transformer_decoder, PerPixelConfig | PerPixelPlusConfig):
        if config is not None:
            raise SettingsError("a per-pixel network has one loss: give no criterion")
        return PixelCriterion()
    config = config or own_losses(network)
    if isinstance(config, DenseCriterionConfig):
        return DenseCriterion(network.num_classes, config)
    return Criterion(network.num_classes, config)


def own_losses(network: SegmenterConfig) -> LossConfig:
    """Give the losses of a network's authors, for one that has queries."""
    decoder = network.transformer_decoder
    if isinstance(decoder, StandardDecoderConfig):
        return DenseCriterionConfig()
    if isinstance(decoder, MaskedDecoderConfig) and decoder.proposals:
        return CriterionConfig(no_object_weight=PROPOSED_NO_OBJECT)
    return CriterionConfig()
