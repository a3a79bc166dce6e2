import pytest
import torch
from conftest import TINY_RESNET, TINY_SWIN

from unimask.modeling.build import build_segmenter
from unimask.modeling.layers.masks import blocked_positions
from unimask.modeling.layers.position import sine_positions
from unimask.presets import PRESETS, preset


@pytest.mark.parametrize("config", [TINY_RESNET, TINY_SWIN], ids=["resnet", "swin"])
def test_training_gives_one_prediction_per_layer_and_all_parameters_learn(config):
    network = build_segmenter(config).train()
    output = network(torch.randn(2, 3, 64, 96))
    assert len(output.auxiliary) == config.transformer_decoder.num_layers
    layers = [*output.auxiliary, output]
    sum(
        layer.mask_logits.square().mean() + layer.class_logits.square().mean() for layer in layers
    ).backward()
    lazy = [name for name, p in network.named_parameters() if p.grad is None]
    assert not lazy


def test_a_query_without_a_mask_looks_everywhere():
    logits = torch.full((1, 2, 8, 8), -5.0)
    logits[0, 0, :4] = 5.0
    blocked = blocked_positions(logits, (2, 2))
    assert blocked[0, 0].tolist() == [False, False, True, True]
    assert not blocked[0, 1].any()


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


# transformers' own modules, built from configurations of the same numbers, count these.
MILLIONS = {
    "mask2former-resnet50": 43.98,
    "mask2former-resnet101": 62.92,
    "mask2former-swin-tiny": 47.44,
    "mask2former-swin-small": 68.75,
    "mask2former-swin-base": 106.92,
    "mask2former-swin-large": 215.54,
    "mask2former-nano": 4.59,
    "mask2former-swin-nano": 4.08,
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_their_parameter_counts(name):
    with torch.device("meta"):
        network = build_segmenter(preset(name, 133 if "nano" not in name else 2))
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert millions == pytest.approx(MILLIONS[name], abs=0.01)


@pytest.mark.parametrize("name", ["mask2former-swin-tiny", "mask2former-swin-large"])
def test_presets_have_the_parameters_of_transformers(name):
    transformers = pytest.importorskip("transformers")
    ours = preset(name, 133)
    backbone = ours.backbone
    config = transformers.Mask2FormerConfig(
        backbone_config=transformers.SwinConfig(
            embed_dim=backbone.embed_dim, depths=list(backbone.depths),
            num_heads=list(backbone.num_heads), window_size=backbone.window_size,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        ),
        num_labels=133, num_queries=ours.transformer_decoder.num_queries,
    )  # fmt: skip
    with torch.device("meta"):
        theirs = transformers.Mask2FormerForUniversalSegmentation(config)
        network = build_segmenter(ours)
    unused = sum(
        p.numel()
        for n, p in theirs.named_parameters()
        if "encoder.layernorm" in n or "swin.layernorm" in n
    )
    total = sum(parameter.numel() for parameter in theirs.parameters()) - unused
    assert sum(parameter.numel() for parameter in network.parameters()) == total
