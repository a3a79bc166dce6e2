"""Build losses from configurations."""

from unimask.config import (
    BoxCriterionConfig,
    CriterionConfig,
    DenseCriterionConfig,
    DetrPixelDecoderConfig,
    LossConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    SegmenterConfig,
    StandardDecoderConfig,
)
from unimask.errors import SettingsError
from unimask.losses.box_criterion import BoxCriterion
from unimask.losses.criterion import Criterion
from unimask.losses.dense import DenseCriterion
from unimask.losses.per_pixel import PixelCriterion


def build_criterion(
    network: SegmenterConfig, config: LossConfig | None = None
) -> Criterion | DenseCriterion | BoxCriterion | PixelCriterion:
    """Build the loss that trains a network.

    Per-pixel networks and DETRs have one loss each, which fits no other network.

    Args:
        network: Configuration of the network.
        config: Configuration of the loss; None for that of the network's authors.

    Raises:
        SettingsError: The loss does not fit the network.
    """
    if isinstance(network.transformer_decoder, PerPixelConfig | PerPixelPlusConfig):
        if config is not None:
            raise SettingsError("a per-pixel network has only one loss: leave out criterion")
        return PixelCriterion()
    predicts_boxes = isinstance(network.pixel_decoder, DetrPixelDecoderConfig)
    config = config or default_losses(network)
    if isinstance(config, BoxCriterionConfig) != predicts_boxes:
        raise SettingsError(
            "a DETR, and no other network, is trained with BoxCriterionConfig: leave out criterion"
        )
    if isinstance(config, BoxCriterionConfig):
        return BoxCriterion(network.num_classes, config)
    if isinstance(config, DenseCriterionConfig):
        return DenseCriterion(network.num_classes, config)
    return Criterion(network.num_classes, config)


def default_losses(network: SegmenterConfig) -> LossConfig:
    """Return the authors' losses for a network with queries."""
    if isinstance(network.pixel_decoder, DetrPixelDecoderConfig):
        return BoxCriterionConfig()
    maskformer = isinstance(network.transformer_decoder, StandardDecoderConfig)
    return DenseCriterionConfig() if maskformer else CriterionConfig()
