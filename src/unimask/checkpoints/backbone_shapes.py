"""Configuration of a backbone from the names and shapes of its tensors.

The drop path rate matters only to training; it is set to the published value. DeepLab's ResNets
(R50c, R101c) dilate the last stage by 1, 2, 4, which no tensor shows; wherever they are published,
they have its stem (`RES5_MULTI_GRID` of MaskFormer's R101c configurations).
"""

import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from unimask.checkpoints.authors.dinat_dilations import dilations_from_name
from unimask.config import (
    BackboneConfig,
    ConvNeXtConfig,
    DiNATConfig,
    EfficientNetLiteConfig,
    ResNetConfig,
    SwinConfig,
)
from unimask.errors import CheckpointError

State = Mapping[str, Tensor]

DEEPLAB_DILATIONS = (1, 2, 4)
"""Dilations of the last stage's three blocks in ResNets with DeepLab's stem."""


def tensor_shape(state: State, name: str, axes: int | None = None) -> tuple[int, ...]:
    """Return the shape of a tensor.

    Args:
        state: Tensors by name.
        name: Name of the tensor.
        axes: Required number of axes; None for any number except 0.

    Raises:
        CheckpointError: The tensor is missing, or has another number of axes.
    """
    if name not in state:
        raise CheckpointError(f"1 tensors are missing: {name}")
    dims = tuple(state[name].shape)
    if not dims or axes not in (None, len(dims)):
        raise CheckpointError(f"1 tensors are of another shape: {name} is {dims}")
    return dims


def count_modules(state: State, prefix: str) -> int:
    """Count the numbered modules under a name."""
    start = len(prefix) + 1
    children = {name[start:].split(".")[0] for name in state if name.startswith(f"{prefix}.")}
    return sum(part.isdecimal() for part in children)


def infer_backbone(state: State, path: Path) -> BackboneConfig:
    """Derive the type and configuration of the backbone.

    Args:
        state: Tensors under their authors' names.
        path: File of the weights, whose name may contain what shapes do not show.

    Raises:
        CheckpointError: The backbone is unknown.
    """
    if "backbone.downsample_layers.0.0.weight" in state:
        return infer_convnext(state)
    if "backbone.levels.0.blocks.0.attn.rpb" in state:
        return infer_dinat(state, path)
    if "backbone.patch_embed.proj.weight" in state:
        return infer_swin(state)
    if "backbone.stem.conv1.weight" in state:
        return infer_resnet(state)
    if "backbone.stages.0.0.depthwise.weight" in state:
        return infer_efficientnet_lite(state)
    parts = sorted({name.split(".")[1] for name in state if name.startswith("backbone.")})
    evidence = f"its parts are {', '.join(parts[:6])}" if parts else "the file has none"
    raise CheckpointError(
        f"the backbone is unknown ({evidence}); supported are ResNet, Swin, ConvNeXt, "
        "DiNAT and EfficientNet-Lite"
    )


def infer_swin(state: State) -> SwinConfig:
    """Derive a Swin configuration; heads and window follow from the relative position tables.

    Raises:
        CheckpointError: It is not a Swin, or has absolute position embeddings too.
    """
    if "backbone.absolute_pos_embed" in state:
        raise CheckpointError(
            "its Swin has absolute position embeddings too (APE), which no published network has "
            "and which are not supported"
        )
    stages = range(count_modules(state, "backbone.layers"))
    blocks = [f"backbone.layers.{stage}.blocks" for stage in stages]
    depths = to_four_stages([count_modules(state, name) for name in blocks])
    tables = [
        tensor_shape(state, f"{name}.0.attn.relative_position_bias_table", 2) for name in blocks
    ]
    side = math.isqrt(tables[0][0])
    if side * side != tables[0][0] or side % 2 == 0:
        raise CheckpointError(f"a table of {tables[0][0]} relative positions fits no window")
    dim, channels = tensor_shape(state, "backbone.patch_embed.proj.weight", 4)[:2]
    return SwinConfig(
        embed_dim=dim,
        depths=depths,
        num_heads=to_four_stages([heads for _, heads in tables]),
        window_size=(side + 1) // 2,
        mlp_ratio=tensor_shape(state, f"{blocks[0]}.0.mlp.fc1.weight")[0] / dim,
        in_channels=channels,
    )


