"""Conversion of the backbone in Hugging Face's config.json to and from our configurations."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from unimask.checkpoints.huggingface.defaults import add_defaults
from unimask.checkpoints.huggingface.generations import infer_named_backbone, read_timm
from unimask.config import (
    BackboneConfig,
    ConvNeXtConfig,
    DiNATConfig,
    EfficientNetLiteConfig,
    ResNetConfig,
    SwinConfig,
    TimmConfig,
    ViTConfig,
)
from unimask.errors import CheckpointError

Json = dict


def read_backbone(config: Json, tensors: dict[str, Tensor], folder: Path) -> BackboneConfig:
    """Read the backbone's configuration; one that is only named is derived from its tensors.

    Raises:
        CheckpointError: The backbone or one of its options is unknown.
        KeyError: A value is missing.
    """
    if not config.get("backbone_config"):
        return infer_named_backbone(config, tensors, folder)
    backbone = add_defaults(config["backbone_config"])
    kind = backbone.get("model_type")
    if kind == "resnet":
        return read_resnet(backbone, config.get("unimask", {}))
    if kind not in READERS:
        known = ", ".join([*READERS, "resnet"])
        raise CheckpointError(f"the backbone {kind!r} is not supported; supported are {known}")
    return READERS[kind](backbone)


def read_swin(backbone: Json) -> SwinConfig:
    """Read the configuration of a Swin."""
    check_options(backbone, patch_size=4, hidden_act="gelu", qkv_bias=True, layer_norm_eps=1e-5)
    check_options(backbone, use_absolute_embeddings=False)
    return SwinConfig(
        embed_dim=backbone["embed_dim"],
        depths=tuple(backbone["depths"]),
        num_heads=tuple(backbone["num_heads"]),
        window_size=backbone["window_size"],
        mlp_ratio=backbone.get("mlp_ratio", 4.0),
        drop_path=backbone.get("drop_path_rate", 0.0),
        in_channels=backbone.get("num_channels", 3),
    )


def read_convnext(backbone: Json) -> ConvNeXtConfig:
    """Read the configuration of a ConvNeXt."""
    check_options(backbone, patch_size=4, hidden_act="gelu")
    return ConvNeXtConfig(
        dims=tuple(backbone["hidden_sizes"]),
        depths=tuple(backbone["depths"]),
        drop_path=backbone.get("drop_path_rate", 0.0),
        layer_scale=backbone.get("layer_scale_init_value", 1e-6),
        in_channels=backbone.get("num_channels", 3),
    )


def read_dinat(backbone: Json) -> DiNATConfig:
    """Read the configuration of a DiNAT."""
    check_options(backbone, patch_size=4, hidden_act="gelu", qkv_bias=True, layer_norm_eps=1e-5)
    dilations = tuple(tuple(stage) for stage in backbone["dilations"])
    check_options(backbone, depths=[len(stage) for stage in dilations])
    return DiNATConfig(
        embed_dim=backbone["embed_dim"],
        num_heads=tuple(backbone["num_heads"]),
        kernel_size=backbone["kernel_size"],
        dilations=dilations,
        mlp_ratio=backbone["mlp_ratio"],
        drop_path=backbone.get("drop_path_rate", 0.0),
        layer_scale=backbone.get("layer_scale_init_value", 0.0),
        in_channels=backbone.get("num_channels", 3),
    )


def read_resnet(backbone: Json, own_values: Json) -> ResNetConfig:
    """Read the configuration of a ResNet; `own_values` holds the values that the schema lacks."""
    check_options(backbone, hidden_act="relu", downsample_in_bottleneck=False)
    check_options(backbone, downsample_in_first_stage=False)
    return ResNetConfig(
        block=backbone["layer_type"],
        stem=own_values.get("stem", "basic"),
        stem_channels=backbone["embedding_size"],
        channels=tuple(backbone["hidden_sizes"]),
        depths=tuple(backbone["depths"]),
        norm=own_values.get("norm", "frozen_batch"),
        last_dilations=tuple(own_values.get("last_dilations", ())),
        last_stride=own_values.get("last_stride", 2),
        in_channels=backbone.get("num_channels", 3),
    )


def read_efficientnet_lite(backbone: Json) -> EfficientNetLiteConfig:
    """Read the configuration of an EfficientNet-Lite, which only unimask's schema has."""
    return EfficientNetLiteConfig(
        stem_channels=backbone["stem_channels"],
        channels=tuple(backbone["channels"]),  # type: ignore[arg-type]
        depths=tuple(backbone["depths"]),  # type: ignore[arg-type]
        norm=backbone["norm"],
        in_channels=backbone.get("num_channels", 3),
    )


