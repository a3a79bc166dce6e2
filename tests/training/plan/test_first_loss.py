"""The first loss of untrained networks equals its printed expectation."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY_DETR, TINY_ONEFORMER, TINY_PER_PIXEL, TINY_RESNET

from unimask.losses import build_criterion
from unimask.modeling.build import build_segmenter
from unimask.outputs import Target
from unimask.presets import PRESETS
from unimask.training.plan.first_loss import count_layers, expected_first_loss
from unimask.training.plan.words import sentence


def discs(seed: int, classes: int) -> Target:
    """Draw a target of six discs on a background."""
    random = torch.Generator().manual_seed(seed)
    places = torch.arange(128)
    centres = 128 * torch.rand(6, 2, generator=random)
    rows = (places[None, :, None] - centres[:, 0, None, None]) ** 2
    masks = rows + (places[None, None] - centres[:, 1, None, None]) ** 2 < 14**2
    masks = torch.cat([masks, ~masks.any(0, keepdim=True)])
    return Target(torch.randint(classes, (7,), generator=random), masks)


CONFIGS = {
    "mask2former": PRESETS["mask2former-nano"],
    "proposals": PRESETS["unimask-nano"],
    "maskformer": lambda classes: replace(
        PRESETS["maskformer-resnet50"](classes), backbone=TINY_RESNET.backbone
    ),
    "detr": lambda classes: replace(TINY_DETR, num_classes=classes),
    "per pixel": lambda classes: replace(TINY_PER_PIXEL, num_classes=classes),
}


@pytest.mark.parametrize("classes", [20, 150])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_first_loss_is_near_its_expectation(name, classes):
    config = CONFIGS[name](classes)
    torch.manual_seed(0)
    network = build_segmenter(config)
    images = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        output = network(images, ["panoptic"] * 2)
        targets = [discs(seed, classes) for seed in (0, 1)]
        losses = build_criterion(config)(
            output, targets, generator=torch.Generator().manual_seed(0)
        )
    first = expected_first_loss(config, None)
    assert float(losses.headline) == pytest.approx(first.last_layer, rel=0.25)
    assert float(losses.total) == pytest.approx(first.total, rel=0.25)
    predicted = len(output.boxes) or len(output.auxiliary) + 1
    assert count_layers(config) == first.layers == predicted


def test_words_add_up():
    first = expected_first_loss(replace(TINY_RESNET, num_classes=19), None)
    assert "2 x 3.00 class + 5 x 0.69 mask + 5 x 0.87 dice" in sentence(first)
    assert first.last_layer == pytest.approx(2 * 3.0 + 5 * 0.69 + 5 * 0.87, abs=0.05)
    assert expected_first_loss(TINY_ONEFORMER, None).layers == 4
