"""Whether `transformers` implements a network, and the schema in which it is written."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from unimask.checkpoints.huggingface.backbones import read_backbone, write_backbone
from unimask.checkpoints.huggingface.detr import read_detr, write_detr
from unimask.checkpoints.huggingface.eomt import read_eomt, write_buffers, write_eomt
from unimask.checkpoints.huggingface.mask2former import read_mask2former, write_mask2former
from unimask.checkpoints.huggingface.maskformer import read_maskformer, write_maskformer
from unimask.checkpoints.huggingface.oneformer import read_oneformer, write_oneformer
from unimask.checkpoints.huggingface.own_schema import write_own_decoders
from unimask.config import (
    DeformablePixelDecoderConfig,
    DetrPixelDecoderConfig,
    EfficientNetLiteConfig,
    FPNPixelDecoderConfig,
    JointDecoderConfig,
    MaskedDecoderConfig,
    NoPixelDecoderConfig,
    ResNetConfig,
    SegmenterConfig,
    StandardDecoderConfig,
    SwinConfig,
    TimmConfig,
    ViTConfig,
)

Json = dict

Schema = Literal["mask2former", "oneformer", "maskformer", "eomt", "detr", "own"]
"""Schema whose tensor names and values a folder uses."""

EOMT_MODEL_TYPES = ("eomt", "eomt_dinov3")
"""Model types of EoMT, whose config.json describes the backbone beside the decoder."""

OWN_MODEL_TYPE = "unimask"
"""Model type of networks that `transformers` would compute differently."""

NUM_NORM_GROUPS = 32
"""Groups of every group normalisation in their pixel decoders; ours use fewer for some widths."""


def write_architecture(architecture: SegmenterConfig) -> tuple[Schema, Json, Json]:
    """Return the network's part of config.json, in the schema of another family if that suffices.

    Returns:
        Schema, its values, and additional values of unimask.
    """
    schema, values = write_transformers_architecture(architecture)
    if schema == "own" or transformers_incompatibility(architecture) is not None:
        ours = {"architectures": ["Segmenter"], "model_type": OWN_MODEL_TYPE}
        backbone = {"backbone_config": write_backbone(architecture.backbone)}
        return "own", ours | backbone, {"decoders": write_own_decoders(architecture)}
    return schema, values, {}


def write_transformers_architecture(architecture: SegmenterConfig) -> tuple[Schema, Json]:
    """Return the network's values in the schema of the family with such decoders.

    The schema may lack a key for some values, which `transformers_incompatibility` detects.
    """
    if isinstance(architecture.transformer_decoder, JointDecoderConfig):
        vit, queries = architecture.backbone, architecture.transformer_decoder
        return ("eomt", write_eomt(vit, queries)) if isinstance(vit, ViTConfig) else ("own", {})
    schema, values = write_transformers_decoders(architecture)
    return schema, values | {"backbone_config": write_backbone(architecture.backbone)}


def write_transformers_decoders(architecture: SegmenterConfig) -> tuple[Schema, Json]:
    """Return the values of decoders that are described apart from the backbone."""
    match architecture.pixel_decoder, architecture.transformer_decoder:
        case DeformablePixelDecoderConfig() as pixels, MaskedDecoderConfig() as queries:
            if queries.task_queries is None:
                return "mask2former", write_mask2former(pixels, queries)
            return "oneformer", write_oneformer(pixels, queries, architecture.text)
        case FPNPixelDecoderConfig() as pixels, StandardDecoderConfig() as queries:
            return "maskformer", write_maskformer(pixels, queries)
        case DetrPixelDecoderConfig() as pixels, StandardDecoderConfig() as queries:
            return "detr", write_detr(pixels, queries)
        case _:
            return "own", {}


def transformers_incompatibility(architecture: SegmenterConfig) -> str | None:
    """Return why `transformers` would compute another network; None if it computes this one.

    The schema's values are read back without unimask's: a value that differs afterwards has no key
    there. Then differences are checked that no value shows.
    """
    schema, values = write_transformers_architecture(architecture)
    pixels, queries = architecture.pixel_decoder, architecture.transformer_decoder
    if schema == "own":
        return f"no model there has a {pixels.kind!r} pixel decoder beside a {queries.kind!r} one"
    if isinstance(architecture.backbone, TimmConfig):
        return f"backbone.name is {architecture.backbone.name!r}: images are not padded there"
    if isinstance(architecture.backbone, EfficientNetLiteConfig):
        return "backbone.kind is 'efficientnet_lite', which no model has there"
    different = first_difference(architecture, read_back(architecture, schema, values))
    if different is not None:
        return different
    if isinstance(pixels, NoPixelDecoderConfig):
        return None
    if isinstance(pixels, DetrPixelDecoderConfig):
        is_resnet = isinstance(architecture.backbone, ResNetConfig)
        return None if is_resnet else f"backbone.kind is {architecture.backbone.kind!r} in a DETR"
    if pixels.dim % NUM_NORM_GROUPS:
        return f"pixel_decoder.dim is {pixels.dim}: only multiples of {NUM_NORM_GROUPS} exist there"
    if schema == "maskformer" and not isinstance(architecture.backbone, ResNetConfig | SwinConfig):
        return f"backbone.kind is {architecture.backbone.kind!r}, which MaskFormer lacks there"
    match pixels, queries:
        case DeformablePixelDecoderConfig(), MaskedDecoderConfig() if schema == "oneformer":
            return oneformer_incompatibility(pixels, queries.dim)
        case _:
            return None


def oneformer_incompatibility(pixels: DeformablePixelDecoderConfig, width: int) -> str | None:
    """Return why their OneFormer computes another network although it has all values.

    Theirs neither saves nor loads input projections, and requires equal widths of masks and
    queries.
    """
    for name in ("dim", "mask_dim"):
        actual = getattr(pixels, name)
        if actual != width:
            return (
                f"pixel_decoder.{name} is {actual} and transformer_decoder.dim {width}: only equal"
            )
    return None


def read_back(architecture: SegmenterConfig, schema: Schema, values: Json) -> SegmenterConfig:
    """Return the network that the schema's values describe without unimask's."""
    if schema == "eomt":
        parts = read_eomt(values, write_buffers(architecture))
        return SegmenterConfig(num_classes=architecture.num_classes, **parts)
    if schema == "mask2former":
        decoders = read_mask2former(values, {})
    elif schema == "oneformer":
        decoders = read_oneformer(values, {})
    elif schema == "detr":
        decoders = read_detr(values, {}, Path("config.json"))
    else:
        decoders = read_maskformer(values)
    backbone = read_backbone(values, {}, Path("config.json"))
    return SegmenterConfig(backbone=backbone, num_classes=architecture.num_classes, **decoders)


def first_difference(ours: Any, theirs: Any, name: str = "") -> str | None:
    """Return the first value in which a configuration differs from what was read back."""
    if type(ours) is not type(theirs) or not is_dataclass(ours):
        return (
            None
            if ours == theirs
            else f"{name} is {describe_value(ours)}, and {describe_value(theirs)} there"
        )
    inner = f"{name}." if name else ""
    for field in fields(ours):
        difference = first_difference(
            getattr(ours, field.name), getattr(theirs, field.name), f"{inner}{field.name}"
        )
        if difference is not None:
            return difference
    return None


def describe_value(value: Any) -> str:
    """Return a value or a part of a configuration as short text."""
    return f"a {type(value).__name__}" if is_dataclass(value) else repr(value)


def read_schema(config: Mapping[str, Any]) -> Schema:
    """Return the schema of the tensor names that belong to a config.json."""
    own_values = config.get("unimask")
    if isinstance(own_values, dict) and "decoders" in own_values:
        return "own"
    family = config.get("model_type")
    if family in EOMT_MODEL_TYPES:
        return "eomt"
    return family if family in ("oneformer", "maskformer", "detr") else "mask2former"
