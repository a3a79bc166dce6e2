"""Positions that masks block in attention."""

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
