"""Losses depend on the size of the training crops."""

from dataclasses import replace

import pytest
from conftest import TINY_RESNET, tiny_checkpoint

from unimask.config import CriterionConfig, PerPixelConfig, StandardDecoderConfig
from unimask.training.plan.losses import losses_for, num_points, samples_points


@pytest.mark.parametrize(
    ("crop", "points"), [(64, 1024), (160, 1024), (256, 2048), (512, 8192), (640, 12544)]
)
def test_points_are_at_most_half_of_the_cells_of_a_mask(crop, points):
    assert num_points(crop) == points


def test_matching_uses_the_points_of_the_papers():
    assert losses_for(256) == CriterionConfig(
        num_points=2048, matching="cells", dice_smoothing=1 / 12544
    )
    assert losses_for(1024) == CriterionConfig()


def test_large_crops_use_the_number_of_the_papers():
    assert num_points(1024) == num_points(4096) == CriterionConfig().num_points


@pytest.mark.parametrize("decoder", [StandardDecoderConfig(), PerPixelConfig()])
def test_only_losses_at_points_have_a_number_of_points(decoder):
    description = tiny_checkpoint(TINY_RESNET).description
    assert samples_points(description)
    config = replace(description.config, transformer_decoder=decoder)
    assert not samples_points(replace(description, config=config))
