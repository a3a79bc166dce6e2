"""EoMT's files of its authors on DINOv2: tensor names, and the configuration from shapes.

Their names are first converted to those of the Hugging Face schema. Every DINOv2 has heads of 64
channels. `eomt_dinov3.py` reads the files of networks on DINOv3.
"""

import math
from collections.abc import Mapping

from torch import Tensor

from unimask.checkpoints.backbone_shapes import count_modules, tensor_shape
from unimask.checkpoints.huggingface.eomt import MASK_PROBS, read_mask_probs
from unimask.checkpoints.keymap import Rules, to_theirs
from unimask.config import JointDecoderConfig, NoPixelDecoderConfig, SegmenterConfig, ViTConfig
from unimask.presets.eomt import HEAD_CHANNELS

QUERIES = "network.q.weight"
VIT = "network.encoder.backbone"
BLOCK, THEIR_BLOCK = f"{VIT}.blocks.*", "layers.*"

HEADS: Rules = (
    (QUERIES, "query.weight"),
    ("network.class_head.**", "class_predictor.**"),
    *((f"network.mask_head.{2 * index}.**", f"mask_head.fc{index + 1}.**") for index in range(3)),
    ("network.upscale.*.norm.**", "upscale_block.block.*.layernorm2d.**"),
    ("network.upscale.**", "upscale_block.block.**"),
    (f"network.{MASK_PROBS}", MASK_PROBS),
)

BLOCKS: Rules = (
    *(
        (
            f"{BLOCK}.attn.qkv.{kind}",
            tuple(f"{THEIR_BLOCK}.attention.{part}_proj.{kind}" for part in "qkv"),
        )
        for kind in ("weight", "bias")
    ),
    (f"{BLOCK}.attn.proj.**", f"{THEIR_BLOCK}.attention.out_proj.**"),
    (f"{BLOCK}.norm*.**", f"{THEIR_BLOCK}.norm*.**"),
    (f"{BLOCK}.ls*.gamma", f"{THEIR_BLOCK}.layer_scale*.lambda1"),
)

EMBEDDINGS: Rules = (
    (f"{VIT}.cls_token", "embeddings.cls_token"),
    (f"{VIT}.reg_token", "embeddings.register_tokens"),
    (f"{VIT}.pos_embed", "embeddings.position_embeddings.weight"),
    (f"{VIT}.patch_embed.proj.**", "embeddings.patch_embeddings.projection.**"),
    (f"{VIT}.norm.**", "layernorm.**"),
)

PLAIN_LAYERS: Rules = ((f"{BLOCK}.mlp.**", f"{THEIR_BLOCK}.mlp.**"),)

GATED_LAYERS: Rules = (
    *(
        (
            f"{BLOCK}.mlp.fc1.{kind}",
            tuple(f"{THEIR_BLOCK}.mlp.{part}_proj.{kind}" for part in ("gate", "up")),
        )
        for kind in ("weight", "bias")
    ),
    (f"{BLOCK}.mlp.fc2.**", f"{THEIR_BLOCK}.mlp.down_proj.**"),
)

IGNORED = ("network.encoder.pixel_mean", "network.encoder.pixel_std")


def is_eomt(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether tensors have the names of EoMT's authors."""
    return QUERIES in tensors


def is_gated(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether feed-forward parts are gated: their first layer is then twice as wide."""
    first = tensor_shape(tensors, f"{VIT}.blocks.0.mlp.fc1.weight", 2)[0]
    return first == 2 * tensor_shape(tensors, f"{VIT}.blocks.0.mlp.fc2.weight", 2)[1]


def to_huggingface_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of an EoMT on DINOv2.

    Raises:
        CheckpointError: A tensor has an unknown name.
    """
    layers = GATED_LAYERS if is_gated(tensors) else PLAIN_LAYERS
    rest = {
        name: tensor
        for name, tensor in tensors.items()
        if name not in IGNORED and not name.startswith("criterion.")
    }
    renamed = to_theirs(rest, (*HEADS, *BLOCKS, *EMBEDDINGS, *layers))
    name = "embeddings.position_embeddings.weight"
    if name in renamed and renamed[name].ndim == 3:
        renamed[name] = renamed[name].flatten(0, 1)
    return renamed


def infer_eomt(tensors: Mapping[str, Tensor]) -> SegmenterConfig:
    """Derive the configuration from the authors' tensors.

    Raises:
        CheckpointError: A tensor is missing, or its shape fits no such network.
    """
    num_queries, dim = tensor_shape(tensors, QUERIES, 2)
    num_layers = tensor_shape(tensors, f"network.{MASK_PROBS}", 1)[0]
    patch = tensor_shape(tensors, f"{VIT}.patch_embed.proj.weight", 4)
    side = math.isqrt(tensor_shape(tensors, f"{VIT}.pos_embed", 3)[1])
    vit = ViTConfig(
        dim=dim,
        depth=count_modules(tensors, f"{VIT}.blocks") - num_layers,
        num_heads=max(1, dim // HEAD_CHANNELS),
        ffn="swiglu" if is_gated(tensors) else "gelu",
        ffn_dim=tensor_shape(tensors, f"{VIT}.blocks.0.mlp.fc2.weight", 2)[1],
        patch_size=patch[-1],
        num_registers=tensor_shape(tensors, f"{VIT}.reg_token", 3)[1],
        image_size=side * patch[-1],
        layer_scale=1e-5,
        in_channels=patch[1],
    )
    decoder = JointDecoderConfig(
        num_queries=num_queries,
        num_layers=num_layers,
        mask_probs=read_mask_probs(tensors[f"network.{MASK_PROBS}"], num_layers),
    )
    return SegmenterConfig(
        backbone=vit,
        pixel_decoder=NoPixelDecoderConfig(),
        transformer_decoder=decoder,
        num_classes=tensor_shape(tensors, "network.class_head.weight", 2)[0] - 1,
    )