def infer_resnet(state: State) -> ResNetConfig:
    """Derive a ResNet configuration; frozen and synchronised batch norms have the same tensors."""
    stages = [f"backbone.res{number}" for number in range(2, 6)]
    deep = f"{stages[0]}.0.conv3.weight" in state
    last = "conv3" if deep else "conv2"
    statistics = "backbone.stem.conv1.norm.running_mean" in state
    deeplab = "backbone.stem.conv3.weight" in state
    stem = tensor_shape(state, f"backbone.stem.conv{3 if deeplab else 1}.weight")
    return ResNetConfig(
        block="bottleneck" if deep else "basic",
        stem="deeplab" if deeplab else "basic",
        stem_channels=stem[0],
        channels=to_four_stages(
            [tensor_shape(state, f"{stage}.0.{last}.weight")[0] for stage in stages]
        ),
        depths=to_four_stages([count_modules(state, stage) for stage in stages]),
        norm="frozen_batch" if statistics else "group",
        last_dilations=DEEPLAB_DILATIONS if deeplab else (),
        in_channels=tensor_shape(state, "backbone.stem.conv1.weight", 4)[1],
    )


def infer_convnext(state: State) -> ConvNeXtConfig:
    """Derive a ConvNeXt configuration; blocks without layer scale have no `gamma`."""
    stages = range(count_modules(state, "backbone.stages"))
    norms = [tensor_shape(state, f"backbone.norm{stage}.weight")[0] for stage in stages]
    scaled = "backbone.stages.0.0.gamma" in state
    return ConvNeXtConfig(
        dims=to_four_stages(norms),
        depths=to_four_stages(
            [count_modules(state, f"backbone.stages.{stage}") for stage in stages]
        ),
        layer_scale=1.0 if scaled else 0.0,
        in_channels=tensor_shape(state, "backbone.downsample_layers.0.0.weight", 4)[1],
    )


def infer_dinat(state: State, path: Path) -> DiNATConfig:
    """Derive a DiNAT configuration: heads and kernel from biases, dilations from the file name."""
    levels = [
        f"backbone.levels.{level}.blocks"
        for level in range(count_modules(state, "backbone.levels"))
    ]
    depths = to_four_stages([count_modules(state, name) for name in levels])
    tables = [tensor_shape(state, f"{name}.0.attn.rpb", 3) for name in levels]
    kernel_size = (tables[0][1] + 1) // 2
    dim = tensor_shape(state, "backbone.norm0.weight")[0]
    return DiNATConfig(
        embed_dim=dim,
        num_heads=to_four_stages([table[0] for table in tables]),
        kernel_size=kernel_size,
        dilations=dilations_from_name(path, kernel_size, depths),
        mlp_ratio=tensor_shape(state, f"{levels[0]}.0.mlp.fc1.weight")[0] / dim,
        drop_path=0.3,
        in_channels=tensor_shape(state, "backbone.patch_embed.proj.0.weight", 4)[1],
    )


def infer_efficientnet_lite(state: State) -> EfficientNetLiteConfig:
    """Derive the configuration of an EfficientNet-Lite, which only our own files contain.

    Frozen batch norms are assumed where batch norms have no count of their updates.

    Raises:
        CheckpointError: There are not seven stages.
    """
    stages = [f"backbone.stages.{stage}" for stage in range(7)]
    channels = [tensor_shape(state, f"{name}.0.project.weight", 4)[0] for name in stages]
    depths = [count_modules(state, name) for name in stages]
    norm = "group"
    if "backbone.stem.norm.running_mean" in state:
        counted = "backbone.stem.norm.num_batches_tracked" in state
        norm = "batch" if counted else "frozen_batch"
    stem, in_channels = tensor_shape(state, "backbone.stem.weight", 4)[:2]
    return EfficientNetLiteConfig(
        stem_channels=stem,
        channels=tuple(channels),  # type: ignore[arg-type]
        depths=tuple(depths),  # type: ignore[arg-type]
        norm=norm,
        in_channels=in_channels,
    )


def to_four_stages(values: list[int]) -> tuple[int, int, int, int]:
    """Return the values of four stages as a tuple.

    Raises:
        CheckpointError: There are not four values.
    """
    if len(values) != 4:
        raise CheckpointError(f"the backbone has {len(values)} stages instead of 4")
    return values[0], values[1], values[2], values[3]
