"""Names of Mask2Former's tensors in the authors' files.

The names of backbones equal ours: ResNet's are detectron2's, and all use the same Swin code.
"""

from unimask.checkpoints.keymap import Rules

PIXELS = "sem_seg_head.pixel_decoder"
QUERIES = "sem_seg_head.predictor"

BACKBONE: Rules = (("backbone.**", "backbone.**"),)

DEFORMABLE: Rules = (
    ("pixel_decoder.level_embed", f"{PIXELS}.transformer.level_embed"),
    ("pixel_decoder.layers.*.**", f"{PIXELS}.transformer.encoder.layers.*.**"),
    ("pixel_decoder.input_proj.*.**", f"{PIXELS}.input_proj.*.**"),
    ("pixel_decoder.lateral.0.**", f"{PIXELS}.adapter_1.**"),
    ("pixel_decoder.lateral.1.**", f"{PIXELS}.adapter_1.norm.**"),
    ("pixel_decoder.output.0.**", f"{PIXELS}.layer_1.**"),
    ("pixel_decoder.output.1.**", f"{PIXELS}.layer_1.norm.**"),
    ("pixel_decoder.mask_features.**", f"{PIXELS}.mask_features.**"),
)

LAYER = "transformer_decoder.layers.*"
CROSS = f"{QUERIES}.transformer_cross_attention_layers.*"
SELF = f"{QUERIES}.transformer_self_attention_layers.*"
FFN = f"{QUERIES}.transformer_ffn_layers.*"

MASKED: Rules = (
    ("transformer_decoder.queries.features", f"{QUERIES}.query_feat.weight"),
    ("transformer_decoder.queries.positions", f"{QUERIES}.query_embed.weight"),
    ("transformer_decoder.level_embed", f"{QUERIES}.level_embed.weight"),
    ("transformer_decoder.input_proj.*.**", f"{QUERIES}.input_proj.*.**"),
    (f"{LAYER}.cross_attn.**", f"{CROSS}.multihead_attn.**"),
    (f"{LAYER}.cross_norm.**", f"{CROSS}.norm.**"),
    (f"{LAYER}.self_attn.**", f"{SELF}.self_attn.**"),
    (f"{LAYER}.self_norm.**", f"{SELF}.norm.**"),
    (f"{LAYER}.linear1.**", f"{FFN}.linear1.**"),
    (f"{LAYER}.linear2.**", f"{FFN}.linear2.**"),
    (f"{LAYER}.ffn_norm.**", f"{FFN}.norm.**"),
    ("transformer_decoder.head.norm.**", f"{QUERIES}.decoder_norm.**"),
    ("transformer_decoder.head.class_embed.**", f"{QUERIES}.class_embed.**"),
    ("transformer_decoder.head.mask_embed.layers.*.**", f"{QUERIES}.mask_embed.layers.*.**"),
)

NAMES: Rules = (*BACKBONE, *DEFORMABLE, *MASKED)

NO_WEIGHTS = (
    r"criterion\..*",
    r"pixel_(mean|std)",
    r".*\.num_batches_tracked",
    r".*\.relative_position_index",
)


def current_name(name: str, *, head_was_flat: bool) -> str:
    """Return the current form of a name from the authors' first releases.

    The authors' modules do the same when they load such files (`_load_from_state_dict` in
    `mask_former_head.py` and `mask2former_transformer_decoder.py`).

    Args:
        name: Name in the file.
        head_was_flat: Whether the file has the pixel decoder directly under `sem_seg_head`.
    """
    if head_was_flat and name.startswith("sem_seg_head.") and not name.startswith(QUERIES):
        name = name.replace("sem_seg_head.", f"{PIXELS}.", 1)
    return name.replace("static_query", "query_feat")
