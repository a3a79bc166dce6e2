"""Names of the tensors of Mask2Former and MaskFormer in mmdetection's files.

Release 3 names the modules of a transformer layer, release 2 numbers them. Source: mmdet 3.3.0 and
2.28.2 (`models/dense_heads/mask{,2}former_head.py` and the layers that it uses).
"""

from unimask.checkpoints.imagenet.names import TORCHVISION
from unimask.checkpoints.keymap import Rules

HEAD = "panoptic_head"
PIXEL_DECODER = f"{HEAD}.pixel_decoder"
TRANSFORMER_DECODER = f"{HEAD}.transformer_decoder"

RESNET: Rules = tuple((ours, f"backbone.{theirs}") for ours, theirs in TORCHVISION)

BLOCK = "backbone.stages.*.blocks.*"

SWIN: Rules = (
    ("backbone.patch_embed.proj.**", "backbone.patch_embed.projection.**"),
    ("backbone.layers.*.blocks.*.attn.**", f"{BLOCK}.attn.w_msa.**"),
    ("backbone.layers.*.blocks.*.mlp.fc1.**", f"{BLOCK}.ffn.layers.0.0.**"),
    ("backbone.layers.*.blocks.*.mlp.fc2.**", f"{BLOCK}.ffn.layers.1.**"),
    ("backbone.layers.**", "backbone.stages.**"),
    ("backbone.patch_embed.norm.**", "backbone.patch_embed.norm.**"),
    *((f"backbone.norm{stage}.**", f"backbone.norm{stage}.**") for stage in range(4)),
)

HEAD_RULES: Rules = (
    ("transformer_decoder.head.norm.**", f"{TRANSFORMER_DECODER}.post_norm.**"),
    ("transformer_decoder.head.class_embed.**", f"{HEAD}.cls_embed.**"),
    *(
        (f"transformer_decoder.head.mask_embed.layers.{ours}.**", f"{HEAD}.mask_embed.{theirs}.**")
        for ours, theirs in ((0, 0), (1, 2), (2, 4))  # activations are counted too
    ),
    ("pixel_decoder.mask_features.**", f"{PIXEL_DECODER}.mask_feature.**"),
)
"""Prediction heads of both families."""


def convolution_rules(ours: str, theirs: str) -> Rules:
    """Build the rules of a convolution and its group norm."""
    return ((f"{ours}.0.**", f"{theirs}.conv.**"), (f"{ours}.1.**", f"{theirs}.gn.**"))


def feed_forward_rules(ours: str, theirs: str, part: str) -> Rules:
    """Build the rules of the two linear layers of a feed-forward network."""
    return (
        (f"{ours}.linear1.**", f"{theirs}.{part}.layers.0.0.**"),
        (f"{ours}.linear2.**", f"{theirs}.{part}.layers.1.**"),
    )


def norm_rules(ours: str, theirs: str, *names: str) -> Rules:
    """Build the rules of a layer's norms, in the order in which they are applied."""
    return tuple(
        (f"{ours}.{name}.**", f"{theirs}.norms.{index}.**") for index, name in enumerate(names)
    )


def mask2former_rules(*, has_named_modules: bool) -> Rules:
    """Build the rules of a Mask2Former; modules of layers have names since release 3."""
    attention, ffn = ("self_attn", "ffn") if has_named_modules else ("attentions.0", "ffns.0")
    cross_attention, self_attention = (
        ("cross_attn", "self_attn") if has_named_modules else ("attentions.0", "attentions.1")
    )
    pixel, theirs = "pixel_decoder.layers.*", f"{PIXEL_DECODER}.encoder.layers.*"
    layer, their_layer = "transformer_decoder.layers.*", f"{TRANSFORMER_DECODER}.layers.*"
    return (
        *RESNET,
        *SWIN,
        *HEAD_RULES,
        ("pixel_decoder.level_embed", f"{PIXEL_DECODER}.level_encoding.weight"),
        *convolution_rules("pixel_decoder.input_proj.*", f"{PIXEL_DECODER}.input_convs.*"),
        *convolution_rules("pixel_decoder.lateral", f"{PIXEL_DECODER}.lateral_convs.0"),
        *convolution_rules("pixel_decoder.output", f"{PIXEL_DECODER}.output_convs.0"),
        (f"{pixel}.self_attn.**", f"{theirs}.{attention}.**"),
        *feed_forward_rules(pixel, theirs, ffn),
        *norm_rules(pixel, theirs, "norm1", "norm2"),
        ("transformer_decoder.queries.features", f"{HEAD}.query_feat.weight"),
        ("transformer_decoder.queries.positions", f"{HEAD}.query_embed.weight"),
        ("transformer_decoder.level_embed", f"{HEAD}.level_embed.weight"),
        ("transformer_decoder.input_proj.*.**", f"{HEAD}.decoder_input_projs.*.**"),
        (f"{layer}.cross_attn.**", f"{their_layer}.{cross_attention}.attn.**"),
        (f"{layer}.self_attn.**", f"{their_layer}.{self_attention}.attn.**"),
        *feed_forward_rules(layer, their_layer, ffn),
        *norm_rules(layer, their_layer, "cross_norm", "self_norm", "ffn_norm"),
    )


def maskformer_rules(*, has_named_modules: bool, encoder: bool) -> Rules:
    """Build the rules of a MaskFormer, with or without an encoder before its pyramid."""
    self_attention, cross_attention, ffn = (
        ("self_attn", "cross_attn", "ffn")
        if has_named_modules
        else ("attentions.0", "attentions.1", "ffns.0")
    )
    inner, theirs = "pixel_decoder.encoder.layers.*", f"{PIXEL_DECODER}.encoder.layers.*"
    layer, their_layer = "transformer_decoder.layers.*", f"{TRANSFORMER_DECODER}.layers.*"
    return (
        *RESNET,
        *SWIN,
        *HEAD_RULES,
        ("pixel_decoder.encoder.input_proj.**", f"{PIXEL_DECODER}.encoder_in_proj.**"),
        (f"{inner}.self_attn.**", f"{theirs}.{self_attention}.attn.**"),
        *feed_forward_rules(inner, theirs, ffn),
        *norm_rules(inner, theirs, "norm1", "norm2"),
        *convolution_rules(
            "pixel_decoder.stem",
            f"{PIXEL_DECODER}.{'encoder_out_proj' if encoder else 'last_feat_conv'}",
        ),
        *(
            rule
            for step in range(3)  # steps count from coarse to fine here, backwards in mmdetection
            for ours, part in (("lateral", "lateral_convs"), ("output", "output_convs"))
            for rule in convolution_rules(
                f"pixel_decoder.steps.{step}.{ours}", f"{PIXEL_DECODER}.{part}.{2 - step}"
            )
        ),
        ("transformer_decoder.input_proj.**", f"{HEAD}.decoder_input_proj.**"),
        ("transformer_decoder.query_positions.weight", f"{HEAD}.query_embed.weight"),
        (f"{layer}.self_attn.**", f"{their_layer}.{self_attention}.attn.**"),
        (f"{layer}.cross_attn.**", f"{their_layer}.{cross_attention}.attn.**"),
        *feed_forward_rules(layer, their_layer, ffn),
        *norm_rules(layer, their_layer, "norm1", "norm2", "norm3"),
    )


IGNORED_NAMES = (r".*\.num_batches_tracked", r".*\.relative_position_index")
