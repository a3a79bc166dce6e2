"""Positions that masks block in attention."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def blocked_positions(
    mask_logits: Float[Tensor, "n q h w"], frames: int = 1
) -> Bool[Tensor, "b q _"]:
    """Mark the memory positions that each query may not attend to.

    A query attends inside the mask that the previous layer predicted for it (Mask2Former, 3.2.1).
    A query with an empty mask attends everywhere: a fully blocked row would make the softmax NaN.

    Args:
        mask_logits: Mask logits of each image, or of each frame of each clip.
        frames: Number of frames per clip, whose positions follow each other in the result.
    """
    # As released: not `< 0`, which rounds differently.
    blocked = mask_logits.detach().sigmoid().flatten(2) < 0.5
    if frames > 1:
        blocked = blocked.unflatten(0, (-1, frames)).transpose(1, 2).flatten(2)
    return blocked & ~blocked.all(dim=-1, keepdim=True)


def blocked_patches(
    mask_logits: Float[Tensor, "b q h w"],
    grid: tuple[int, int],
    counts: tuple[int, int],
    prob: float,
) -> Bool[Tensor, "b n n"]:
    """Mark the patches outside its mask for each query (EoMT, 3.3); no other pair is blocked.

    Args:
        mask_logits: Mask logits of the queries.
        grid: Number of rows and columns of patches.
        counts: Number of tokens and of queries; queries are the first tokens, patches the last.
        prob: Probability that a query is confined to its mask; others attend everywhere.
    """
    cells = F.interpolate(mask_logits.detach(), grid, mode="bilinear").flatten(2)
    outside = cells <= 0
    if prob < 1:
        confined = torch.rand(outside.shape[:2], device=outside.device) <= prob
        outside = outside & confined[..., None]
    tokens, queries = counts
    return F.pad(outside, (tokens - outside.shape[2], 0, 0, tokens - queries))
