"""Configuration of a network from the names and shapes of its tensors.

Values that shapes do not show are those that the authors' code fixes: encoders sample 4 points per
head and level (`MSDeformAttnTransformerEncoderOnly`), both decoders have the same number of heads
(`MODEL.MASK_FORMER.NHEADS`), and normalisation follows the residual sum. The drop path rate matters
only to training; it is set to the published value. A OneFormer's task token is normalised and its
dropout is 0.1, as in all 28 of its configurations.
"""

from pathlib import Path

from unimask.checkpoints.authors.mask2former_names import PIXEL_DECODER, TRANSFORMER_DECODER
from unimask.checkpoints.backbone_shapes import State, count_modules, infer_backbone, tensor_shape
from unimask.config import (
    DeformablePixelDecoderConfig,
    MaskedDecoderConfig,
    SegmenterConfig,
    TaskQueriesConfig,
    TextConfig,
)
from unimask.errors import CheckpointError

NUM_LEVELS, NUM_POINTS = 3, 4


def infer_segmenter(state: State, path: Path) -> SegmenterConfig:
    """Derive the configuration of a Mask2Former or OneFormer from tensors under the authors' names.

    Args:
        state: Tensors by name.
        path: File of the weights, whose name may contain what shapes do not show.

    Raises:
        CheckpointError: A tensor is missing, or its shape fits no such network.
    """
    encoder = f"{PIXEL_DECODER}.transformer.encoder.layers"
    dim = tensor_shape(state, f"{PIXEL_DECODER}.input_proj.0.0.weight", 4)[0]
    num_queries, query_dim = tensor_shape(state, f"{TRANSFORMER_DECODER}.query_embed.weight", 2)
    heads = infer_num_heads(
        state, f"{encoder}.0.self_attn.attention_weights.weight", dim, query_dim
    )
    task = infer_task_queries(state)
    return SegmenterConfig(
        backbone=infer_backbone(state, path),
        pixel_decoder=DeformablePixelDecoderConfig(
            dim=dim,
            mask_dim=tensor_shape(state, f"{PIXEL_DECODER}.mask_features.weight")[0],
            num_layers=count_modules(state, encoder),
            num_heads=heads,
            num_points=NUM_POINTS,
            ffn_dim=tensor_shape(state, f"{encoder}.0.linear1.weight")[0],
            dropout=task.dropout if task else 0.0,
        ),
        transformer_decoder=MaskedDecoderConfig(
            dim=query_dim,
            num_queries=num_queries,
            num_layers=count_modules(state, f"{TRANSFORMER_DECODER}.transformer_ffn_layers"),
            num_heads=heads,
            ffn_dim=tensor_shape(
                state, f"{TRANSFORMER_DECODER}.transformer_ffn_layers.0.linear1.weight"
            )[0],
            task_queries=task,
            enforce_input_proj=dim == query_dim
            and f"{TRANSFORMER_DECODER}.input_proj.0.weight" in state,
        ),
        num_classes=tensor_shape(state, f"{TRANSFORMER_DECODER}.class_embed.weight")[0] - 1,
        text=infer_text(state),
    )


def infer_task_queries(state: State) -> TaskQueriesConfig | None:
    """Derive the configuration of task-conditioned queries; None if there are none."""
    if "task_mlp.layers.0.weight" not in state:
        return None
    return TaskQueriesConfig(
        num_layers=count_modules(state, f"{TRANSFORMER_DECODER}.class_transformer.decoder.layers"),
        task_length=tensor_shape(state, "task_mlp.layers.0.weight", 2)[1],
    )


def infer_text(state: State) -> TextConfig | None:
    """Derive the configuration of the text encoder; None if the file lacks it."""
    if "text_encoder.positional_embedding" not in state:
        return None
    length, dim = tensor_shape(state, "text_encoder.positional_embedding", 2)
    return TextConfig(
        dim=dim,
        length=length,
        num_layers=count_modules(state, "text_encoder.transformer.resblocks"),
        vocabulary=tensor_shape(state, "text_encoder.token_embedding.weight")[0],
        projector_layers=count_modules(state, "text_projector.layers"),
        context=tensor_shape(state, "prompt_ctx.weight")[0],
    )


def infer_num_heads(state: State, name: str, *widths: int) -> int:
    """Derive the number of heads from the attention weights of sampling points.

    Raises:
        CheckpointError: The weights or widths fit no number of heads.
    """
    weights = tensor_shape(state, name)[0]
    heads = weights // (NUM_LEVELS * NUM_POINTS)
    if weights % (NUM_LEVELS * NUM_POINTS) or not heads or any(width % heads for width in widths):
        raise CheckpointError(
            f"{weights} attention weights per position are no heads times {NUM_LEVELS} levels "
            f"times {NUM_POINTS} points for {' and '.join(map(str, widths))} channels"
        )
    return heads
