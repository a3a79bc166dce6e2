"""Mask arithmetic: pure functions on tensors."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def predict_masks(
    mask_embed: Float[Tensor, "b q c"], mask_features: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b q h w"]:
    """Score every pixel against every query: one dot product per pair."""
    h, w = mask_features.shape[-2:]
    return torch.bmm(mask_embed, mask_features.flatten(2)).unflatten(-1, (h, w))


def blocked_positions(mask_logits: Float[Tensor, "b q h w"]) -> Bool[Tensor, "b q n"]:
    """Mark the memory positions that each query may not attend to.

    A query looks only inside the mask it drew at the previous layer (Mask2Former, 3.2.1).
    One whose mask is empty looks everywhere: a fully blocked row would make softmax NaN.
    """
    # As released: not `< 0`, which rounds differently.
    blocked = mask_logits.detach().sigmoid().flatten(2) < 0.5
    return blocked & ~blocked.all(dim=-1, keepdim=True)


def at_size(
    mask_features: Float[Tensor, "b c h w"], size: tuple[int, int]
) -> Float[Tensor, "b c i j"]:
    """Resize mask features to a coarser map.

    Masks are linear in them: those of resized features are the resized masks, and resizing
    features once costs less than the masks of every query in every layer.
    """
    return F.interpolate(mask_features.detach(), size, mode="bilinear", align_corners=False)
