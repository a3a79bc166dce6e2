"""MaskFormer's decoders in the Hugging Face schema: values and tensor names."""

from unimask.checkpoints.huggingface.backbone_names import (
    ENCODER,
    OUTPUT_NORMS,
    PATCHES,
    SWIN,
)
from unimask.checkpoints.huggingface.defaults import add_defaults
from unimask.checkpoints.huggingface.mask2former_names import PIXEL_DECODER, TRANSFORMER_DECODER
from unimask.checkpoints.keymap import Rules
from unimask.config import FPNPixelDecoderConfig, StandardDecoderConfig

Json = dict


def read_maskformer(config: Json) -> Json:
    """Read the configurations of the decoders.

    Args:
        config: Content of config.json.
    """
    queries = add_defaults(config["decoder_config"], "detr")
    return {
        "pixel_decoder": FPNPixelDecoderConfig(
            dim=config["fpn_feature_size"], mask_dim=config["mask_feature_size"]
        ),
        "transformer_decoder": read_standard(queries),
    }


def read_standard(values: Json) -> StandardDecoderConfig:
    """Read the configuration of a decoder from values of the model type "detr"."""
    return StandardDecoderConfig(
        dim=values["d_model"],
        num_queries=values["num_queries"],
        num_layers=values["decoder_layers"],
        num_heads=values["decoder_attention_heads"],
        ffn_dim=values["decoder_ffn_dim"],
        dropout=values["dropout"],
    )


def write_standard(queries: StandardDecoderConfig) -> Json:
    """Return the values of the model type "detr" for a decoder."""
    return {
        "model_type": "detr",
        "d_model": queries.dim,
        "num_queries": queries.num_queries,
        "decoder_layers": queries.num_layers,
        "decoder_attention_heads": queries.num_heads,
        "decoder_ffn_dim": queries.ffn_dim,
        "dropout": queries.dropout,
    }


def write_maskformer(pixels: FPNPixelDecoderConfig, queries: StandardDecoderConfig) -> Json:
    """Return the schema's values for the decoders; it has no encoder before the pyramid."""
    return {
        "architectures": ["MaskFormerForInstanceSegmentation"],
        "model_type": "maskformer",
        "fpn_feature_size": pixels.dim,
        "mask_feature_size": pixels.mask_dim,
        "decoder_config": write_standard(queries) | {"encoder_attention_heads": queries.num_heads},
    }


FPN: Rules = (
    ("pixel_decoder.stem.**", f"{PIXEL_DECODER}.fpn.stem.**"),
    ("pixel_decoder.steps.*.lateral.**", f"{PIXEL_DECODER}.fpn.layers.*.proj.**"),
    ("pixel_decoder.steps.*.output.**", f"{PIXEL_DECODER}.fpn.layers.*.block.**"),
    ("pixel_decoder.mask_features.**", f"{PIXEL_DECODER}.mask_projection.**"),
)

LAYER, THEIR_LAYER = "transformer_decoder.layers.*", f"{TRANSFORMER_DECODER}.decoder.layers.*"

STANDARD: Rules = (
    ("transformer_decoder.input_proj.**", f"{TRANSFORMER_DECODER}.input_projection.**"),
    (
        "transformer_decoder.query_positions.weight",
        f"{TRANSFORMER_DECODER}.queries_embedder.weight",
    ),
    *(
        (
            f"{LAYER}.{ours}.in_proj_{kind}",
            tuple(f"{THEIR_LAYER}.{theirs}.{part}_proj.{kind}" for part in "qkv"),
        )
        for ours, theirs in (("self_attn", "self_attn"), ("cross_attn", "encoder_attn"))
        for kind in ("weight", "bias")
    ),
    (f"{LAYER}.self_attn.out_proj.**", f"{THEIR_LAYER}.self_attn.out_proj.**"),
    (f"{LAYER}.cross_attn.out_proj.**", f"{THEIR_LAYER}.encoder_attn.out_proj.**"),
    (f"{LAYER}.norm1.**", f"{THEIR_LAYER}.self_attn_layer_norm.**"),
    (f"{LAYER}.norm2.**", f"{THEIR_LAYER}.encoder_attn_layer_norm.**"),
    (f"{LAYER}.norm3.**", f"{THEIR_LAYER}.final_layer_norm.**"),
    (f"{LAYER}.linear*.**", f"{THEIR_LAYER}.fc*.**"),
    ("transformer_decoder.head.norm.**", f"{TRANSFORMER_DECODER}.decoder.layernorm.**"),
    ("transformer_decoder.head.class_embed.**", "class_predictor.**"),
    ("transformer_decoder.head.mask_embed.layers.*.**", "mask_embedder.*.0.**"),
)


def inside_model(name: str) -> str:
    """Return a tensor's name in a Swin whose modules except output norms are one level deeper."""
    stage_norm = f"{ENCODER}.hidden_states_norms.stage"
    if name.startswith(stage_norm):
        stage, rest = name.removeprefix(stage_norm).split(".", 1)
        return f"{ENCODER}.hidden_states_norms.{int(stage) - 1}.{rest}"
    return name.replace(f"{ENCODER}.", f"{ENCODER}.model.", 1)


MASKFORMER_SWIN: Rules = tuple(
    (ours, inside_model(name) if isinstance(name, str) else tuple(map(inside_model, name)))
    for ours, name in (*PATCHES, *OUTPUT_NORMS, *SWIN)
)

MASKFORMER: Rules = (*FPN, *STANDARD, *MASKFORMER_SWIN)
