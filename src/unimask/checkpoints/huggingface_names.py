"""Where the Hugging Face schema keeps each tensor of Mask2Former (names on disk)."""

from unimask.checkpoints.keymap import Rules

PIXELS = "model.pixel_level_module.decoder"
QUERIES = "model.transformer_module"
ENCODER = "model.pixel_level_module.encoder"

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

BLOCK = "backbone.layers.*.blocks.*"
THEIR_BLOCK = f"{ENCODER}.encoder.layers.*.blocks.*"

SWIN: Rules = (
    ("backbone.patch_embed.proj.**", f"{ENCODER}.embeddings.patch_embeddings.projection.**"),
    ("backbone.patch_embed.norm.**", f"{ENCODER}.embeddings.norm.**"),
    *(
        (
            f"{BLOCK}.attn.qkv.{kind}",
            tuple(f"{THEIR_BLOCK}.attention.self.{p}.{kind}" for p in ("query", "key", "value")),
        )
        for kind in ("weight", "bias")
    ),
    (
        f"{BLOCK}.attn.relative_position_bias_table",
        f"{THEIR_BLOCK}.attention.self.relative_position_bias_table",
    ),
    (f"{BLOCK}.attn.proj.**", f"{THEIR_BLOCK}.attention.output.dense.**"),
    (f"{BLOCK}.norm1.**", f"{THEIR_BLOCK}.layernorm_before.**"),
    (f"{BLOCK}.norm2.**", f"{THEIR_BLOCK}.layernorm_after.**"),
    (f"{BLOCK}.mlp.fc1.**", f"{THEIR_BLOCK}.intermediate.dense.**"),
    (f"{BLOCK}.mlp.fc2.**", f"{THEIR_BLOCK}.output.dense.**"),
    ("backbone.layers.*.downsample.**", f"{ENCODER}.encoder.layers.*.downsample.**"),
    *(
        (f"backbone.norm{stage}.**", f"{ENCODER}.hidden_states_norms.stage{stage + 1}.**")
        for stage in range(4)
    ),
)

STEM = f"{ENCODER}.embedder.embedder"

RESNET: Rules = (
    ("backbone.stem.conv1.norm.**", f"{STEM}.normalization.**"),
    ("backbone.stem.conv1.weight", f"{STEM}.convolution.weight"),
    *(
        rule
        for stage in range(4)
        for ours, theirs in (
            ("shortcut", "shortcut"),
            *((f"conv{i + 1}", f"layer.{i}") for i in range(3)),
        )
        for rule in (
            (
                f"backbone.res{stage + 2}.*.{ours}.norm.**",
                f"{ENCODER}.encoder.stages.{stage}.layers.*.{theirs}.normalization.**",
            ),
            (
                f"backbone.res{stage + 2}.*.{ours}.weight",
                f"{ENCODER}.encoder.stages.{stage}.layers.*.{theirs}.convolution.weight",
            ),
        )
    ),
)

MASK2FORMER: Rules = (*DEFORMABLE, *MASKED)
BACKBONES: Rules = (*SWIN, *RESNET)

NO_WEIGHTS = (
    r"criterion\..*",
    r".*\.relative_position_index",
    r".*\.num_batches_tracked",
    r"model\.pixel_level_module\.encoder\.(swin\.|model\.)?layernorm\..*",  # never used
)
