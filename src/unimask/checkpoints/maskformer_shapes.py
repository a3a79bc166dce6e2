"""Configuration of a MaskFormer or of its baselines from the names and shapes of tensors.

Values that shapes do not show are those of the authors' code and configurations: 8 heads in encoder
and decoder (`MODEL.MASK_FORMER.NHEADS`), and a dropout of 0.1, which matters only to training.
"""

from pathlib import Path

from unimask.checkpoints.authors.mask2former_names import PIXELS, QUERIES
from unimask.checkpoints.backbone_shapes import State, count, read_backbone_config, shape
from unimask.config import (
    FPNPixelDecoderConfig,
    MapEncoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    SegmenterConfig,
    StandardDecoderConfig,
)
from unimask.errors import CheckpointError

HEADS = 8

PER_PIXEL = f"{QUERIES}.weight"
"""The single convolution of the per-pixel baseline."""


def is_maskformer(state: State) -> bool:
    """Return whether these are tensors of a MaskFormer or of one of its baselines."""
    return PER_PIXEL in state or any(name.startswith(f"{QUERIES}.transformer.") for name in state)


def read_maskformer(state: State, path: Path) -> SegmenterConfig:
    """Derive the configuration of a MaskFormer or a baseline from tensors under the authors' names.

    Args:
        state: Tensors by name.
        path: File of the weights, whose name may contain what shapes do not show.

    Raises:
        CheckpointError: A tensor is missing, or its shape fits no such network.
    """
    refuse_variants(state)
    decoder, num_classes = read_decoder(state)
    return SegmenterConfig(
        backbone=read_backbone_config(state, path),
        pixel_decoder=read_fpn(state),
        transformer_decoder=decoder,
        num_classes=num_classes,
    )


def read_fpn(state: State) -> FPNPixelDecoderConfig:
    """Derive the configuration of the pyramid, and of the encoder before it, if there is one."""
    layers = f"{PIXELS}.transformer.encoder.layers"
    num_layers = count(state, layers)
    mask_dim, dim, *_ = shape(state, f"{PIXELS}.mask_features.weight", 4)
    return FPNPixelDecoderConfig(
        dim=in_heads(dim) if num_layers else dim,
        mask_dim=mask_dim,
        encoder=MapEncoderConfig(
            num_layers=num_layers,
            num_heads=HEADS,
            ffn_dim=shape(state, f"{layers}.0.linear1.weight", 2)[0],
        )
        if num_layers
        else None,
    )


def read_decoder(
    state: State,
) -> tuple[StandardDecoderConfig | PerPixelConfig | PerPixelPlusConfig, int]:
    """Derive the configuration of the decoder or classifier, and the number of classes."""
    if PER_PIXEL in state:
        return PerPixelConfig(), shape(state, PER_PIXEL, 4)[0]
    layers = f"{QUERIES}.transformer.decoder.layers"
    num_queries, dim = shape(state, f"{QUERIES}.query_embed.weight", 2)
    plus = PerPixelPlusConfig(
        dim=in_heads(dim),
        num_layers=count(state, layers),
        num_heads=HEADS,
        ffn_dim=shape(state, f"{layers}.0.linear1.weight", 2)[0],
    )
    if not any(name.startswith(f"{QUERIES}.class_embed.") for name in state):
        return plus, num_queries
    config = StandardDecoderConfig(
        dim=plus.dim,
        num_queries=num_queries,
        num_layers=plus.num_layers,
        num_heads=plus.num_heads,
        ffn_dim=plus.ffn_dim,
    )
    return config, shape(state, f"{QUERIES}.class_embed.weight", 2)[0] - 1


def in_heads(dim: int) -> int:
    """Check that a width is divisible by the number of heads, and return it.

    Raises:
        CheckpointError: The width is not divisible.
    """
    if dim % HEADS:
        raise CheckpointError(f"{dim} channels are of no {HEADS} heads, MaskFormer's number")
    return dim


def reads_encoder(state: State) -> bool:
    """Return whether the decoder reads the encoder's output, which it projects if widths differ."""
    projection = f"{QUERIES}.input_proj.weight"
    if projection not in state:
        return True
    dim, input_dim, *_ = shape(state, projection, 4)
    return input_dim == shape(state, f"{PIXELS}.mask_features.weight", 4)[1] != dim


def refuse_variants(state: State) -> None:
    """Refuse variants that the authors' code can build but that were never published.

    Raises:
        CheckpointError: The network is such a variant.
    """
    encoders = (f"{PIXELS}.transformer.encoder", f"{QUERIES}.transformer.encoder")
    if any(f"{encoder}.norm.weight" in state for encoder in encoders):
        reason = "its layers are normalised before their sums (PRE_NORM)"
    elif count(state, f"{encoders[1]}.layers"):
        reason = "its decoder stands on an encoder of its own (ENC_LAYERS)"
    elif count(state, f"{encoders[0]}.layers") and not reads_encoder(state):
        reason = "its decoder does not read the encoder's map as it is (TRANSFORMER_IN_FEATURE)"
    else:
        return
    raise CheckpointError(f"this MaskFormer is of a kind that is not known here: {reason}")
