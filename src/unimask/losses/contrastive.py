"""The contrast between a picture's queries and its texts (OneFormer, 3.2; `criterion.py`)."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unimask.losses.processes import count_processes, everywhere


def contrastive_loss(
    queries: Float[Tensor, "b q c"], texts: Float[Tensor, "b q c"]
) -> Float[Tensor, ""]:
    """Ask each picture's queries which texts are theirs, and each picture's texts which queries.

    The pictures of all processes stand for choice, and gradients flow back to where they came
    from, so that two processes learn what one with both batches would.

    Args:
        queries: Any length; they are normalised here, in float32.
        texts: As long as the contrast's scale.
    """
    pictures = F.normalize(queries.float().flatten(1), dim=-1)
    words = texts.float().flatten(1)
    first = len(pictures) * dist.get_rank() if count_processes() > 1 else 0
    own = torch.arange(len(pictures), device=pictures.device) + first
    to_text = F.cross_entropy(pictures @ everywhere(words).T, own)
    return to_text + F.cross_entropy(words @ everywhere(pictures).T, own)
