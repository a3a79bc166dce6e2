"""What every backbone promises."""

import inspect

import pytest
import torch
from conftest import TINY_RESNET, TINY_SWIN

from unimask.config import ResNetConfig
from unimask.modeling.build import BACKBONES, arguments, build_backbone

TINY = {
    "resnet-group": TINY_RESNET.backbone,
    "resnet-frozen": ResNetConfig(
        stem_channels=8, channels=(16, 16, 32, 32), depths=(1, 2, 1, 1), norm="frozen_batch"
    ),
    "swin": TINY_SWIN.backbone,
}


@pytest.mark.parametrize("config", TINY.values(), ids=TINY)
class TestEveryBackbone:
    def test_arguments_are_the_config_fields(self, config):
        signature = inspect.signature(BACKBONES[type(config)])
        assert arguments(config).keys() == signature.parameters.keys()

    @pytest.mark.parametrize("size", [(64, 96), (1, 1), (33, 130), (75, 7)], ids=str)
    def test_maps_have_the_declared_channels_and_strides(self, config, size):
        backbone = build_backbone(config).eval()
        maps = backbone(torch.zeros(1, 3, *size))
        declared = [
            (1, channels, -(-size[0] // stride), -(-size[1] // stride))
            for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
        ]
        assert [tuple(feature.shape) for feature in maps] == declared

    def test_a_batch_gives_what_each_picture_gives_alone(self, config):
        backbone = build_backbone(config).eval()
        pictures = torch.randn(3, 3, 50, 70)
        together = backbone(pictures)
        for index in range(3):
            for feature, alone in zip(together, backbone(pictures[index : index + 1]), strict=True):
                torch.testing.assert_close(feature[index], alone[0], atol=1e-5, rtol=1e-4)

    def test_every_parameter_learns(self, config):
        backbone = build_backbone(config).eval()  # stochastic depth would leave blocks out
        sum(feature.square().sum() for feature in backbone(torch.randn(1, 3, 64, 64))).backward()
        lazy = [n for n, p in backbone.named_parameters() if p.grad is None or not p.grad.any()]
        assert not lazy
