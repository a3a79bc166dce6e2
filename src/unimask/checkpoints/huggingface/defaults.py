"""Default values of the schema, which some releases of `transformers` omit from config.json.

Releases around 4.40 omit those of nested configurations, and two unnamed classes.
"""

Json = dict

VIT: Json = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "layer_norm_eps": 1e-6, "image_size": 640, "patch_size": 16, "num_channels": 3,
    "layerscale_value": 1.0, "drop_path_rate": 0.0, "num_blocks": 4, "num_queries": 200,
    "num_register_tokens": 4,
}  # fmt: skip
"""Default values that EoMT has with DINOv2 and DINOv3."""

DEFAULTS: dict[str, Json] = {
    "swin": {
        "embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7,
        "drop_path_rate": 0.1,
    },
    "resnet": {
        "embedding_size": 64, "hidden_sizes": [256, 512, 1024, 2048], "depths": [3, 4, 6, 3],
        "layer_type": "bottleneck",
    },
    "convnext": {"hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 9, 3]},
    "dinat": {
        "embed_dim": 64, "depths": [3, 4, 6, 5], "num_heads": [2, 4, 8, 16], "kernel_size": 7,
        "mlp_ratio": 3.0,
    },
    "detr": {
        "d_model": 256, "num_queries": 100, "decoder_layers": 6, "decoder_attention_heads": 8,
        "decoder_ffn_dim": 2048, "dropout": 0.1, "encoder_layers": 6, "encoder_attention_heads": 8,
        "encoder_ffn_dim": 2048,
    },
    "eomt": {**VIT, "mlp_ratio": 4, "use_swiglu_ffn": False},
    "eomt_dinov3": {
        **VIT, "intermediate_size": 4096, "use_gated_mlp": False, "key_bias": False,
        "pos_embed_rescale": 2.0,
    },
}  # fmt: skip
"""Default values by model type, without dilations, which belong to the weights."""

DEFAULT_CLASS_NAMES = {"0": "LABEL_0", "1": "LABEL_1"}
"""Class names of a network whose configuration has none."""


def add_defaults(config: Json, kind: str | None = None) -> Json:
    """Return a nested configuration completed with the defaults that its release omitted."""
    model_type = kind or config.get("model_type")
    model_type = "swin" if model_type == "maskformer-swin" else model_type
    return {**DEFAULTS.get(str(model_type), {}), **config}
