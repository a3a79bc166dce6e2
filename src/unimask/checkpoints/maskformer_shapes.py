"""Configuration of a MaskFormer or of its baselines from the names and shapes of tensors.

Values that shapes do not show are those of the authors' code and configurations: 8 heads in encoder
and decoder (`MODEL.MASK_FORMER.NHEADS`), and a dropout of 0.1, which matters only to training.
"""

from pathlib import Path

from unimask.checkpoints.authors.mask2former_names import PIXEL_DECODER, TRANSFORMER_DECODER
from unimask.checkpoints.backbone_shapes import State, count_modules, infer_backbone, tensor_shape
from unimask.config import (
    FPNPixelDecoderConfig,
    MapEncoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    SegmenterConfig,
    StandardDecoderConfig,
)
from unimask.errors import CheckpointError

NUM_HEADS = 8

PER_PIXEL = f"{TRANSFORMER_DECODER}.weight"
"""The single convolution of the per-pixel baseline."""


def is_maskformer(state: State) -> bool:
    """Return whether these are tensors of a MaskFormer or of one of its baselines."""
    return PER_PIXEL in state or any(
        name.startswith(f"{TRANSFORMER_DECODER}.transformer.") for name in state
    )


def infer_maskformer(state: State, path: Path) -> SegmenterConfig:
    """Derive the configuration of a MaskFormer or a baseline from tensors under the authors' names.

    Args:
        state: Tensors by name.
        path: File of the weights, whose name may contain what shapes do not show.

    Raises:
        CheckpointError: A tensor is missing, or its shape fits no such network.
    """
    check_variant(state)
    decoder, num_classes = infer_decoder(state)
    return SegmenterConfig(
        backbone=infer_backbone(state, path),
        pixel_decoder=infer_fpn(state),
        transformer_decoder=decoder,
        num_classes=num_classes,
    )


def infer_fpn(state: State) -> FPNPixelDecoderConfig:
    """Derive the configuration of the pyramid, and of the encoder before it, if there is one."""
    layers = f"{PIXEL_DECODER}.transformer.encoder.layers"
    num_layers = count_modules(state, layers)
    mask_dim, dim, *_ = tensor_shape(state, f"{PIXEL_DECODER}.mask_features.weight", 4)
    return FPNPixelDecoderConfig(
        dim=check_divisible_by_heads(dim) if num_layers else dim,
        mask_dim=mask_dim,
        encoder=MapEncoderConfig(
            num_layers=num_layers,
            num_heads=NUM_HEADS,
            ffn_dim=tensor_shape(state, f"{layers}.0.linear1.weight", 2)[0],
        )
        if num_layers
        else None,
    )


def infer_decoder(
    state: State,
) -> tuple[StandardDecoderConfig | PerPixelConfig | PerPixelPlusConfig, int]:
    """Derive the configuration of the decoder or classifier, and the number of classes."""
    if PER_PIXEL in state:
        return PerPixelConfig(), tensor_shape(state, PER_PIXEL, 4)[0]
    layers = f"{TRANSFORMER_DECODER}.transformer.decoder.layers"
    num_queries, dim = tensor_shape(state, f"{TRANSFORMER_DECODER}.query_embed.weight", 2)
    plus = PerPixelPlusConfig(
        dim=check_divisible_by_heads(dim),
        num_layers=count_modules(state, layers),
        num_heads=NUM_HEADS,
        ffn_dim=tensor_shape(state, f"{layers}.0.linear1.weight", 2)[0],
    )
    if not any(name.startswith(f"{TRANSFORMER_DECODER}.class_embed.") for name in state):
        return plus, num_queries
    config = StandardDecoderConfig(
        dim=plus.dim,
        num_queries=num_queries,
        num_layers=plus.num_layers,
        num_heads=plus.num_heads,
        ffn_dim=plus.ffn_dim,
    )
    return config, tensor_shape(state, f"{TRANSFORMER_DECODER}.class_embed.weight", 2)[0] - 1


def check_divisible_by_heads(dim: int) -> int:
    """Check that a width is divisible by the number of heads, and return it.

    Raises:
        CheckpointError: The width is not divisible.
    """
    if dim % NUM_HEADS:
        raise CheckpointError(
            f"{dim} channels are not divisible by {NUM_HEADS} heads, MaskFormer's number"
        )
    return dim


def reads_encoder(state: State) -> bool:
    """Return whether the decoder reads the encoder's output, which it projects if widths differ."""
    projection = f"{TRANSFORMER_DECODER}.input_proj.weight"
    if projection not in state:
        return True
    dim, input_dim, *_ = tensor_shape(state, projection, 4)
    return input_dim == tensor_shape(state, f"{PIXEL_DECODER}.mask_features.weight", 4)[1] != dim


def check_variant(state: State) -> None:
    """Refuse variants that the authors' code can build but that were never published.

    Raises:
        CheckpointError: The network is such a variant.
    """
    encoders = (
        f"{PIXEL_DECODER}.transformer.encoder",
        f"{TRANSFORMER_DECODER}.transformer.encoder",
    )
    if any(f"{encoder}.norm.weight" in state for encoder in encoders):
        reason = "its layers are normalised before their sums (PRE_NORM)"
    elif count_modules(state, f"{encoders[1]}.layers"):
        reason = "its decoder has its own encoder (ENC_LAYERS)"
    elif count_modules(state, f"{encoders[0]}.layers") and not reads_encoder(state):
        reason = "its decoder does not read the encoder's map as it is (TRANSFORMER_IN_FEATURE)"
    else:
        return
    raise CheckpointError(f"this MaskFormer is of an unsupported kind: {reason}")
