"""The backbone's part of Hugging Face's config.json to and from our dataclasses."""

from unimask.config import BackboneConfig, ResNetConfig, SwinConfig
from unimask.errors import CheckpointError

Json = dict


def read_backbone(config: Json) -> BackboneConfig:
    """Read the backbone's numbers."""
    backbone = config["backbone_config"]
    kind = backbone.get("model_type")
    if kind in ("swin", "maskformer-swin"):
        return SwinConfig(
            embed_dim=backbone["embed_dim"],
            depths=tuple(backbone["depths"]),
            num_heads=tuple(backbone["num_heads"]),
            window_size=backbone["window_size"],
            mlp_ratio=backbone.get("mlp_ratio", 4.0),
            drop_path=backbone.get("drop_path_rate", 0.0),
        )
    if kind == "resnet":
        return ResNetConfig(
            block=backbone["layer_type"],
            stem_channels=backbone["embedding_size"],
            channels=tuple(backbone["hidden_sizes"]),
            depths=tuple(backbone["depths"]),
            norm=config.get("unimask", {}).get("norm", "frozen_batch"),
        )
    raise CheckpointError(f"the backbone {kind!r} is not known here; known are swin and resnet")


def write_backbone(backbone: BackboneConfig) -> Json:
    """Give the schema's backbone_config."""
    stages = ["stage1", "stage2", "stage3", "stage4"]
    if isinstance(backbone, SwinConfig):
        return {
            "model_type": "swin",
            "embed_dim": backbone.embed_dim,
            "depths": list(backbone.depths),
            "num_heads": list(backbone.num_heads),
            "window_size": backbone.window_size,
            "mlp_ratio": backbone.mlp_ratio,
            "drop_path_rate": backbone.drop_path,
            "out_features": stages,
        }
    return {
        "model_type": "resnet",
        "layer_type": backbone.block,
        "embedding_size": backbone.stem_channels,
        "hidden_sizes": list(backbone.channels),
        "depths": list(backbone.depths),
        "out_features": stages,
    }
