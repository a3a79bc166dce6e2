"""Losses that suit the training crops: number of sampled points, and weight of "no object"."""

from dataclasses import replace

from unimask.checkpoints import ModelDescription
from unimask.config import CriterionConfig, JointDecoderConfig, MaskedDecoderConfig

SMALL, MAX_FACTOR = 0.1, 4.0
"""Side of objects, as a share of the crop's side, up to which they are expected to be many; and
largest factor on the weight of "no object", as in `recipes/nuclei.py`.
"""

MASK_STRIDE = 4
"""Number of pixels per cell of a mask in training, in each direction."""

POINTS_PER_CELL, MIN_POINTS = 0.5, 1024
"""Largest number of sampled points per cell of a mask, and smallest number per mask.

The papers sample 12,544 points from masks of 65,536 cells (crops of 1024 x 1024). Masks of crops of
256 x 256 have 4,096 cells; as many points would sample each of them three times. The matcher
compares all cells instead: with a few random points, matches change at random between steps, and
classes are learned more slowly.
"""


def samples_points(model: ModelDescription) -> bool:
    """Return whether a network is trained with losses at sampled points."""
    return isinstance(model.config.transformer_decoder, MaskedDecoderConfig | JointDecoderConfig)


def selects_queries(model: ModelDescription) -> bool:
    """Return whether queries are selected from the image, so that larger images have more."""
    decoder = model.config.transformer_decoder
    return isinstance(decoder, MaskedDecoderConfig) and decoder.proposals > 0


def num_points(crop: int) -> int:
    """Compute the number of points sampled per mask of a crop with a side of `crop` pixels."""
    cells = (crop // MASK_STRIDE) ** 2
    return min(CriterionConfig().num_points, max(MIN_POINTS, round(POINTS_PER_CELL * cells)))


def losses_for(crop: int) -> CriterionConfig:
    """Return the default losses with the number of points for crops with a side of `crop`."""
    default, points = CriterionConfig(), num_points(crop)
    if points == default.num_points:
        return default
    fraction = 1 / default.num_points
    return replace(default, num_points=points, matching="cells", dice_smoothing=fraction)


def no_object_weight(larger: float, side: float) -> float:
    """Compute the weight of "no object" if queries are selected from the image.

    An image of four crops has four times the queries of a crop, whose scores would add up and
    outweigh the few correct queries of a pixel. Small objects get several competing queries.

    Args:
        larger: Side of images in prediction, in crops.
        side: Side of objects, in crops.
    """
    times = MAX_FACTOR if side <= SMALL else min(max(larger**2, 1.0), MAX_FACTOR)
    return times * CriterionConfig().no_object_weight
