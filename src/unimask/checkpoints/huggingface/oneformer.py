"""OneFormer's decoders and text encoder in the Hugging Face schema: values and tensor names."""

from unimask.checkpoints.huggingface.mask2former_names import DEFORMABLE, TRANSFORMER_DECODER
from unimask.checkpoints.keymap import Rules
from unimask.config import (
    DeformablePixelDecoderConfig,
    MaskedDecoderConfig,
    TaskQueriesConfig,
    TextConfig,
)

Json = dict


def read_oneformer(config: Json, extras: Json) -> Json:
    """Read the configurations of decoders and text encoder.

    Args:
        config: Content of config.json.
        extras: Values that unimask adds to the schema.
    """
    return {
        "pixel_decoder": DeformablePixelDecoderConfig(
            dim=config["conv_dim"],
            mask_dim=config["mask_dim"],
            num_layers=config["encoder_layers"],
            num_heads=config["num_attention_heads"],
            num_points=extras.get("num_points", 4),
            ffn_dim=config["encoder_feedforward_dim"],
            dropout=config["dropout"],
        ),
        "transformer_decoder": MaskedDecoderConfig(
            dim=config["hidden_dim"],
            num_queries=config["num_queries"],
            # Theirs includes the prediction of the initial queries.
            num_layers=config["decoder_layers"] - 1,
            num_heads=config["num_attention_heads"],
            ffn_dim=config["dim_feedforward"],
            task_queries=TaskQueriesConfig(
                num_layers=config["query_dec_layers"],
                dropout=config["dropout"],
                task_length=config["task_seq_len"],
                task_norm=config["use_task_norm"],
            ),
        ),
        "text": read_text(config) if "text_encoder_width" in config else None,
    }


def read_text(config: Json) -> TextConfig:
    """Read the configuration of the text encoder."""
    return TextConfig(
        dim=config["text_encoder_width"],
        length=config["text_encoder_context_length"],
        num_layers=config["text_encoder_num_layers"],
        vocabulary=config["text_encoder_vocab_size"],
        projector_layers=config["text_encoder_proj_layers"],
        context=config["text_encoder_n_ctx"],
    )


def write_oneformer(
    pixels: DeformablePixelDecoderConfig, queries: MaskedDecoderConfig, text: TextConfig | None
) -> Json:
    """Return the schema's values; all parts share heads and dropout there.

    `is_training` is false because it would require texts and apply dropout in the pixel decoder
    even for prediction. Training there must set it, and then finds the tensors of the text encoder.
    """
    task = queries.task_queries or TaskQueriesConfig()
    return {
        "architectures": ["OneFormerForUniversalSegmentation"],
        "model_type": "oneformer",
        "conv_dim": pixels.dim,
        "mask_dim": pixels.mask_dim,
        "hidden_dim": queries.dim,
        "encoder_feedforward_dim": pixels.ffn_dim,
        "encoder_layers": pixels.num_layers,
        "decoder_layers": queries.num_layers + 1,
        "num_attention_heads": queries.num_heads,
        "dim_feedforward": queries.ffn_dim,
        "dropout": task.dropout,
        "num_queries": queries.num_queries,
        "query_dec_layers": task.num_layers,
        "task_seq_len": task.task_length,
        "use_task_norm": task.task_norm,
        "is_training": False,
        **({} if text is None else write_text(text)),
    }


def write_text(text: TextConfig) -> Json:
    """Return the schema's values for the text encoder."""
    return {
        "text_encoder_width": text.dim,
        "text_encoder_context_length": text.length,
        "text_encoder_num_layers": text.num_layers,
        "text_encoder_vocab_size": text.vocabulary,
        "text_encoder_proj_layers": text.projector_layers,
        "text_encoder_n_ctx": text.context,
    }


DECODER = f"{TRANSFORMER_DECODER}.decoder"
QUERY_TRANSFORMER = f"{DECODER}.query_transformer.decoder"
TEXT_ENCODER = "model.text_mapper.text_encoder"

QUERY_LAYER = "transformer_decoder.queries.layers.*"
LAYER, THEIR_LAYER = "transformer_decoder.layers.*", f"{DECODER}.layers.*"
TEXT_LAYER, THEIR_TEXT_LAYER = (
    "text_mapper.encoder.layers.*",
    f"{TEXT_ENCODER}.transformer.layers.*",
)

TASK: Rules = (
    ("task_encoder.linear1.**", "model.task_encoder.task_mlp.layers.0.0.**"),
    ("task_encoder.linear2.**", "model.task_encoder.task_mlp.layers.1.0.**"),
    ("transformer_decoder.queries.positions", f"{TRANSFORMER_DECODER}.queries_embedder.weight"),
    ("transformer_decoder.queries.input_proj.**", f"{DECODER}.query_input_projection.**"),
    (f"{QUERY_LAYER}.cross_attn.**", f"{QUERY_TRANSFORMER}.layers.*.multihead_attn.**"),
    (f"{QUERY_LAYER}.**", f"{QUERY_TRANSFORMER}.layers.*.**"),
    ("transformer_decoder.queries.norm.**", f"{QUERY_TRANSFORMER}.norm.**"),
)

MASKED: Rules = (
    ("transformer_decoder.level_embed", f"{TRANSFORMER_DECODER}.level_embed.weight"),
    ("transformer_decoder.input_proj.*.**", f"{TRANSFORMER_DECODER}.input_projections.*.**"),
    (f"{LAYER}.cross_attn.**", f"{THEIR_LAYER}.cross_attn.multihead_attn.**"),
    (f"{LAYER}.cross_norm.**", f"{THEIR_LAYER}.cross_attn.norm.**"),
    *(
        (
            f"{LAYER}.self_attn.in_proj_{kind}",
            tuple(f"{THEIR_LAYER}.self_attn.self_attn.{part}_proj.{kind}" for part in "qkv"),
        )
        for kind in ("weight", "bias")
    ),
    (f"{LAYER}.self_attn.out_proj.**", f"{THEIR_LAYER}.self_attn.self_attn.out_proj.**"),
    (f"{LAYER}.self_norm.**", f"{THEIR_LAYER}.self_attn.norm.**"),
    (f"{LAYER}.ffn_norm.**", f"{THEIR_LAYER}.ffn.norm.**"),
    (f"{LAYER}.linear*.**", f"{THEIR_LAYER}.ffn.linear*.**"),
    ("transformer_decoder.head.norm.**", f"{DECODER}.decoder_norm.**"),
    ("transformer_decoder.head.class_embed.**", f"{DECODER}.class_embed.**"),
    ("transformer_decoder.head.mask_embed.layers.*.**", f"{DECODER}.mask_embed.layers.*.0.**"),
)

TEXTS: Rules = (
    ("text_mapper.context", "model.text_mapper.prompt_ctx.weight"),
    ("text_mapper.logit_scale", "criterion.logit_scale"),
    ("text_mapper.projector.layers.*.**", "model.text_mapper.text_projector.layers.*.0.**"),
    ("text_mapper.encoder.norm.**", f"{TEXT_ENCODER}.ln_final.**"),
    (f"{TEXT_LAYER}.attn.**", f"{THEIR_TEXT_LAYER}.self_attn.**"),
    (f"{TEXT_LAYER}.norm*.**", f"{THEIR_TEXT_LAYER}.layer_norm*.**"),
    (f"{TEXT_LAYER}.linear*.**", f"{THEIR_TEXT_LAYER}.mlp.fc*.**"),
    ("text_mapper.encoder.**", f"{TEXT_ENCODER}.**"),
)

ONEFORMER: Rules = (*TASK, *MASKED, *TEXTS, *DEFORMABLE)
