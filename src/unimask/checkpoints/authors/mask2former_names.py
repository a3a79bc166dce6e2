"""Names of Mask2Former's tensors in the authors' files.

The names of backbones equal ours: ResNet's are detectron2's, and all use the same Swin code.
"""

from unimask.checkpoints.keymap import Rules

PIXEL_DECODER = "sem_seg_head.pixel_decoder"
TRANSFORMER_DECODER = "sem_seg_head.predictor"

BACKBONE: Rules = (("backbone.**", "backbone.**"),)

DEFORMABLE: Rules = (
    ("pixel_decoder.level_embed", f"{PIXEL_DECODER}.transformer.level_embed"),
    ("pixel_decoder.layers.*.**", f"{PIXEL_DECODER}.transformer.encoder.layers.*.**"),
    ("pixel_decoder.input_proj.*.**", f"{PIXEL_DECODER}.input_proj.*.**"),
    ("pixel_decoder.lateral.0.**", f"{PIXEL_DECODER}.adapter_1.**"),
    ("pixel_decoder.lateral.1.**", f"{PIXEL_DECODER}.adapter_1.norm.**"),
    ("pixel_decoder.output.0.**", f"{PIXEL_DECODER}.layer_1.**"),
    ("pixel_decoder.output.1.**", f"{PIXEL_DECODER}.layer_1.norm.**"),
    ("pixel_decoder.mask_features.**", f"{PIXEL_DECODER}.mask_features.**"),
)

LAYER = "transformer_decoder.layers.*"
CROSS = f"{TRANSFORMER_DECODER}.transformer_cross_attention_layers.*"
SELF = f"{TRANSFORMER_DECODER}.transformer_self_attention_layers.*"
FFN = f"{TRANSFORMER_DECODER}.transformer_ffn_layers.*"

MASKED: Rules = (
    ("transformer_decoder.queries.features", f"{TRANSFORMER_DECODER}.query_feat.weight"),
    ("transformer_decoder.queries.positions", f"{TRANSFORMER_DECODER}.query_embed.weight"),
    ("transformer_decoder.level_embed", f"{TRANSFORMER_DECODER}.level_embed.weight"),
    ("transformer_decoder.input_proj.*.**", f"{TRANSFORMER_DECODER}.input_proj.*.**"),
    (f"{LAYER}.cross_attn.**", f"{CROSS}.multihead_attn.**"),
    (f"{LAYER}.cross_norm.**", f"{CROSS}.norm.**"),
    (f"{LAYER}.self_attn.**", f"{SELF}.self_attn.**"),
    (f"{LAYER}.self_norm.**", f"{SELF}.norm.**"),
    (f"{LAYER}.linear1.**", f"{FFN}.linear1.**"),
    (f"{LAYER}.linear2.**", f"{FFN}.linear2.**"),
    (f"{LAYER}.ffn_norm.**", f"{FFN}.norm.**"),
    ("transformer_decoder.head.norm.**", f"{TRANSFORMER_DECODER}.decoder_norm.**"),
    ("transformer_decoder.head.class_embed.**", f"{TRANSFORMER_DECODER}.class_embed.**"),
    (
        "transformer_decoder.head.mask_embed.layers.*.**",
        f"{TRANSFORMER_DECODER}.mask_embed.layers.*.**",
    ),
)

NAMES: Rules = (*BACKBONE, *DEFORMABLE, *MASKED)

IGNORED_NAMES = (
    r"criterion\..*",
    r"pixel_(mean|std)",
    r".*\.num_batches_tracked",
    r".*\.relative_position_index",
)


def modernize_name(name: str, *, is_head_flat: bool) -> str:
    """Return the current form of a name from the authors' first releases.

    The authors' modules do the same when they load such files (`_load_from_state_dict` in
    `mask_former_head.py` and `mask2former_transformer_decoder.py`).

    Args:
        name: Name in the file.
        is_head_flat: Whether the file has the pixel decoder directly under `sem_seg_head`.
    """
    if (
        is_head_flat
        and name.startswith("sem_seg_head.")
        and not name.startswith(TRANSFORMER_DECODER)
    ):
        name = name.replace("sem_seg_head.", f"{PIXEL_DECODER}.", 1)
    return name.replace("static_query", "query_feat")
