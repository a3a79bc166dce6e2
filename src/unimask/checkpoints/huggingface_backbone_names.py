"""Where the Hugging Face schema keeps each tensor of the backbones (names on disk)."""

from unimask.checkpoints.keymap import Rules

ENCODER = "model.pixel_level_module.encoder"

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

BACKBONES: Rules = (*SWIN, *RESNET)
