"""Mask2Former's decoders in the Hugging Face schema."""

from unimask.config import DeformablePixelDecoderConfig, MaskedDecoderConfig

Json = dict


def read_mask2former(config: Json, extras: Json) -> Json:
    """Read the configurations of the decoders.

    Args:
        config: Content of config.json.
        extras: Values that unimask adds to the schema.
    """
    local = extras.get("local_positions", False)
    return {
        "pixel_decoder": DeformablePixelDecoderConfig(
            dim=config["feature_size"],
            mask_dim=config["mask_feature_size"],
            num_layers=config["encoder_layers"],
            num_heads=config["num_attention_heads"],
            num_points=extras.get("num_points", 4),
            ffn_dim=config["encoder_feedforward_dim"],
            dropout=config["dropout"],
            local_positions=local,
        ),
        "transformer_decoder": MaskedDecoderConfig(
            dim=config["hidden_dim"],
            num_queries=config["num_queries"],
            # Theirs includes the prediction of the initial queries.
            num_layers=config["decoder_layers"] - 1,
            num_heads=config["num_attention_heads"],
            ffn_dim=config["dim_feedforward"],
            dropout=config["dropout"],
            enforce_input_proj=config.get("enforce_input_projection", False),
            local_positions=local,
            proposals=extras.get("proposals", 0.0),
            max_proposals=extras.get("max_proposals", 600),
        ),
    }


def write_mask2former(pixels: DeformablePixelDecoderConfig, queries: MaskedDecoderConfig) -> Json:
    """Return the schema's values for the decoders, which share heads and dropout there."""
    return {
        "architectures": ["Mask2FormerForUniversalSegmentation"],
        "model_type": "mask2former",
        "feature_size": pixels.dim,
        "mask_feature_size": pixels.mask_dim,
        "hidden_dim": queries.dim,
        "encoder_feedforward_dim": pixels.ffn_dim,
        "encoder_layers": pixels.num_layers,
        "decoder_layers": queries.num_layers + 1,
        "num_attention_heads": queries.num_heads,
        "dim_feedforward": queries.ffn_dim,
        "dropout": queries.dropout,
        "num_queries": queries.num_queries,
        "enforce_input_projection": queries.enforce_input_proj,
    }
