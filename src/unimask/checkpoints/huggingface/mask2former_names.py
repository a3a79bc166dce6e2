"""Names of Mask2Former's tensors in the Hugging Face schema."""

from unimask.checkpoints.keymap import Rules

PIXEL_DECODER = "model.pixel_level_module.decoder"
TRANSFORMER_DECODER = "model.transformer_module"

DEFORMABLE: Rules = (
    ("pixel_decoder.level_embed", f"{PIXEL_DECODER}.level_embed"),
    ("pixel_decoder.input_proj.*.**", f"{PIXEL_DECODER}.input_projections.*.**"),
    ("pixel_decoder.layers.*.self_attn.**", f"{PIXEL_DECODER}.encoder.layers.*.self_attn.**"),
    (
        "pixel_decoder.layers.*.norm1.**",
        f"{PIXEL_DECODER}.encoder.layers.*.self_attn_layer_norm.**",
    ),
    ("pixel_decoder.layers.*.norm2.**", f"{PIXEL_DECODER}.encoder.layers.*.final_layer_norm.**"),
    ("pixel_decoder.layers.*.linear1.**", f"{PIXEL_DECODER}.encoder.layers.*.fc1.**"),
    ("pixel_decoder.layers.*.linear2.**", f"{PIXEL_DECODER}.encoder.layers.*.fc2.**"),
    ("pixel_decoder.lateral.**", f"{PIXEL_DECODER}.adapter_1.**"),
    ("pixel_decoder.output.**", f"{PIXEL_DECODER}.layer_1.**"),
    ("pixel_decoder.mask_features.**", f"{PIXEL_DECODER}.mask_projection.**"),
)

LAYER = "transformer_decoder.layers.*"
THEIR_LAYER = f"{TRANSFORMER_DECODER}.decoder.layers.*"

MASKED: Rules = (
    ("transformer_decoder.queries.features", f"{TRANSFORMER_DECODER}.queries_features.weight"),
    ("transformer_decoder.queries.positions", f"{TRANSFORMER_DECODER}.queries_embedder.weight"),
    ("transformer_decoder.queries.proposals.**", "unimask.proposals.**"),
    ("transformer_decoder.head.ellipse.**", "unimask.ellipse.**"),
    ("transformer_decoder.level_embed", f"{TRANSFORMER_DECODER}.level_embed.weight"),
    ("transformer_decoder.input_proj.*.**", f"{TRANSFORMER_DECODER}.input_projections.*.**"),
    (f"{LAYER}.cross_attn.**", f"{THEIR_LAYER}.cross_attn.**"),
    (f"{LAYER}.cross_norm.**", f"{THEIR_LAYER}.cross_attn_layer_norm.**"),
    *(
        (
            f"{LAYER}.self_attn.in_proj_{kind}",
            tuple(f"{THEIR_LAYER}.self_attn.{part}_proj.{kind}" for part in "qkv"),
        )
        for kind in ("weight", "bias")
    ),
    (f"{LAYER}.self_attn.out_proj.**", f"{THEIR_LAYER}.self_attn.out_proj.**"),
    (f"{LAYER}.self_norm.**", f"{THEIR_LAYER}.self_attn_layer_norm.**"),
    (f"{LAYER}.linear1.**", f"{THEIR_LAYER}.fc1.**"),
    (f"{LAYER}.linear2.**", f"{THEIR_LAYER}.fc2.**"),
    (f"{LAYER}.ffn_norm.**", f"{THEIR_LAYER}.final_layer_norm.**"),
    ("transformer_decoder.head.norm.**", f"{TRANSFORMER_DECODER}.decoder.layernorm.**"),
    ("transformer_decoder.head.class_embed.**", "class_predictor.**"),
    (
        "transformer_decoder.head.mask_embed.layers.*.**",
        f"{TRANSFORMER_DECODER}.decoder.mask_predictor.mask_embedder.*.0.**",
    ),
)

MASK2FORMER: Rules = (*DEFORMABLE, *MASKED)

IGNORED_NAMES = (
    r"criterion\..*",
    r".*\.relative_position_index",
    r".*\.num_batches_tracked",
    r"model\.pixel_level_module\.encoder\.(swin\.|model\.)?layernorm\..*",  # never used
)
