"""Names of EoMT's tensors in the Hugging Face schema."""

from unimask.checkpoints.huggingface.eomt import MASK_PROBS
from unimask.checkpoints.keymap import Rules
from unimask.config import SegmenterConfig, ViTConfig
from unimask.errors import CheckpointError

HEADS: Rules = (
    ("backbone.cls_token", "embeddings.cls_token"),
    ("backbone.registers", "embeddings.register_tokens"),
    ("backbone.positions", "embeddings.position_embeddings.weight"),
    ("transformer_decoder.queries", "query.weight"),
    ("transformer_decoder.head.norm.**", "layernorm.**"),
    ("transformer_decoder.head.class_embed.**", "class_predictor.**"),
    *(
        (f"transformer_decoder.head.mask_embed.layers.{index}.**", f"mask_head.fc{index + 1}.**")
        for index in range(3)
    ),
    ("transformer_decoder.upscale.*.norm.**", "upscale_block.block.*.layernorm2d.**"),
    ("transformer_decoder.upscale.*.**", "upscale_block.block.*.**"),
)
"""Embeddings, queries and head, whose names do not depend on the backbone."""

IGNORED_NAMES = (MASK_PROBS, r"criterion\..*")
"""Tensors that belong to the configuration or the loss."""


def eomt_rules(architecture: SegmenterConfig) -> Rules:
    """Return the rules for a network; its blocks are numbered from those of the backbone on."""
    vit, queries = architecture.backbone, architecture.transformer_decoder
    if not isinstance(vit, ViTConfig):
        raise CheckpointError(f"backbone.kind is {vit.kind!r}: an EoMT has a ViT")
    blocks = [("backbone.blocks.*", "layers.*")]
    for index in range(getattr(queries, "num_layers", 0)):
        blocks.append((f"transformer_decoder.blocks.{index}", f"layers.{vit.depth + index}"))
    projection = "" if vit.positions == "rotary" else "projection."
    patches = ("backbone.patch_embed.**", f"embeddings.patch_embeddings.{projection}**")
    return (*HEADS, patches, *(rule for pair in blocks for rule in block_rules(*pair, vit)))


def block_rules(ours: str, theirs: str, vit: ViTConfig) -> Rules:
    """Return the rules of a transformer block."""
    attention, dinov3 = f"{theirs}.attention", vit.positions == "rotary"
    first, second = ("up_proj", "down_proj") if dinov3 or vit.ffn != "gelu" else ("fc1", "fc2")
    firsts = (first,) if vit.ffn == "gelu" else ("gate_proj", first)
    return (
        (f"{ours}.norm*.**", f"{theirs}.norm*.**"),
        *(
            (
                f"{ours}.attn.qkv.{kind}",
                tuple(f"{attention}.{part}_proj.{kind}" for part in "qkv"),
            )
            for kind in ("weight", "bias")
        ),
        (f"{ours}.attn.query_bias", f"{attention}.q_proj.bias"),
        (f"{ours}.attn.value_bias", f"{attention}.v_proj.bias"),
        (f"{ours}.attn.proj.**", f"{attention}.{'o_proj' if dinov3 else 'out_proj'}.**"),
        (f"{ours}.scale*", f"{theirs}.layer_scale*.lambda1"),
        (f"{ours}.mlp.fc1.**", tuple(f"{theirs}.mlp.{name}.**" for name in firsts)),
        (f"{ours}.mlp.fc2.**", f"{theirs}.mlp.{second}.**"),
    )
