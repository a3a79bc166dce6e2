"""DETR for panoptic segmentation in the Hugging Face schema."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from unimask.checkpoints.backbone_shapes import infer_backbone
from unimask.checkpoints.huggingface.backbones import check_options
from unimask.checkpoints.huggingface.defaults import add_defaults
from unimask.checkpoints.huggingface.detr_names import RESNET_NAMES
from unimask.checkpoints.huggingface.maskformer import read_standard, write_standard
from unimask.checkpoints.keymap import to_theirs
from unimask.config import (
    DetrPixelDecoderConfig,
    MapEncoderConfig,
    ResNetConfig,
    StandardDecoderConfig,
)
from unimask.errors import CheckpointError
from unimask.presets.detr import dilate_last_stage

Json = dict


def read_detr(config: Json, tensors: Mapping[str, Tensor], folder: Path) -> Json:
    """Read the configurations of the decoders, and of a backbone of timm.

    Args:
        config: Content of config.json.
        tensors: Weights, from which a ResNet of timm is derived.
        folder: Model folder.

    Raises:
        CheckpointError: An option is not supported.
    """
    values = add_defaults(config)
    check_options(values, position_embedding_type="sine")
    encoder = MapEncoderConfig(
        num_layers=values["encoder_layers"],
        num_heads=values["encoder_attention_heads"],
        ffn_dim=values["encoder_ffn_dim"],
        dropout=values["dropout"],
    )
    parts: Json = {
        "pixel_decoder": DetrPixelDecoderConfig(dim=values["d_model"], encoder=encoder),
        "transformer_decoder": read_standard(values),
    }
    described = values.get("backbone_config") or {"model_type": "timm_backbone"}
    if described.get("model_type") == "timm_backbone":
        dilated = values.get("dilation") or described.get("output_stride") == 16
        parts["backbone"] = infer_timm_resnet(tensors, folder, dilated=bool(dilated))
    return parts


def infer_timm_resnet(
    tensors: Mapping[str, Tensor], folder: Path, *, dilated: bool
) -> ResNetConfig:
    """Derive the configuration of a ResNet of timm from its tensors.

    Args:
        tensors: Weights, the ResNet's under the names of `transformers`.
        folder: Model folder.
        dilated: Whether the last stage is dilated (DC5).

    Raises:
        CheckpointError: The backbone is no ResNet.
    """
    swapped = [(theirs, ours) for ours, theirs in RESNET_NAMES.items()]
    backbone = infer_backbone(to_theirs(tensors, [*swapped, ("**", "**")]), folder)
    if not isinstance(backbone, ResNetConfig):
        raise CheckpointError(f"a DETR has a ResNet, not a {backbone.kind}")
    return dilate_last_stage(backbone) if dilated else backbone


def write_detr(pixels: DetrPixelDecoderConfig, queries: StandardDecoderConfig) -> Json:
    """Return the schema's values for encoder and decoder; both have one dropout rate there."""
    return {
        "architectures": ["DetrForSegmentation"],
        **write_standard(queries),
        "encoder_layers": pixels.encoder.num_layers,
        "encoder_attention_heads": pixels.encoder.num_heads,
        "encoder_ffn_dim": pixels.encoder.ffn_dim,
    }
