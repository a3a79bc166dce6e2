"""Names of the tensors of MaskFormer and its baselines in the authors' files."""

from unimask.checkpoints.authors.mask2former_names import BACKBONE, PIXELS, QUERIES
from unimask.checkpoints.keymap import Rules


def convolution(ours: str, theirs: str) -> Rules:
    """Build the rules of a convolution and its normalisation, which is a child of it there."""
    return (
        (f"{ours}.0.**", f"{PIXELS}.{theirs}.**"),
        (f"{ours}.1.**", f"{PIXELS}.{theirs}.norm.**"),
    )


FPN: Rules = (
    ("pixel_decoder.encoder.input_proj.**", f"{PIXELS}.input_proj.**"),
    ("pixel_decoder.encoder.layers.*.**", f"{PIXELS}.transformer.encoder.layers.*.**"),
    *convolution("pixel_decoder.stem", "layer_4"),
    *(
        rule
        for step, level in enumerate((3, 2, 1))
        for rule in (
            *convolution(f"pixel_decoder.steps.{step}.lateral", f"adapter_{level}"),
            *convolution(f"pixel_decoder.steps.{step}.output", f"layer_{level}"),
        )
    ),
    ("pixel_decoder.mask_features.**", f"{PIXELS}.mask_features.**"),
)

DECODER = f"{QUERIES}.transformer.decoder"
LAYER, THEIR_LAYER = "transformer_decoder.layers.*", f"{DECODER}.layers.*"

STANDARD: Rules = (
    ("transformer_decoder.input_proj.**", f"{QUERIES}.input_proj.**"),
    ("transformer_decoder.query_positions.weight", f"{QUERIES}.query_embed.weight"),
    (f"{LAYER}.cross_attn.**", f"{THEIR_LAYER}.multihead_attn.**"),
    (f"{LAYER}.**", f"{THEIR_LAYER}.**"),
    ("transformer_decoder.head.norm.**", f"{DECODER}.norm.**"),
    ("transformer_decoder.head.class_embed.**", f"{QUERIES}.class_embed.**"),
    ("transformer_decoder.head.mask_embed.layers.*.**", f"{QUERIES}.mask_embed.layers.*.**"),
)

PER_PIXEL: Rules = (("transformer_decoder.classify.**", f"{QUERIES}.**"),)

NAMES: Rules = (*BACKBONE, *FPN, *STANDARD, *PER_PIXEL)
