"""Feature-aligned pyramid: outputs and gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import DECODERS, TINY_FAPN, TINY_MASKFORMER, draw_discs

from unimask.losses import build_criterion
from unimask.modeling.build import build_segmenter
from unimask.modeling.pixel_decoders.fapn import AlignedStep, FeatureSelection
from unimask.outputs import Target


def test_selection_weighs_channels_by_the_whole_map():
    torch.manual_seed(0)
    part = FeatureSelection(input_dim=6, dim=8)
    feature = torch.randn(2, 6, 5, 7)
    means = feature.mean((2, 3))
    weights = torch.sigmoid(means @ part.importance.weight[:, :, 0, 0].T + part.importance.bias)
    weighed = feature * (1 + weights[:, :, None, None])
    torch.testing.assert_close(part(feature), part.select(weighed))


def test_a_step_adds_the_aligned_features():
    """With offsets of one pixel, the added map is the upsampled one, shifted."""
    torch.manual_seed(0)
    step = AlignedStep(input_dim=6, dim=8, num_groups=2).eval()
    finer, coarser = torch.randn(1, 6, 8, 10), torch.randn(1, 8, 4, 5)
    with torch.no_grad():
        step.align.guide.bias.view(2, 9, 3)[:, :, 0] = 1.0  # x
        actual = step(finer, coarser)
        upsampled = F.interpolate(coarser, (8, 10), mode="bilinear", align_corners=False)
        ahead = F.pad(upsampled, (1, 2, 1, 1))[..., 1:]  # every tap reads the next column
        moved = F.conv2d(ahead, step.align.weight) / 2
        expected = step.output(step.selection(finer) + moved.relu())
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def discs_and_targets():
    pixels, targets = [], []
    for seed in range(2):
        image, ids = draw_discs(seed, (64, 64), count=3)
        masks = torch.from_numpy(np.stack([ids == n for n in range(1, 4)]))
        pixels.append(torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1)
        targets.append(Target(torch.zeros(3, dtype=torch.long), masks))
    return torch.stack(pixels), targets


DECODER = {
    "maskformer": TINY_FAPN,
    "masked attention": replace(TINY_FAPN, transformer_decoder=DECODERS["transformer_decoder"]),
}


@pytest.mark.parametrize(("name", "steps"), [("maskformer", 60), ("masked attention", 25)])
def test_it_trains_on_discs_with_either_decoder(name, steps):
    torch.manual_seed(0)
    network = build_segmenter(DECODER[name]).train()
    criterion = build_criterion(DECODER[name])
    pixels, targets = discs_and_targets()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    dice = []
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        losses = criterion(network(pixels), targets, generator=generator)
        optimizer.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        dice.append(float(losses.dice_loss))
    assert sum(dice[-5:]) < 0.6 * sum(dice[:5])
    moved = [step.align.guide.weight.abs().max() for step in network.pixel_decoder.steps]
    assert min(moved) > 1e-3


def test_fapn_replaces_the_plain_pyramid():
    plain, aligned = (build_segmenter(config).eval() for config in (TINY_MASKFORMER, TINY_FAPN))
    features = tuple(torch.randn(1, c, s, s + 3) for c, s in ((8, 17), (16, 9), (16, 5), (32, 3)))
    with torch.no_grad():
        expected, actual = plain.pixel_decoder(features), aligned.pixel_decoder(features)
    assert actual.mask_features.maps.shape == expected.mask_features.maps.shape
    for ours, theirs in zip(
        actual.multi_scale_features, expected.multi_scale_features, strict=True
    ):
        assert ours.shape == theirs.shape
