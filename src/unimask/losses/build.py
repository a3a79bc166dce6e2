"""Configuration to loss."""

from unimask.config import (
    CriterionConfig,
    DenseCriterionConfig,
    LossConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    SegmenterConfig,
    StandardDecoderConfig,
)
from unimask.errors import SettingsError
from unimask.losses.criterion import Criterion
from unimask.losses.dense import DenseCriterion
from unimask.losses.per_pixel import PixelCriterion


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
    maskformer = isinstance(network.transformer_decoder, StandardDecoderConfig)
    return DenseCriterionConfig() if maskformer else CriterionConfig()
