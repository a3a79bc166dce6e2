"""Names of the tensors of MaskFormer and its baselines in the authors' files."""

from unimask.checkpoints.authors.mask2former_names import (
    BACKBONE,
    PIXEL_DECODER,
    TRANSFORMER_DECODER,
)
from unimask.checkpoints.keymap import Rules


def convolution_rules(ours: str, theirs: str) -> Rules:
    """Build the rules of a convolution and its normalisation, which is a child of it there."""
    return (
        (f"{ours}.0.**", f"{PIXEL_DECODER}.{theirs}.**"),
        (f"{ours}.1.**", f"{PIXEL_DECODER}.{theirs}.norm.**"),
    )


FPN: Rules = (
    ("pixel_decoder.encoder.input_proj.**", f"{PIXEL_DECODER}.input_proj.**"),
    ("pixel_decoder.encoder.layers.*.**", f"{PIXEL_DECODER}.transformer.encoder.layers.*.**"),
    *convolution_rules("pixel_decoder.stem", "layer_4"),
    *(
        rule
        for step, level in enumerate((3, 2, 1))
        for rule in (
            *convolution_rules(f"pixel_decoder.steps.{step}.lateral", f"adapter_{level}"),
            *convolution_rules(f"pixel_decoder.steps.{step}.output", f"layer_{level}"),
        )
    ),
    ("pixel_decoder.mask_features.**", f"{PIXEL_DECODER}.mask_features.**"),
)

DECODER = f"{TRANSFORMER_DECODER}.transformer.decoder"
LAYER, THEIR_LAYER = "transformer_decoder.layers.*", f"{DECODER}.layers.*"

STANDARD: Rules = (
    ("transformer_decoder.input_proj.**", f"{TRANSFORMER_DECODER}.input_proj.**"),
    ("transformer_decoder.query_positions.weight", f"{TRANSFORMER_DECODER}.query_embed.weight"),
    (f"{LAYER}.cross_attn.**", f"{THEIR_LAYER}.multihead_attn.**"),
    (f"{LAYER}.**", f"{THEIR_LAYER}.**"),
    ("transformer_decoder.head.norm.**", f"{DECODER}.norm.**"),
    ("transformer_decoder.head.class_embed.**", f"{TRANSFORMER_DECODER}.class_embed.**"),
    (
        "transformer_decoder.head.mask_embed.layers.*.**",
        f"{TRANSFORMER_DECODER}.mask_embed.layers.*.**",
    ),
)

PER_PIXEL: Rules = (("transformer_decoder.classify.**", f"{TRANSFORMER_DECODER}.**"),)

NAMES: Rules = (*BACKBONE, *FPN, *STANDARD, *PER_PIXEL)
