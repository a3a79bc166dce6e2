"""The query-text contrastive loss (OneFormer, 3.2; `criterion.py`)."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unimask.losses.processes import count_processes, gather_rows


def contrastive_loss(
    queries: Float[Tensor, "b q c"], texts: Float[Tensor, "b q c"]
) -> Float[Tensor, ""]:
    """Sum the cross entropies of queries to texts and of texts to queries over the batch.

    The batch is that of all processes, and gradients flow back to each of them, so that two
    processes compute the gradients of one with both batches.

    Args:
        queries: Queries of each image; they are normalized here, in float32.
        texts: Text queries of each image, whose norm is the logit scale.
    """
    image_vectors = F.normalize(queries.float().flatten(1), dim=-1)
    text_vectors = texts.float().flatten(1)
    first = len(image_vectors) * dist.get_rank() if count_processes() > 1 else 0
    pairs = torch.arange(len(image_vectors), device=image_vectors.device) + first
    image_to_text = F.cross_entropy(image_vectors @ gather_rows(text_vectors).T, pairs)
    return image_to_text + F.cross_entropy(text_vectors @ gather_rows(image_vectors).T, pairs)
