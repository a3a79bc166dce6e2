"""Build losses from configurations."""

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
        network: Configuration of the network.
        config: Configuration of the loss; None for that of the network's authors.

    Raises:
        SettingsError: A loss of matched masks is configured for a per-pixel network.
    """
    if isinstance(network.transformer_decoder, PerPixelConfig | PerPixelPlusConfig):
        if config is not None:
            raise SettingsError("a per-pixel network has only one loss: leave out criterion")
        return PixelCriterion()
    config = config or default_losses(network)
    if isinstance(config, DenseCriterionConfig):
        return DenseCriterion(network.num_classes, config)
    return Criterion(network.num_classes, config)


def default_losses(network: SegmenterConfig) -> LossConfig:
    """Return the authors' losses for a network with queries."""
    maskformer = isinstance(network.transformer_decoder, StandardDecoderConfig)
    return DenseCriterionConfig() if maskformer else CriterionConfig()
