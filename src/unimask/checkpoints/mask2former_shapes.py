"""Configuration of a network from the names and shapes of its tensors.

Values that shapes do not show are those that the authors' code fixes: encoders sample 4 points per
head and level (`MSDeformAttnTransformerEncoderOnly`), both decoders have the same number of heads
(`MODEL.MASK_FORMER.NHEADS`), and normalisation follows the residual sum. The drop path rate matters
only to training; it is set to the published value. A OneFormer's task token is normalised and its
dropout is 0.1, as in all 28 of its configurations.
"""

from pathlib import Path

from unimask.checkpoints.authors.mask2former_names import PIXELS, QUERIES
from unimask.checkpoints.backbone_shapes import State, count, read_backbone_config, shape
from unimask.config import (
    DeformablePixelDecoderConfig,
    MaskedDecoderConfig,
    SegmenterConfig,
    TaskQueriesConfig,
    TextConfig,
)
from unimask.errors import CheckpointError

LEVELS, POINTS = 3, 4


def read_segmenter(state: State, path: Path) -> SegmenterConfig:
    """Derive the configuration of a Mask2Former or OneFormer from tensors under the authors' names.

    Args:
        state: Tensors by name.
        path: File of the weights, whose name may contain what shapes do not show.

    Raises:
        CheckpointError: A tensor is missing, or its shape fits no such network.
    """
    encoder = f"{PIXELS}.transformer.encoder.layers"
    dim = shape(state, f"{PIXELS}.input_proj.0.0.weight", 4)[0]
    num_queries, query_dim = shape(state, f"{QUERIES}.query_embed.weight", 2)
    heads = read_heads(state, f"{encoder}.0.self_attn.attention_weights.weight", dim, query_dim)
    task = read_task(state)
    return SegmenterConfig(
        backbone=read_backbone_config(state, path),
        pixel_decoder=DeformablePixelDecoderConfig(
            dim=dim,
            mask_dim=shape(state, f"{PIXELS}.mask_features.weight")[0],
            num_layers=count(state, encoder),
            num_heads=heads,
            num_points=POINTS,
            ffn_dim=shape(state, f"{encoder}.0.linear1.weight")[0],
            dropout=task.dropout if task else 0.0,
        ),
        transformer_decoder=MaskedDecoderConfig(
            dim=query_dim,
            num_queries=num_queries,
            num_layers=count(state, f"{QUERIES}.transformer_ffn_layers"),
            num_heads=heads,
            ffn_dim=shape(state, f"{QUERIES}.transformer_ffn_layers.0.linear1.weight")[0],
            task_queries=task,
            enforce_input_proj=dim == query_dim and f"{QUERIES}.input_proj.0.weight" in state,
        ),
        num_classes=shape(state, f"{QUERIES}.class_embed.weight")[0] - 1,
        text=read_text(state),
    )


def read_task(state: State) -> TaskQueriesConfig | None:
    """Derive the configuration of task-conditioned queries; None if there are none."""
    if "task_mlp.layers.0.weight" not in state:
        return None
    return TaskQueriesConfig(
        num_layers=count(state, f"{QUERIES}.class_transformer.decoder.layers"),
        task_length=shape(state, "task_mlp.layers.0.weight", 2)[1],
    )


def read_text(state: State) -> TextConfig | None:
    """Derive the configuration of the text encoder; None if the file lacks it."""
    if "text_encoder.positional_embedding" not in state:
        return None
    length, dim = shape(state, "text_encoder.positional_embedding", 2)
    return TextConfig(
        dim=dim,
        length=length,
        num_layers=count(state, "text_encoder.transformer.resblocks"),
        vocabulary=shape(state, "text_encoder.token_embedding.weight")[0],
        projector_layers=count(state, "text_projector.layers"),
        context=shape(state, "prompt_ctx.weight")[0],
    )


def read_heads(state: State, name: str, *widths: int) -> int:
    """Derive the number of heads from the attention weights of sampling points.

    Raises:
        CheckpointError: The weights or widths fit no number of heads.
    """
    weights = shape(state, name)[0]
    heads = weights // (LEVELS * POINTS)
    if weights % (LEVELS * POINTS) or not heads or any(width % heads for width in widths):
        raise CheckpointError(
            f"{weights} attention weights per position are no heads times {LEVELS} levels times "
            f"{POINTS} points for {' and '.join(map(str, widths))} channels"
        )
    return heads
