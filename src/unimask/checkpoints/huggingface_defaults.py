"""What releases of `transformers` leave out of config.json: numbers that are the schema's defaults.

Only those of nested configurations are left out, by releases around 4.40, and two unnamed classes.
"""

Json = dict

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
        "decoder_ffn_dim": 2048, "dropout": 0.1,
    },
}  # fmt: skip
"""By type of model; dilations are not among them: they belong to weights."""

UNNAMED = {"0": "LABEL_0", "1": "LABEL_1"}
"""The classes of a network whose configuration names none."""


def completed(config: Json, kind: str | None = None) -> Json:
    """Give a nested configuration with the defaults that its release left out."""
    told = kind or config.get("model_type")
    told = "swin" if told == "maskformer-swin" else told
    return {**DEFAULTS.get(str(told), {}), **config}
