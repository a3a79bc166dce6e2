"""Names of the backbones' tensors in the Hugging Face schema."""

from unimask.checkpoints.keymap import Rules

ENCODER = "model.pixel_level_module.encoder"


def block_rules(ours: str, theirs: str, *, bias: str) -> Rules:
    """Build the rules of a transformer block; `bias` is the name of its position bias."""
    attention = f"{theirs}.attention.self"
    return (
        *(
            (
                f"{ours}.attn.qkv.{kind}",
                tuple(f"{attention}.{part}.{kind}" for part in ("query", "key", "value")),
            )
            for kind in ("weight", "bias")
        ),
        (f"{ours}.attn.{bias}", f"{attention}.{bias}"),
        (f"{ours}.attn.proj.**", f"{theirs}.attention.output.dense.**"),
        (f"{ours}.norm1.**", f"{theirs}.layernorm_before.**"),
        (f"{ours}.norm2.**", f"{theirs}.layernorm_after.**"),
        (f"{ours}.mlp.fc1.**", f"{theirs}.intermediate.dense.**"),
        (f"{ours}.mlp.fc2.**", f"{theirs}.output.dense.**"),
    )


PATCHES: Rules = (
    ("backbone.patch_embed.proj.**", f"{ENCODER}.embeddings.patch_embeddings.projection.**"),
    ("backbone.patch_embed.norm.**", f"{ENCODER}.embeddings.norm.**"),
)
"""Patch embedding of Swin and DiNAT."""

OUTPUT_NORMS: Rules = tuple(
    (f"backbone.norm{stage}.**", f"{ENCODER}.hidden_states_norms.stage{stage + 1}.**")
    for stage in range(4)
)
"""Output norms of Swin, ConvNeXt and DiNAT."""

SWIN: Rules = (
    *block_rules(
        "backbone.layers.*.blocks.*",
        f"{ENCODER}.encoder.layers.*.blocks.*",
        bias="relative_position_bias_table",
    ),
    ("backbone.layers.*.downsample.**", f"{ENCODER}.encoder.layers.*.downsample.**"),
)

LEVEL_BLOCK = f"{ENCODER}.encoder.levels.*.layers.*"

DINAT: Rules = (
    *block_rules("backbone.levels.*.blocks.*", LEVEL_BLOCK, bias="rpb"),
    ("backbone.levels.*.blocks.*.layer_scale", f"{LEVEL_BLOCK}.layer_scale_parameters"),
    ("backbone.levels.*.downsample.**", f"{ENCODER}.encoder.levels.*.downsample.**"),
)

STAGE_BLOCK = f"{ENCODER}.encoder.stages.*.layers.*"

CONVNEXT: Rules = (
    ("backbone.downsample_layers.0.0.**", f"{ENCODER}.embeddings.patch_embeddings.**"),
    ("backbone.downsample_layers.0.1.**", f"{ENCODER}.embeddings.layernorm.**"),
    ("backbone.downsample_layers.*.**", f"{ENCODER}.encoder.stages.*.downsampling_layer.**"),
    ("backbone.stages.*.*.gamma", f"{STAGE_BLOCK}.layer_scale_parameter"),
    ("backbone.stages.*.*.norm.**", f"{STAGE_BLOCK}.layernorm.**"),
    ("backbone.stages.*.*.**", f"{STAGE_BLOCK}.**"),
)

EFFICIENTNET_LITE: Rules = (
    ("backbone.stem.weight", f"{ENCODER}.stem.weight"),
    ("backbone.stem.norm.**", f"{ENCODER}.stem.norm.**"),
    *(
        (f"backbone.stages.*.*.{conv}.**", f"{ENCODER}.stages.*.*.{conv}.**")
        for conv in ("expand", "depthwise", "project")
    ),
)
"""The schema has no EfficientNet-Lite: these are our own names."""

STEM = f"{ENCODER}.embedder.embedder"

RESNET: Rules = (
    ("backbone.stem.conv1.norm.**", f"{STEM}.normalization.**"),
    ("backbone.stem.conv1.weight", f"{STEM}.convolution.weight"),
    # DeepLab's stem under names of our own, since the schema lacks it.
    ("backbone.stem.*.norm.**", f"{STEM}.*.normalization.**"),
    ("backbone.stem.*.weight", f"{STEM}.*.convolution.weight"),
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

TIMM: Rules = (("backbone.model.**", f"{ENCODER}._backbone.**"),)

VIT: Rules = tuple(
    (f"backbone.{name}", f"{ENCODER}.{name}")
    for name in ("cls_token", "registers", "positions", "patch_embed.*", "blocks.**")
)
"""ViTs of EoMTs that the schema cannot describe, under our own names."""

BACKBONES: Rules = (
    *PATCHES,
    *OUTPUT_NORMS,
    *SWIN,
    *DINAT,
    *EFFICIENTNET_LITE,
    *CONVNEXT,
    *RESNET,
    *TIMM,
    *VIT,
)
