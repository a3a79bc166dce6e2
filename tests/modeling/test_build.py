import pytest
import torch
import torch.nn.functional as F
from conftest import (
    TINY_DEFORMABLE_STANDARD,
    TINY_ENCODER,
    TINY_FAPN,
    TINY_FPN_MASKED,
    TINY_MASKFORMER,
    TINY_ONEFORMER,
    TINY_PER_PIXEL,
    TINY_PER_PIXEL_PLUS,
    TINY_PROPOSALS,
    TINY_RESNET,
    TINY_SWIN,
)
from torch import nn

from unimask.checkpoints.skeleton import build_skeleton
from unimask.kernels.blocked_positions import blocked_positions
from unimask.kernels.positions import sine_positions
from unimask.modeling.build import build_segmenter
from unimask.modeling.layers.masks import MaskFeatures
from unimask.presets import PRESETS, preset

NETWORKS = {
    "resnet": (TINY_RESNET, 4),  # one prediction more than layers, of the bare queries
    "swin": (TINY_SWIN, 4),
    "proposals": (TINY_PROPOSALS, 4),
    "task": (TINY_ONEFORMER, 4),
    "maskformer": (TINY_MASKFORMER, 3),
    "encoder": (TINY_ENCODER, 3),
    "fpn beside masked attention": (TINY_FPN_MASKED, 4),
    "fapn": (TINY_FAPN, 3),
    "per pixel": (TINY_PER_PIXEL, 1),
    "per pixel, with queries": (TINY_PER_PIXEL_PLUS, 3),
    "deformable beside standard": (TINY_DEFORMABLE_STANDARD, 3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_training_returns_one_prediction_per_layer_and_gradients_for_all_parameters(name):
    config, predictions = NETWORKS[name]
    network = build_segmenter(config).train()
    sentences = torch.randint(0, 99, (2, 8, 77)) if config.text else None
    output = network(torch.randn(2, 3, 64, 96), sentences=sentences)
    assert (output.text_queries is None) == (config.text is None)
    assert len(output.auxiliary) + 1 == predictions
    assert output.mask_logits.shape[-2:] == (16, 24)
    layers = [*output.auxiliary, output]
    loss = sum(
        layer.mask_logits.square().mean() + layer.class_logits.square().mean() for layer in layers
    )
    if output.text_queries is not None:
        loss = loss + (output.text_queries * torch.randn_like(output.text_queries)).sum()
    loss.backward()
    lazy = [name for name, p in network.named_parameters() if p.grad is None]
    assert not lazy


def test_a_query_with_an_empty_mask_attends_everywhere():
    logits = torch.full((1, 2, 2, 2), -5.0)
    logits[0, 0, :1] = 5.0
    blocked = blocked_positions(logits)
    assert blocked[0, 0].tolist() == [False, False, True, True]
    assert not blocked[0, 1].any()


@pytest.mark.parametrize("projection", [None, nn.Conv2d(8, 6, 1)], ids=["plain", "projected"])
def test_masks_are_dot_products_with_projected_features(projection):
    features = MaskFeatures(torch.randn(2, 8, 9, 12), projection)
    embed = torch.randn(2, 3, 8 if projection is None else 6)
    dots = torch.einsum("bqd,bdhw->bqhw", embed, features.projected())
    torch.testing.assert_close(features.masks(embed), dots)


@pytest.mark.parametrize("size", [(4, 6), (5, 5), (1, 1)], ids=str)
def test_masks_of_resized_features_are_the_resized_masks(size):
    embed, features = (
        torch.randn(2, 3, 6),
        MaskFeatures(torch.randn(2, 8, 9, 12), nn.Conv2d(8, 6, 1)),
    )
    resized = F.interpolate(features.masks(embed), size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(features.at_size(size).masks(embed), resized)


def test_sine_positions_follow_the_formula():
    code = sine_positions((3, 5), 8, torch.device("cpu"), torch.float32)
    assert code.shape == (8, 3, 5)
    y, x = 2 / (3 + 1e-6) * 2 * torch.pi, 4 / (5 + 1e-6) * 2 * torch.pi
    expected = [
        torch.sin(torch.tensor(y)), torch.cos(torch.tensor(y)),
        torch.sin(torch.tensor(y / 100)), torch.cos(torch.tensor(y / 100)),
        torch.sin(torch.tensor(x)), torch.cos(torch.tensor(x)),
        torch.sin(torch.tensor(x / 100)), torch.cos(torch.tensor(x / 100)),
    ]  # fmt: skip
    torch.testing.assert_close(code[:, 1, 3], torch.stack(expected))


def test_local_positions_do_not_depend_on_the_size_of_the_map():
    cpu = torch.device("cpu")
    small = sine_positions((3, 5), 8, cpu, torch.float32, wave=8.0)
    large = sine_positions((30, 50), 8, cpu, torch.float32, wave=8.0)
    torch.testing.assert_close(large[:, :3, :5], small)
    torch.testing.assert_close(
        large[0, 8], large[0, 0]
    )  # the shortest wave has completed its period


def test_a_larger_image_gets_more_queries():
    network = build_segmenter(TINY_PROPOSALS).eval()
    counts = [network(torch.zeros(1, 3, s, s)).class_logits.shape[1] for s in (64, 128, 512)]
    learned = TINY_PROPOSALS.transformer_decoder.num_queries
    assert counts[0] == learned + round(0.2 * 84)
    assert counts[1] == learned + round(0.2 * 336)
    assert counts[2] == learned + TINY_PROPOSALS.transformer_decoder.max_proposals


# Parameters of transformers' modules with the same configurations. OneFormer's
# have 17.54 of them in the text branch, and its authors publish 219, 220, 372 and 223 without it.
# That library has no encoder for MaskFormer's ResNets, no R101c and no baselines; its paper has 45,
# 64 and 60 million, and 42, 63, 102 and 212 for the Swins.
MILLIONS = {
    "mask2former-resnet50": 43.98,
    "mask2former-resnet101": 62.92,
    "mask2former-swin-tiny": 47.44,
    "mask2former-swin-small": 68.75,
    "mask2former-swin-base": 106.92,
    "mask2former-swin-large": 215.54,
    "oneformer-resnet50": 64.82,
    "oneformer-swin-tiny": 68.27,
    "oneformer-swin-large": 236.35,
    "oneformer-convnext-large": 237.38,
    "oneformer-convnext-xlarge": 389.55,
    "oneformer-dinat-large": 240.76,
    "mask2former-swin-large-fapn": 220.37,
    "oneformer-nano": 11.90,
    "mask2former-nano": 4.59,
    "mask2former-swin-nano": 4.08,
    "maskformer-resnet50": 45.01,
    "maskformer-resnet101": 63.95,
    "maskformer-resnet101c": 60.31,
    "maskformer-swin-tiny": 41.75,
    "maskformer-swin-small": 63.07,
    "maskformer-swin-base": 101.83,
    "maskformer-swin-large": 211.57,
    "per-pixel-resnet50": 31.03,
    "per-pixel-plus-resnet50": 41.22,
    "unimask-nano": 4.58,
    "mask2former-lite0": 4.71,
    "mask2former-lite2": 6.10,
    "oneformer-lite0": 12.03,
    "unimask-lite0": 4.70,
    "eomt-dinov2-small": 23.98,
    "eomt-dinov2-base": 93.66,
    "eomt-dinov2-large": 316.70,
    "eomt-dinov2-giant": 1163.62,
    "eomt-dinov3-small": 23.36,
    "eomt-dinov3-base": 92.43,
    "eomt-dinov3-large": 315.03,
    "detr-resnet50": 42.87,
    "detr-resnet50-dc5": 42.87,
    "detr-resnet101": 61.81,
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_their_parameter_counts(name):
    network = build_skeleton(preset(name, 2 if "nano" in name or "lite" in name else 133))
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert millions == pytest.approx(MILLIONS[name], abs=0.01)


@pytest.mark.parametrize("size", ["swin-tiny", "swin-large"])
@pytest.mark.parametrize("family", ["Mask2Former", "OneFormer"])
def test_presets_have_the_parameters_of_transformers(family, size):
    transformers = pytest.importorskip("transformers")
    ours = preset(f"{family.lower()}-{size}", 133)
    backbone = ours.backbone
    config = getattr(transformers, f"{family}Config")(
        backbone_config=transformers.SwinConfig(
            embed_dim=backbone.embed_dim, depths=list(backbone.depths),
            num_heads=list(backbone.num_heads), window_size=backbone.window_size,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        ),
        num_labels=133, num_queries=ours.transformer_decoder.num_queries, is_training=True,
    )  # fmt: skip
    with torch.device("meta"):
        theirs = getattr(transformers, f"{family}ForUniversalSegmentation")(config)
    unused = sum(
        p.numel()
        for n, p in theirs.named_parameters()
        if "encoder.layernorm" in n or "swin.layernorm" in n
    )
    total = sum(parameter.numel() for parameter in theirs.parameters()) - unused
    assert sum(p.numel() for p in build_skeleton(ours).parameters()) == total


@pytest.mark.parametrize("name", ["maskformer-swin-tiny", "maskformer-swin-large"])
def test_maskformer_presets_have_the_parameters_of_transformers(name):
    transformers = pytest.importorskip("transformers")
    ours = preset(name, 133)
    backbone = ours.backbone
    config = transformers.MaskFormerConfig(
        backbone_config=transformers.SwinConfig(
            embed_dim=backbone.embed_dim, depths=list(backbone.depths),
            num_heads=list(backbone.num_heads), window_size=backbone.window_size,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        ),
        num_labels=133,
    )  # fmt: skip
    with torch.device("meta"):
        theirs = transformers.MaskFormerForInstanceSegmentation(config)
    unused = sum(p.numel() for n, p in theirs.named_parameters() if "model.layernorm" in n)
    total = sum(parameter.numel() for parameter in theirs.parameters()) - unused
    assert sum(p.numel() for p in build_skeleton(ours).parameters()) == total
