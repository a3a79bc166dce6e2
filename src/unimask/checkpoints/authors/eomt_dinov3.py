"""EoMT's files of its authors on DINOv3: differences, to which DINOv3's weights are added.

DINOv3's weights are behind a licence form, so users put them beside the differences. Queries, heads
and upscaling are stored as they are.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from unimask.checkpoints.authors.eomt import HEADS, IGNORED, QUERIES, VIT
from unimask.checkpoints.backbone_shapes import count_modules, tensor_shape
from unimask.checkpoints.files.tensors import read_safetensors
from unimask.checkpoints.huggingface.eomt import MASK_PROBS, read_mask_probs
from unimask.checkpoints.keymap import Rules, to_theirs
from unimask.config import JointDecoderConfig, NoPixelDecoderConfig, SegmenterConfig, ViTConfig
from unimask.errors import CheckpointError
from unimask.presets.eomt import HEAD_CHANNELS, PUBLISHED_SIZE, dinov3
from unimask.published.publication import split_words

BASE_FILE = "model.safetensors"
"""File with DINOv3's weights, beside the differences."""

BASES = {384: "vits16", 768: "vitb16", 1024: "vitl16"}
"""Part of the name of DINOv3's repository on the Hub by width."""

SIZES = (512, 640, 1280)
"""Sides of the published networks' images, one of which the folder's name contains."""

CLASS_TOKEN = f"{VIT}.patch_embed.cls_token"

NAMES: Rules = (
    *HEADS,
    (f"{VIT}.patch_embed.**", "embeddings.**"),
    (f"{VIT}.blocks.**", "layers.**"),
    (f"{VIT}.norm.**", "layernorm.**"),
)
"""Names of the differences, and those of the Hugging Face schema."""

BASE_NAMES: Rules = (
    ("embeddings.**", "embeddings.**"),
    ("model.layer.**", "layers.**"),
    ("layer.**", "layers.**"),
    ("norm.**", "layernorm.**"),
    ("**", "unused.**"),
)
"""Names of DINOv3 in `transformers`, and those of the Hugging Face schema of EoMT."""


def holds_differences(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether tensors of EoMT's authors are differences to DINOv3."""
    return CLASS_TOKEN in tensors


def add_base(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Add the weights of DINOv3 beside a file to the differences in it.

    Args:
        tensors: Tensors of the file.
        path: The file.

    Returns:
        Weights under the names of the Hugging Face schema.

    Raises:
        CheckpointError: DINOv3's weights are missing, or have other names or shapes.
    """
    base_path = path.parent / BASE_FILE
    if not base_path.is_file():
        width = tensor_shape(tensors, QUERIES, 2)[1]
        name = f"facebook/dinov3-{BASES.get(width, 'vit*')}-pretrain-lvd1689m"
        raise CheckpointError(
            f"it holds differences to DINOv3: put {BASE_FILE} of {name} (Hugging Face Hub, after "
            "accepting its licence) beside it"
        )
    base = to_theirs(read_safetensors(base_path), BASE_NAMES)
    rest = {
        name: tensor
        for name, tensor in tensors.items()
        if name not in IGNORED and not name.startswith("criterion.")
    }
    backbone = set(to_theirs({name: rest[name] for name in rest if name.startswith(VIT)}, NAMES))
    weights = to_theirs(rest, NAMES)
    for name in backbone:
        if name not in base or base[name].shape != weights[name].shape:
            raise CheckpointError(f"{base_path} is another network: its {name} does not fit")
        weights[name] = base[name].float() + weights[name].float()
    return weights


def infer_eomt_dinov3(tensors: Mapping[str, Tensor], path: Path) -> SegmenterConfig:
    """Derive the configuration from the weights that `add_base` returned.

    Args:
        tensors: Weights.
        path: File, whose folder names the size of images; 640 pixels if it does not.

    Raises:
        CheckpointError: A tensor is missing, or its shape fits no such network.
    """
    num_queries, dim = tensor_shape(tensors, "query.weight", 2)
    num_layers = tensor_shape(tensors, MASK_PROBS, 1)[0]
    words = split_words(f"{path.parent.name} {path.name}")
    sizes = [size for size in SIZES if str(size) in words]
    first = tensor_shape(tensors, "embeddings.patch_embeddings.weight", 4)
    vit: ViTConfig = dinov3(dim, count_modules(tensors, "layers"), num_layers)
    values = {
        "ffn_dim": tensor_shape(tensors, "layers.0.mlp.down_proj.weight", 2)[1],
        "num_heads": max(1, dim // HEAD_CHANNELS),
        "patch_size": first[-1],
        "in_channels": first[1],
        "num_registers": tensor_shape(tensors, "embeddings.register_tokens", 3)[1],
        "image_size": sizes[0] if sizes else PUBLISHED_SIZE,
        "ffn": "geglu" if "layers.0.mlp.gate_proj.weight" in tensors else "gelu",
        "key_bias": "layers.0.attention.k_proj.bias" in tensors,
    }
    decoder = JointDecoderConfig(
        num_queries=num_queries,
        num_layers=num_layers,
        mask_probs=read_mask_probs(tensors[MASK_PROBS], num_layers),
    )
    return SegmenterConfig(
        backbone=replace(vit, **values),
        pixel_decoder=NoPixelDecoderConfig(),
        transformer_decoder=decoder,
        num_classes=tensor_shape(tensors, "class_predictor.weight", 2)[0] - 1,
    )
