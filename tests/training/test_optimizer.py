"""Learning rates of the optimizer's groups."""

from dataclasses import replace

import pytest
from conftest import TINY_RESNET
from torch import nn

from unimask.modeling.backbones.resnet import BasicBlock, Bottleneck
from unimask.modeling.build import build_segmenter
from unimask.presets import preset
from unimask.training import TrainingSettings
from unimask.training.optimizer import build_optimizer, rates_of_backbone

SETTINGS = TrainingSettings(backbone_rate=0.5, layer_decay=0.8)


def rate_of(network: nn.Module, settings: TrainingSettings, parameter: nn.Parameter) -> float:
    groups = build_optimizer(network, settings, pretrained=True).param_groups
    return next(g["rate"] for g in groups if any(p is parameter for p in g["params"]))


def test_rates_decay_from_the_last_layer_to_the_first():
    network = build_segmenter(TINY_RESNET)
    layers = [m for m in network.backbone.modules() if isinstance(m, Bottleneck | BasicBlock)]
    assert len(layers) > 3
    rates = [rate_of(network, SETTINGS, next(iter(layer.parameters()))) for layer in layers]
    assert rates == pytest.approx([0.5 * 0.8**k for k in reversed(range(len(layers)))])
    first = next(iter(network.backbone.parameters()))
    assert rate_of(network, SETTINGS, first) == pytest.approx(0.5 * 0.8 ** len(layers))
    head = next(iter(network.transformer_decoder.parameters()))
    assert rate_of(network, SETTINGS, head) == 1.0


def test_without_decay_a_backbone_has_one_rate():
    network = build_segmenter(TINY_RESNET)
    rates = set(rates_of_backbone(network, replace(SETTINGS, layer_decay=1.0)).values())
    assert rates == {0.5}


def test_random_backbones_have_the_full_rate():
    network = build_segmenter(TINY_RESNET)
    groups = build_optimizer(network, SETTINGS, pretrained=False).param_groups
    assert {group["rate"] for group in groups} == {1.0}


@pytest.mark.extra
def test_layers_are_those_of_timm():
    timm = pytest.importorskip("timm")
    from timm.models import group_parameters

    theirs = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    layers = group_parameters(theirs, theirs.group_matcher(coarse=False), reverse=True)
    blocks = sorted({layers[name] for name in layers if name.startswith("blocks.")})
    network = build_segmenter(preset("mask2former-lite0", 3))
    rates = rates_of_backbone(network, replace(SETTINGS, backbone_rate=1.0))
    assert layers["conv_stem.weight"] == 0
    assert rates["backbone.stem"] == pytest.approx(0.8 ** len(blocks))
    for stage, block in ((0, 0), (3, 1), (6, 0)):
        layer = layers[f"blocks.{stage}.{block}.conv_dw.weight"]
        expected = 0.8 ** (blocks[-1] - layer)
        assert rates[f"backbone.stages.{stage}.{block}.depthwise"] == pytest.approx(expected)
