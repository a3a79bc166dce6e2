"""Highest scores below the threshold, reported for images without segments."""

from jaxtyping import Float
from torch import Tensor

from unimask.labels import LabelSet
from unimask.processing.instance import instances
from unimask.processing.resize import Resizer
from unimask.results import Candidate

MAX_CANDIDATES = 5


def instance_candidates(
    class_logits: Float[Tensor, "q k"],
    mask_logits: Float[Tensor, "q h w"],
    resizer: Resizer,
    labels: LabelSet,
    top_k: int,
) -> tuple[Candidate, ...]:
    """Return the classes and scores of the best instances, without any threshold."""
    best = instances(class_logits, mask_logits, resizer, labels.is_thing, top_k, None)
    return tuple(
        Candidate(labels.names[item.label_id], item.score) for item in best[:MAX_CANDIDATES]
    )


def panoptic_candidates(
    class_logits: Float[Tensor, "q k"], labels: LabelSet
) -> tuple[Candidate, ...]:
    """Return the highest class scores of the queries, each with its most probable class."""
    scores, label_ids = class_logits.float().softmax(-1)[:, :-1].max(-1)
    best = scores.topk(min(MAX_CANDIDATES, len(scores)))
    rows = zip(best.values.tolist(), label_ids[best.indices].tolist(), strict=True)
    return tuple(Candidate(labels.names[label], score) for score, label in rows)
