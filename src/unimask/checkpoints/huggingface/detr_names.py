"""Names of DETR's tensors in the Hugging Face schema."""

from unimask.checkpoints.huggingface.backbone_names import ENCODER, RESNET
from unimask.checkpoints.huggingface.mask2former_names import TRANSFORMER_DECODER
from unimask.checkpoints.huggingface.maskformer import STANDARD
from unimask.checkpoints.imagenet.names import TORCHVISION
from unimask.checkpoints.keymap import Rules

MODEL, BACKBONE = "detr.model", "detr.model.backbone.conv_encoder.model"

OUR_LAYER, THEIR_LAYER = "pixel_decoder.encoder.layers.*", f"{MODEL}.encoder.layers.*"

ENCODER_LAYERS: Rules = (
    *(
        (
            f"{OUR_LAYER}.self_attn.in_proj_{kind}",
            tuple(f"{THEIR_LAYER}.self_attn.{part}_proj.{kind}" for part in "qkv"),
        )
        for kind in ("weight", "bias")
    ),
    (f"{OUR_LAYER}.self_attn.out_proj.**", f"{THEIR_LAYER}.self_attn.out_proj.**"),
    (f"{OUR_LAYER}.norm1.**", f"{THEIR_LAYER}.self_attn_layer_norm.**"),
    (f"{OUR_LAYER}.norm2.**", f"{THEIR_LAYER}.final_layer_norm.**"),
    (f"{OUR_LAYER}.linear*.**", f"{THEIR_LAYER}.fc*.**"),
)


def inside_detr(name: str) -> str:
    """Return the name in a DETR of a tensor of MaskFormer's decoder."""
    return name.replace(f"{TRANSFORMER_DECODER}.decoder.", f"{MODEL}.decoder.")


DECODER_LAYERS: Rules = tuple(
    (ours, inside_detr(theirs) if isinstance(theirs, str) else tuple(map(inside_detr, theirs)))
    for ours, theirs in STANDARD
    if ours.startswith("transformer_decoder.layers.")
)

HEAD = "transformer_decoder.head"

MASK_HEAD: Rules = (
    (f"{HEAD}.query.**", "bbox_attention.q_linear.**"),
    (f"{HEAD}.key.**", "bbox_attention.k_linear.**"),
    *((f"{HEAD}.convs.{index}.**", f"mask_head.lay{index + 1}.**") for index in range(5)),
    *((f"{HEAD}.norms.{index}.**", f"mask_head.gn{index + 1}.**") for index in range(5)),
    *((f"{HEAD}.adapters.{index}.**", f"mask_head.adapter{index + 1}.**") for index in range(3)),
    (f"{HEAD}.output.**", "mask_head.out_lay.**"),
)
"""Names of the convolutions of masks, which are those of the authors too."""

RESNET_NAMES = {
    ours: theirs.replace(ENCODER, BACKBONE) for ours, theirs in RESNET if isinstance(theirs, str)
}

DETR: Rules = (
    *RESNET_NAMES.items(),
    ("pixel_decoder.encoder.input_proj.**", f"{MODEL}.input_projection.**"),
    *ENCODER_LAYERS,
    ("transformer_decoder.query_positions.weight", f"{MODEL}.query_position_embeddings.weight"),
    *DECODER_LAYERS,
    (f"{HEAD}.norm.**", f"{MODEL}.decoder.layernorm.**"),
    (f"{HEAD}.class_embed.**", "detr.class_labels_classifier.**"),
    (f"{HEAD}.box_embed.layers.*.**", "detr.bbox_predictor.layers.*.**"),
    *MASK_HEAD,
)

TIMM_RESNET: Rules = tuple(
    (f"{BACKBONE}.{theirs}", RESNET_NAMES[ours])
    for ours, theirs in TORCHVISION
    if isinstance(theirs, str)
)
"""Names of ResNets of timm, which the published folders have, and those of `transformers`."""
