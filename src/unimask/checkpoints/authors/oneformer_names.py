"""Names of OneFormer's tensors in the authors' files; many equal those of Mask2Former."""

from unimask.checkpoints.authors.mask2former_names import (
    BACKBONE,
    DEFORMABLE,
    MASKED,
    TRANSFORMER_DECODER,
)
from unimask.checkpoints.keymap import Rules

CLASS_TRANSFORMER = f"{TRANSFORMER_DECODER}.class_transformer.decoder"
QUERY_LAYER = "transformer_decoder.queries.layers.*"
TEXT_LAYER, THEIR_TEXT_LAYER = (
    "text_mapper.encoder.layers.*",
    "text_encoder.transformer.resblocks.*",
)

TASK: Rules = (
    ("task_encoder.linear1.**", "task_mlp.layers.0.**"),
    ("task_encoder.linear2.**", "task_mlp.layers.1.**"),
    ("transformer_decoder.queries.input_proj.**", f"{TRANSFORMER_DECODER}.class_input_proj.**"),
    (f"{QUERY_LAYER}.cross_attn.**", f"{CLASS_TRANSFORMER}.layers.*.multihead_attn.**"),
    (f"{QUERY_LAYER}.**", f"{CLASS_TRANSFORMER}.layers.*.**"),
    ("transformer_decoder.queries.norm.**", f"{CLASS_TRANSFORMER}.norm.**"),
)

TEXTS: Rules = (
    ("text_mapper.context", "prompt_ctx.weight"),
    ("text_mapper.logit_scale", "criterion.logit_scale"),
    ("text_mapper.projector.**", "text_projector.**"),
    ("text_mapper.encoder.norm.**", "text_encoder.ln_final.**"),
    (f"{TEXT_LAYER}.attn.**", f"{THEIR_TEXT_LAYER}.attn.**"),
    (f"{TEXT_LAYER}.norm*.**", f"{THEIR_TEXT_LAYER}.ln_*.**"),
    (f"{TEXT_LAYER}.linear1.**", f"{THEIR_TEXT_LAYER}.mlp.c_fc.**"),
    (f"{TEXT_LAYER}.linear2.**", f"{THEIR_TEXT_LAYER}.mlp.c_proj.**"),
    ("text_mapper.encoder.**", "text_encoder.**"),
)

NAMES: Rules = (*BACKBONE, *DEFORMABLE, *TASK, *TEXTS, *MASKED)
