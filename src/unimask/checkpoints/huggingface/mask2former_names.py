"""Names of Mask2Former's tensors in the Hugging Face schema."""

from unimask.checkpoints.keymap import Rules

PIXELS = "model.pixel_level_module.decoder"
QUERIES = "model.transformer_module"

DEFORMABLE: Rules = (
    ("pixel_decoder.level_embed", f"{PIXELS}.level_embed"),
    ("pixel_decoder.input_proj.*.**", f"{PIXELS}.input_projections.*.**"),
    ("pixel_decoder.layers.*.self_attn.**", f"{PIXELS}.encoder.layers.*.self_attn.**"),
    ("pixel_decoder.layers.*.norm1.**", f"{PIXELS}.encoder.layers.*.self_attn_layer_norm.**"),
    ("pixel_decoder.layers.*.norm2.**", f"{PIXELS}.encoder.layers.*.final_layer_norm.**"),
    ("pixel_decoder.layers.*.linear1.**", f"{PIXELS}.encoder.layers.*.fc1.**"),
    ("pixel_decoder.layers.*.linear2.**", f"{PIXELS}.encoder.layers.*.fc2.**"),
    ("pixel_decoder.lateral.**", f"{PIXELS}.adapter_1.**"),
    ("pixel_decoder.output.**", f"{PIXELS}.layer_1.**"),
    ("pixel_decoder.mask_features.**", f"{PIXELS}.mask_projection.**"),
)

LAYER = "transformer_decoder.layers.*"
THEIR_LAYER = f"{QUERIES}.decoder.layers.*"

MASKED: Rules = (
    ("transformer_decoder.queries.features", f"{QUERIES}.queries_features.weight"),
    ("transformer_decoder.queries.positions", f"{QUERIES}.queries_embedder.weight"),
    ("transformer_decoder.queries.proposals.**", "unimask.proposals.**"),
    ("transformer_decoder.head.ellipse.**", "unimask.ellipse.**"),
    ("transformer_decoder.level_embed", f"{QUERIES}.level_embed.weight"),
    ("transformer_decoder.input_proj.*.**", f"{QUERIES}.input_projections.*.**"),
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
    ("transformer_decoder.head.norm.**", f"{QUERIES}.decoder.layernorm.**"),
    ("transformer_decoder.head.class_embed.**", "class_predictor.**"),
    (
        "transformer_decoder.head.mask_embed.layers.*.**",
        f"{QUERIES}.decoder.mask_predictor.mask_embedder.*.0.**",
    ),
)

MASK2FORMER: Rules = (*DEFORMABLE, *MASKED)

NO_WEIGHTS = (
    r"criterion\..*",
    r".*\.relative_position_index",
    r".*\.num_batches_tracked",
    r"model\.pixel_level_module\.encoder\.(swin\.|model\.)?layernorm\..*",  # never used
)
