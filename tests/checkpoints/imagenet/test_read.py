"""ImageNet backbones in the files of detectron2, torchvision and their authors."""

import pickle
from dataclasses import replace

import pytest
import torch
from conftest import TINY_RESNET, TINY_SWIN
from contracts.test_backbones import TINY_LITE

from unimask.checkpoints import read_backbone
from unimask.checkpoints.imagenet import names
from unimask.checkpoints.keymap import to_theirs
from unimask.config import ConvNeXtConfig, DiNATConfig, ResNetConfig
from unimask.errors import CheckpointError
from unimask.modeling.build import build_segmenter

BASIC = replace(TINY_RESNET, backbone=replace(TINY_RESNET.backbone, norm="frozen_batch"))
BOTTLENECK = replace(
    TINY_RESNET,
    backbone=ResNetConfig(stem_channels=4, channels=(16, 24, 32, 40), depths=(2, 1, 1, 1)),
)

DEEPLAB = replace(
    BOTTLENECK,
    backbone=replace(
        BOTTLENECK.backbone, stem="deeplab", depths=(2, 1, 1, 3), last_dilations=(1, 2, 4)
    ),
)


def backbone_of(state):
    return {name: value for name, value in state.items() if name.startswith("backbone.")}


def network(config, seed):
    torch.manual_seed(seed)
    state = build_segmenter(config).state_dict()
    return {name: torch.randn(value.shape) for name, value in state.items()}


def write_detectron2(path, state):
    model = {n: value.numpy() for n, value in to_theirs(state, names.DETECTRON2).items()}
    model["stem.fc.weight"], model["stem.fc.bias"] = torch.ones(9, 4).numpy(), torch.ones(9).numpy()
    model["stem.conv1.norm.num_batches_tracked"] = torch.tensor(4).numpy()
    content = {"model": model, "__author__": "torchvision", "matching_heuristics": True}
    path.write_bytes(pickle.dumps(content))


def write_torchvision(path, state):
    model = to_theirs(state, names.TORCHVISION)
    assert {"conv1.weight", "bn1.running_var", "layer1.0.bn2.bias"} <= model.keys()
    assert {"layer2.0.downsample.0.weight", "layer2.0.downsample.1.weight"} <= model.keys()
    model["fc.weight"], model["bn1.num_batches_tracked"] = torch.ones(9, 4), torch.tensor(4)
    torch.save(model, path)


def write_swin(path, state):
    trained = {n: value for n, value in state.items() if not n.startswith("backbone.norm")}
    model = to_theirs(trained, names.AUTHORS)
    model["norm.weight"] = model["norm.bias"] = torch.ones(64)
    model["head.weight"], model["layers.0.blocks.1.attn_mask"] = torch.ones(9, 64), torch.ones(2, 9)
    model["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(9, 9)
    torch.save({"model": model}, path)


def write_convnext(path, state):
    trained = {n: value for n, value in state.items() if not n.startswith("backbone.norm")}
    model = to_theirs(trained, names.AUTHORS)
    assert {"downsample_layers.0.0.weight", "stages.3.0.gamma"} <= model.keys()
    model["norm.weight"] = model["norm.bias"] = torch.ones(32)
    model["head.weight"] = torch.ones(9, 32)
    torch.save({"model": model}, path)


def write_dinat(path, state):
    """Write the authors' tensors, wrapped for detectron2 by OneFormer's script."""
    trained = {n: value for n, value in state.items() if not n.startswith("backbone.norm")}
    model = to_theirs(trained, names.AUTHORS)
    assert {"patch_embed.proj.1.bias", "levels.3.blocks.0.attn.rpb"} <= model.keys()
    for name in [name for name in model if name.endswith("layer_scale")]:
        block = name.removesuffix("layer_scale")
        model[f"{block}gamma1"], model[f"{block}gamma2"] = model.pop(name)
    model["norm.weight"] = model["norm.bias"] = model["head.bias"] = torch.ones(64)
    path.write_bytes(
        pickle.dumps({"model": model, "__author__": "third_party", "matching_heuristics": True})
    )


CONVNEXT = replace(TINY_SWIN, backbone=ConvNeXtConfig(dims=(8, 16, 24, 32), depths=(1, 2, 1, 1)))
DINAT = replace(
    TINY_SWIN,
    backbone=DiNATConfig(
        embed_dim=8, num_heads=(1, 2, 2, 4), kernel_size=3, dilations=((1,), (1, 2), (1,), (1,))
    ),
)
SCALED = replace(DINAT, backbone=replace(DINAT.backbone, layer_scale=1e-5))

LITE = replace(TINY_SWIN, backbone=TINY_LITE)

CASES = {
    "detectron2, basic": (BASIC, write_detectron2, 0),
    "detectron2, bottleneck": (BOTTLENECK, write_detectron2, 0),
    "detectron2, deeplab": (DEEPLAB, write_detectron2, 0),
    "torchvision, basic": (BASIC, write_torchvision, 0),
    "torchvision, bottleneck": (BOTTLENECK, write_torchvision, 0),
    "swin": (TINY_SWIN, write_swin, 8),
    "convnext": (CONVNEXT, write_convnext, 8),
    "dinat": (DINAT, write_dinat, 8),
    "dinat, scaled": (SCALED, write_dinat, 8),
}


@pytest.mark.parametrize("case", CASES)
def test_backbones_are_read_without_their_classification_head(tmp_path, case):
    config, write, untrained = CASES[case]
    trained = backbone_of(network(config, 1))
    write(tmp_path / "weights", trained)
    actual = read_backbone(tmp_path / "weights", config.backbone, network(config, 2))
    assert len(actual) == len(trained) - untrained
    assert all(torch.equal(actual[name], trained[name]) for name in actual)


@pytest.mark.parametrize("case", CASES)
def test_another_backbone_is_refused_in_one_line(tmp_path, case):
    config, write, _ = CASES[case]
    write(tmp_path / "weights.pth", backbone_of(network(config, 1)))
    others = (BASIC, BOTTLENECK, DEEPLAB, TINY_SWIN, TINY_RESNET, CONVNEXT, DINAT, SCALED, LITE)
    for other in others:
        if other is config:
            continue
        with pytest.raises(CheckpointError, match=r"weights\.pth is not the \w+ that") as failed:
            read_backbone(tmp_path / "weights.pth", other.backbone, network(other, 2))
        assert "\n" not in str(failed.value)
