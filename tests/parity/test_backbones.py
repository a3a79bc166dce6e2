"""Backbones here and in `transformers`: equal weights, equal maps, equal gradients."""

import re

import pytest
import torch

from unimask.modeling.backbones import ResNet, Swin

transformers = pytest.importorskip("transformers")

STAGES = ["stage1", "stage2", "stage3", "stage4"]
# Neither multiples of 32 nor of a window; the last is smaller than a window at most stages.
SIZES = [(75, 109), (130, 61), (17, 40)]


def swin(window: int) -> tuple[Swin, torch.nn.Module]:
    depths, num_heads = (2, 1, 3, 2), (1, 2, 4, 8)
    ours = Swin(
        embed_dim=8, depths=depths, num_heads=num_heads,
        window_size=window, mlp_ratio=3.0, drop_path=0.0,
    )  # fmt: skip
    config = transformers.SwinConfig(
        embed_dim=8, depths=list(depths), num_heads=list(num_heads),
        window_size=window, mlp_ratio=3.0, drop_path_rate=0.0, out_features=STAGES,
    )  # fmt: skip
    return ours, transformers.AutoBackbone.from_config(config)


def resnet(block: str) -> tuple[ResNet, torch.nn.Module]:
    channels, depths = (16, 24, 32, 40), (2, 1, 3, 2)
    ours = ResNet(
        block=block, stem_channels=12, channels=channels, depths=depths, norm="frozen_batch"
    )
    config = transformers.ResNetConfig(
        embedding_size=12, hidden_sizes=list(channels), depths=list(depths),
        layer_type=block, out_features=STAGES,
    )  # fmt: skip
    return ours, transformers.AutoBackbone.from_config(config)


SWIN_NAMES = [
    (r"^swin\.(encoder\.)?", ""),
    (r"embeddings\.(patch_embeddings\.)?proj(ection)?", "patch_embed.proj"),
    (r"embeddings\.norm", "patch_embed.norm"),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"attention\.relative_position_bias\.", "attn."),
    (r"attention\.o_proj", "attn.proj"),
    (r"attention\.([qkv])_proj", r"attn.qkv.\1"),
    (r"hidden_states_norms\.stage(\d)", lambda m: f"norm{int(m[1]) - 1}"),
]
RESNET_NAMES = [
    (r"embedder\.embedder\.", "stem.conv1."),
    (r"encoder\.stages\.(\d)\.layers\.(\d)", lambda m: f"res{int(m[1]) + 2}.{m[2]}"),
    (r"layer\.(\d)", lambda m: f"conv{int(m[1]) + 1}"),
    (r"\.convolution", ""),
    (r"normalization", "norm"),
]
# Counts, constants, and a last norm that no map passes through.
UNUSED = ("num_batches_tracked", "relative_position_index", "swin.layernorm.weight",
          "swin.layernorm.bias")  # fmt: skip


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give their tensors our names, and join query, key and value."""
    rules = SWIN_NAMES if any("q_proj" in n for n in state) else RESNET_NAMES
    found = {}
    for name, tensor in state.items():
        if name.endswith(UNUSED):
            continue
        for pattern, ours in rules:
            name = re.sub(pattern, ours, name)
        found[name] = tensor
    for name in [name for name in found if ".qkv.q." in name]:
        parts = [found.pop(name.replace(".qkv.q.", f".qkv.{part}.")) for part in "qkv"]
        found[name.replace(".q.", ".")] = torch.cat(parts)
    return found


def randomise(model: torch.nn.Module) -> None:
    """Make every number matter: those that start at zero or one would hide mistakes."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            if "running_var" in name:
                noise = noise.abs() + 0.5
            elif "table" not in name and tensor.ndim > 1:
                noise = 1.4 * noise / tensor[0].numel() ** 0.5
            elif name.endswith("weight"):
                noise = 1 + 0.3 * noise
            tensor.copy_(noise)


PAIRS = {
    "swin-window7": lambda: swin(7),
    "swin-window4": lambda: swin(4),
    "resnet-bottleneck": lambda: resnet("bottleneck"),
    "resnet-basic": lambda: resnet("basic"),
}


@pytest.fixture(scope="module", params=PAIRS.values(), ids=PAIRS)
def pair(request) -> tuple[torch.nn.Module, torch.nn.Module]:
    ours, theirs = request.param()
    randomise(theirs)
    ours.load_state_dict(renamed(theirs.state_dict()))
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_maps_are_theirs(pair, size):
    ours, theirs = pair
    pictures = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, expected = ours(pictures), theirs(pictures).feature_maps
    assert len(found) == len(expected) == 4
    for our_map, their_map in zip(found, expected, strict=True):
        assert their_map.std() > 0.1
        torch.testing.assert_close(our_map, their_map, atol=1e-4, rtol=1e-4)


def test_gradients_are_theirs(pair):
    """Learning takes other paths than predicting: fused attention gives its mask no gradient."""
    ours, theirs = pair
    pictures = torch.randn(2, 3, 75, 109, generator=torch.Generator().manual_seed(1))
    for model, run in ((ours, ours), (theirs, lambda x: theirs(x).feature_maps)):
        model.zero_grad()
        torch.stack([feature.cos().mean() for feature in run(pictures)]).sum().backward()
    gradients = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in theirs.named_parameters()
    }
    expected = renamed(gradients)
    compared = 0
    for name, parameter in ours.named_parameters():
        scale = expected[name].abs().max().clamp_min(1e-6)
        torch.testing.assert_close(
            parameter.grad / scale, expected[name] / scale, atol=1e-3, rtol=0, msg=name
        )
        compared += bool(expected[name].any())
    assert compared > len(list(ours.parameters())) // 2
