"""The contract of every backbone."""

import inspect
from dataclasses import replace

import pytest
import torch
from conftest import TINY_RESNET, TINY_SWIN

from unimask.checkpoints.skeleton import build_skeleton
from unimask.config import ConvNeXtConfig, DiNATConfig, EfficientNetLiteConfig, ResNetConfig
from unimask.modeling.build import BACKBONES, arguments, build_backbone, build_segmenter

TINY_LITE = EfficientNetLiteConfig(
    stem_channels=8, channels=(8, 8, 8, 16, 16, 16, 24), depths=(1, 2, 1, 1, 2, 1, 1)
)
TINY = {
    "resnet-group": TINY_RESNET.backbone,
    "resnet-frozen": ResNetConfig(
        stem_channels=8, channels=(16, 16, 32, 32), depths=(1, 2, 1, 1), norm="frozen_batch"
    ),
    "resnet-deeplab": ResNetConfig(
        stem="deeplab", stem_channels=8, channels=(16, 16, 32, 32), depths=(1, 1, 1, 3),
        last_dilations=(1, 2, 4),
    ),
    "swin": TINY_SWIN.backbone,
    "convnext": ConvNeXtConfig(dims=(8, 16, 24, 32), depths=(1, 2, 2, 1)),
    "convnext-unscaled": ConvNeXtConfig(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1), layer_scale=0.0),
    "dinat": DiNATConfig(
        embed_dim=8,
        num_heads=(1, 2, 2, 4),
        kernel_size=3,
        dilations=((1, 4), (2,), (1, 3), (1,)),
    ),
    "dinat-scaled": DiNATConfig(
        embed_dim=8,
        num_heads=(1, 2, 2, 4),
        kernel_size=5,
        dilations=((2,), (1,), (1,), (1,)),
        layer_scale=1e-5,
    ),
    "efficientnet-lite": TINY_LITE,
    "efficientnet-lite-batch": replace(TINY_LITE, norm="batch"),
    "efficientnet-lite-group": replace(TINY_LITE, norm="group"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


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

    def test_batched_results_equal_single_image_results(self, config):
        backbone = build_backbone(config).eval()
        images = torch.randn(3, 3, 50, 70)
        together = backbone(images)
        for index in range(3):
            for feature, alone in zip(together, backbone(images[index : index + 1]), strict=True):
                torch.testing.assert_close(feature[index], alone[0], atol=1e-5, rtol=1e-4)

    def test_every_parameter_has_a_gradient(self, config):
        backbone = build_backbone(config).eval()  # stochastic depth would skip blocks
        sum(feature.square().sum() for feature in backbone(torch.randn(1, 3, 64, 64))).backward()
        lazy = [n for n, p in backbone.named_parameters() if p.grad is None or not p.grad.any()]
        assert not lazy

    def test_segmenters_predict_on_these_maps(self, config):
        network = build_segmenter(replace(TINY_SWIN, backbone=config)).eval()
        predicted = network(torch.randn(2, 3, 64, 96))
        assert predicted.mask_logits.shape == (2, 12, 16, 24)
        assert predicted.mask_logits.isfinite().all() and predicted.class_logits.isfinite().all()

    def test_its_skeleton_draws_no_random_numbers(self, config):
        before = torch.get_rng_state()
        skeleton = build_skeleton(replace(TINY_SWIN, backbone=config)).state_dict()
        assert torch.equal(torch.get_rng_state(), before)
        network = build_segmenter(replace(TINY_SWIN, backbone=config)).state_dict()
        assert {n: t.shape for n, t in skeleton.items()} == {n: t.shape for n, t in network.items()}
