"""An architecture out of its tensors' names and shapes, for files that bring no description.

What shapes leave open follows the authors' code, where it is fixed: encoders sample 4 points per
head and level (`MSDeformAttnTransformerEncoderOnly`), both decoders have the same number of heads
(`MODEL.MASK_FORMER.NHEADS`), and layers are normalised after their sums. Drop path only matters to
training; it takes our default, the published 0.3.
"""

import math
from collections.abc import Mapping

from torch import Tensor

from unimask.checkpoints.mask2former_names import PIXELS, QUERIES
from unimask.config import (
    BackboneConfig,
    DeformablePixelDecoderConfig,
    MaskedDecoderConfig,
    ResNetConfig,
    SegmenterConfig,
    SwinConfig,
)
from unimask.errors import CheckpointError

State = Mapping[str, Tensor]

LEVELS, POINTS = 3, 4


def shape(state: State, name: str) -> tuple[int, ...]:
    """Give a tensor's shape.

    Raises:
        CheckpointError: There is no such tensor.
    """
    if name not in state:
        raise CheckpointError(f"1 tensors are missing: {name}")
    return tuple(state[name].shape)


def count(state: State, prefix: str) -> int:
    """Count the numbered parts under a name."""
    start = len(prefix) + 1
    found = {name[start:].split(".")[0] for name in state if name.startswith(f"{prefix}.")}
    return sum(part.isdecimal() for part in found)


def read_segmenter(state: State) -> SegmenterConfig:
    """Read the numbers of a Mask2Former under its authors' names.

    Raises:
        CheckpointError: A tensor is missing, or its shape is of no such network.
    """
    encoder = f"{PIXELS}.transformer.encoder.layers"
    dim = shape(state, f"{PIXELS}.input_proj.0.0.weight")[0]
    num_queries, query_dim = shape(state, f"{QUERIES}.query_feat.weight")
    heads = read_heads(state, f"{encoder}.0.self_attn.attention_weights.weight", dim, query_dim)
    return SegmenterConfig(
        backbone=read_backbone_config(state),
        pixel_decoder=DeformablePixelDecoderConfig(
            dim=dim,
            mask_dim=shape(state, f"{PIXELS}.mask_features.weight")[0],
            num_layers=count(state, encoder),
            num_heads=heads,
            num_points=POINTS,
            ffn_dim=shape(state, f"{encoder}.0.linear1.weight")[0],
        ),
        transformer_decoder=MaskedDecoderConfig(
            dim=query_dim,
            num_queries=num_queries,
            num_layers=count(state, f"{QUERIES}.transformer_ffn_layers"),
            num_heads=heads,
            ffn_dim=shape(state, f"{QUERIES}.transformer_ffn_layers.0.linear1.weight")[0],
        ),
        num_classes=shape(state, f"{QUERIES}.class_embed.weight")[0] - 1,
    )


def read_heads(state: State, name: str, *widths: int) -> int:
    """Read the heads from the weights that they give to their points.

    Raises:
        CheckpointError: The weights, or the widths, are of no number of heads.
    """
    weights = shape(state, name)[0]
    heads = weights // (LEVELS * POINTS)
    if weights % (LEVELS * POINTS) or not heads or any(width % heads for width in widths):
        raise CheckpointError(
            f"{weights} attention weights per position are no heads times {LEVELS} levels times "
            f"{POINTS} points for {' and '.join(map(str, widths))} channels"
        )
    return heads


def read_backbone_config(state: State) -> BackboneConfig:
    """Read the backbone's kind and numbers.

    Raises:
        CheckpointError: The backbone is not known here.
    """
    if "backbone.patch_embed.proj.weight" in state:
        return read_swin(state)
    if "backbone.stem.conv1.weight" in state:
        return read_resnet(state)
    parts = sorted({name.split(".")[1] for name in state if name.startswith("backbone.")})
    told = f"its parts are {', '.join(parts[:6])}" if parts else "the file has none"
    raise CheckpointError(f"the backbone is not known here ({told}); known are ResNet and Swin")


def read_swin(state: State) -> SwinConfig:
    """Read a Swin: heads and window from the tables of relative positions."""
    stages = range(count(state, "backbone.layers"))
    blocks = [f"backbone.layers.{stage}.blocks" for stage in stages]
    depths = four([count(state, name) for name in blocks])
    tables = [shape(state, f"{name}.0.attn.relative_position_bias_table") for name in blocks]
    side = math.isqrt(tables[0][0])
    if side * side != tables[0][0] or side % 2 == 0:
        raise CheckpointError(f"a table of {tables[0][0]} relative positions is of no window")
    dim = shape(state, "backbone.patch_embed.proj.weight")[0]
    return SwinConfig(
        embed_dim=dim,
        depths=depths,
        num_heads=four([heads for _, heads in tables]),
        window_size=(side + 1) // 2,
        mlp_ratio=shape(state, f"{blocks[0]}.0.mlp.fc1.weight")[0] / dim,
    )


def read_resnet(state: State) -> ResNetConfig:
    """Read a ResNet; frozen and synchronised batch norms keep the same tensors."""
    stages = [f"backbone.res{number}" for number in range(2, 6)]
    deep = f"{stages[0]}.0.conv3.weight" in state
    last = "conv3" if deep else "conv2"
    statistics = "backbone.stem.conv1.norm.running_mean" in state
    stem = shape(state, "backbone.stem.conv1.weight")
    if stem[-1] != 7:
        raise CheckpointError(
            "the ResNet has a stem of three convolutions, which is not known here"
        )
    return ResNetConfig(
        block="bottleneck" if deep else "basic",
        stem_channels=stem[0],
        channels=four([shape(state, f"{stage}.0.{last}.weight")[0] for stage in stages]),
        depths=four([count(state, stage) for stage in stages]),
        norm="frozen_batch" if statistics else "group",
    )


def four(values: list[int]) -> tuple[int, int, int, int]:
    """Give the values of four stages.

    Raises:
        CheckpointError: They are not four.
    """
    if len(values) != 4:
        raise CheckpointError(f"the backbone has {len(values)} stages instead of 4")
    return values[0], values[1], values[2], values[3]
