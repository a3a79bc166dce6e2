"""Instance segmentation of clips: objects whose masks extend over all frames."""

from collections.abc import Callable, Iterable

from jaxtyping import Float, Int
from torch import Tensor

from unimask.processing.instance import compute_masks, select_pairs
from unimask.processing.resize import Resizer
from unimask.results.clip_object import ClipObject

FrameMasks = Callable[[Int[Tensor, " m"]], Iterable[Float[Tensor, "m h w"]]]
"""Function of query indices to the mask logits of these queries in each frame, one by one."""


def segment_clip(
    class_logits: Float[Tensor, "q k"],
    frame_masks: FrameMasks,
    resizer: Resizer,
    is_thing: tuple[bool, ...],
    top_k: int,
    threshold: float | None = None,
) -> list[ClipObject]:
    """Select the best pairs of query and class of a clip (`inference_video` of the authors).

    The score of a pair is its class probability alone. A pixel belongs to a mask if its logit is
    positive. Masks of one frame at a time are computed, and stored as run lengths.

    Args:
        class_logits: Class logits of the queries; the last column is "no object".
        frame_masks: Function that yields the masks of some queries, frame by frame.
        resizer: Resizing of mask logits to the size of the frames.
        is_thing: Whether each class is a thing.
        top_k: Number of pairs.
        threshold: Minimum score, 0 to 1; None for all pairs.

    Returns:
        Objects in descending order of score.
    """
    pairs = select_pairs(class_logits, is_thing, top_k, threshold)
    if not len(pairs.queries):
        return []
    queries, places = pairs.queries.unique(return_inverse=True)
    frames = [
        compute_masks(masks.float().contiguous(), resizer)[0] for masks in frame_masks(queries)
    ]
    rows = zip(
        places.tolist(),
        pairs.label_ids.tolist(),
        pairs.scores.tolist(),
        pairs.queries.tolist(),
        strict=True,
    )
    return [
        ClipObject(label, score, query, tuple(masks[place] for masks in frames))
        for place, label, score, query in rows
    ]