def read_vit(backbone: Json) -> ViTConfig:
    """Read the configuration of a ViT that only unimask's schema describes.

    Raises:
        CheckpointError: It has an unknown value.
    """
    try:
        return ViTConfig(**{key: backbone[key] for key in backbone if key != "model_type"})
    except TypeError as error:
        raise CheckpointError(f"config.json has an unknown value: {error}") from None


READERS: dict[str, Callable[[Json], BackboneConfig]] = {
    "swin": read_swin,
    "maskformer-swin": read_swin,
    "convnext": read_convnext,
    "dinat": read_dinat,
    "efficientnet_lite": read_efficientnet_lite,
    "timm_backbone": read_timm,
    "unimask_vit": read_vit,
}


def check_options(config: Json, **options: object) -> None:
    """Refuse options of the schema that our networks do not implement.

    Raises:
        CheckpointError: An option has another value.
    """
    for name, value in options.items():
        if config.get(name, value) != value:
            actual, kind = repr(config[name])[:60], config.get("model_type")
            raise CheckpointError(f"{name} of the {kind} is {actual}; only {value!r} is supported")


def write_backbone(backbone: BackboneConfig) -> Json:
    """Return the schema's backbone_config."""
    match backbone:
        case SwinConfig():
            values = write_swin(backbone)
        case ConvNeXtConfig():
            values = write_convnext(backbone)
        case DiNATConfig():
            values = write_dinat(backbone)
        case ResNetConfig():
            values = write_resnet(backbone)
        case EfficientNetLiteConfig():
            return write_efficientnet_lite(backbone)
        case TimmConfig():
            return write_timm(backbone)
        case ViTConfig():
            return {"model_type": "unimask_vit", **asdict(backbone)}
    return {
        **values,
        "num_channels": backbone.in_channels,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    }


def write_swin(backbone: SwinConfig) -> Json:
    """Return the schema's values for a Swin."""
    return {
        "model_type": "swin",
        "embed_dim": backbone.embed_dim,
        "depths": list(backbone.depths),
        "num_heads": list(backbone.num_heads),
        "window_size": backbone.window_size,
        "mlp_ratio": backbone.mlp_ratio,
        "drop_path_rate": backbone.drop_path,
    }


def write_convnext(backbone: ConvNeXtConfig) -> Json:
    """Return the schema's values for a ConvNeXt."""
    return {
        "model_type": "convnext",
        "hidden_sizes": list(backbone.dims),
        "depths": list(backbone.depths),
        "drop_path_rate": backbone.drop_path,
        "layer_scale_init_value": backbone.layer_scale,
    }


def write_dinat(backbone: DiNATConfig) -> Json:
    """Return the schema's values for a DiNAT."""
    return {
        "model_type": "dinat",
        "embed_dim": backbone.embed_dim,
        "depths": list(backbone.depths),
        "num_heads": list(backbone.num_heads),
        "kernel_size": backbone.kernel_size,
        "dilations": [list(stage) for stage in backbone.dilations],
        "mlp_ratio": backbone.mlp_ratio,
        "drop_path_rate": backbone.drop_path,
        "layer_scale_init_value": backbone.layer_scale,
    }


def own_backbone_values(backbone: BackboneConfig) -> Json:
    """Return the values that the schema has no key for, where they differ from the default."""
    if not isinstance(backbone, ResNetConfig):
        return {}
    default = ResNetConfig()
    names = ("norm", "stem", "last_dilations", "last_stride")
    values = {name: getattr(backbone, name) for name in names}
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def write_resnet(backbone: ResNetConfig) -> Json:
    """Return the schema's values for a ResNet."""
    return {
        "model_type": "resnet",
        "layer_type": backbone.block,
        "embedding_size": backbone.stem_channels,
        "hidden_sizes": list(backbone.channels),
        "depths": list(backbone.depths),
    }


def write_efficientnet_lite(backbone: EfficientNetLiteConfig) -> Json:
    """Return the values of an EfficientNet-Lite, for which the schema has no keys."""
    return {
        "model_type": "efficientnet_lite",
        "stem_channels": backbone.stem_channels,
        "channels": list(backbone.channels),
        "depths": list(backbone.depths),
        "norm": backbone.norm,
        "num_channels": backbone.in_channels,
    }


def write_timm(backbone: TimmConfig) -> Json:
    """Return the schema's values for a model of timm."""
    return {
        "model_type": "timm_backbone",
        "backbone": backbone.name,
        "num_channels": backbone.in_channels,
    }
