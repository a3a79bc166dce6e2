"""EoMT in the Hugging Face schema: `eomt` on DINOv2, and `eomt_dinov3`."""

from collections.abc import Mapping

import torch
from torch import Tensor

from unimask.checkpoints.huggingface.backbones import check_options
from unimask.checkpoints.huggingface.defaults import add_defaults
from unimask.config import (
    JointDecoderConfig,
    NoPixelDecoderConfig,
    SegmenterConfig,
    ViTConfig,
)
from unimask.errors import CheckpointError

Json = dict

MASK_PROBS = "attn_mask_probs"
"""Tensor with the probabilities of masked attention."""

MAX_MLP_RATIO = 16


def read_eomt(config: Json, tensors: Mapping[str, Tensor]) -> Json:
    """Read the configurations of backbone and decoders.

    Args:
        config: Content of config.json.
        tensors: Weights, which contain the probabilities of masked attention.

    Raises:
        CheckpointError: An option is not supported, or the annealing of masks has not ended.
    """
    values = add_defaults(config)
    check_options(values, hidden_act="gelu", hidden_dropout_prob=0, attention_dropout=0)
    check_options(values, num_upscale_blocks=max(values["patch_size"].bit_length() - 3, 0))
    read = read_dinov3 if values["model_type"] == "eomt_dinov3" else read_dinov2
    num_layers = values["num_blocks"]
    backbone = ViTConfig(
        dim=values["hidden_size"],
        depth=values["num_hidden_layers"] - num_layers,
        num_heads=values["num_attention_heads"],
        patch_size=values["patch_size"],
        num_registers=values["num_register_tokens"],
        image_size=values["image_size"],
        layer_scale=values["layerscale_value"],
        norm_eps=values["layer_norm_eps"],
        drop_path=values["drop_path_rate"],
        in_channels=values["num_channels"],
        **read(values),
    )
    decoder = JointDecoderConfig(
        num_queries=values["num_queries"],
        num_layers=num_layers,
        mask_probs=read_mask_probs(tensors.get(MASK_PROBS), num_layers),
    )
    return {
        "backbone": backbone,
        "pixel_decoder": NoPixelDecoderConfig(),
        "transformer_decoder": decoder,
    }


def read_dinov2(values: Json) -> Json:
    """Return the values that only a ViT of DINOv2 has."""
    hidden = values["hidden_size"] * values["mlp_ratio"]
    if values["use_swiglu_ffn"]:
        return {"ffn": "swiglu", "ffn_dim": swiglu_width(hidden)}
    return {"ffn_dim": hidden}


def swiglu_width(hidden: int) -> int:
    """Return the hidden width of a SwiGLU with the parameters of a plain part of this width."""
    return (int(hidden * 2 / 3) + 7) // 8 * 8


def read_dinov3(values: Json) -> Json:
    """Return the values that only a ViT of DINOv3 has."""
    check_options(values, query_bias=True, value_bias=True, proj_bias=True, mlp_bias=True)
    check_options(values, pos_embed_shift=None, pos_embed_jitter=None)
    rotary = values.get("rope_parameters") or {}
    check_options(rotary, rope_type="default")
    return {
        "ffn": "geglu" if values["use_gated_mlp"] else "gelu",
        "ffn_dim": values["intermediate_size"],
        "positions": "rotary",
        "rotary_base": rotary.get("rope_theta", values.get("rope_theta", 100.0)),
        "rotary_rescale": values["pos_embed_rescale"] or 1.0,
        "key_bias": values["key_bias"],
    }


def read_mask_probs(probs: Tensor | None, num_layers: int) -> tuple[float, ...]:
    """Read the probabilities of masked attention.

    Those up to 0 mean none: in differences to pretrained weights, -1 stands for 0.

    Raises:
        CheckpointError: They are not one per block, or one is between 0 and 1, so that predictions
            would be random.
    """
    if probs is None:
        return ()
    values = probs.flatten().tolist()
    if len(values) != num_layers or any(0 < value < 1 for value in values):
        listed = ", ".join(f"{value:g}" for value in values[:8])
        raise CheckpointError(
            f"{MASK_PROBS} is {listed}: expected 0 or 1 for each of {num_layers} blocks; values "
            "between belong to a training run in progress"
        )
    masked = tuple(float(value >= 1) for value in values)
    return masked if any(masked) else ()


def write_eomt(vit: ViTConfig, queries: JointDecoderConfig) -> Json:
    """Return the schema's values of backbone and decoders."""
    values = {
        "hidden_size": vit.dim,
        "num_hidden_layers": vit.depth + queries.num_layers,
        "num_attention_heads": vit.num_heads,
        "patch_size": vit.patch_size,
        "num_register_tokens": vit.num_registers,
        "image_size": vit.image_size,
        "layerscale_value": vit.layer_scale,
        "layer_norm_eps": vit.norm_eps,
        "drop_path_rate": vit.drop_path,
        "num_channels": vit.in_channels,
        "num_upscale_blocks": vit.patch_size.bit_length() - 3,
        "num_blocks": queries.num_layers,
        "num_queries": queries.num_queries,
    }
    return (write_dinov3 if vit.positions == "rotary" else write_dinov2)(vit) | values


def write_dinov2(vit: ViTConfig) -> Json:
    """Return the values that only a ViT of DINOv2 has."""
    gated = vit.ffn == "swiglu"
    ratios = range(1, MAX_MLP_RATIO + 1)
    widths = {(swiglu_width if gated else int)(vit.dim * ratio): ratio for ratio in ratios}
    return {
        "architectures": ["EomtForUniversalSegmentation"],
        "model_type": "eomt",
        "use_swiglu_ffn": gated,
        "mlp_ratio": widths.get(vit.ffn_dim, 1),
    }


def write_dinov3(vit: ViTConfig) -> Json:
    """Return the values that only a ViT of DINOv3 has."""
    return {
        "architectures": ["EomtDinov3ForUniversalSegmentation"],
        "model_type": "eomt_dinov3",
        "use_gated_mlp": vit.ffn == "geglu",
        "intermediate_size": vit.ffn_dim,
        "rope_parameters": {"rope_type": "default", "rope_theta": vit.rotary_base},
        "pos_embed_rescale": None if vit.rotary_rescale == 1 else vit.rotary_rescale,
        "key_bias": vit.key_bias,
    }


def write_buffers(architecture: SegmenterConfig) -> dict[str, Tensor]:
    """Return the tensors that the schema stores in place of configuration values."""
    queries = architecture.transformer_decoder
    if not isinstance(queries, JointDecoderConfig):
        return {}
    return {MASK_PROBS: torch.tensor(queries.mask_probs or (0.0,) * queries.num_layers)}
