"""Segmentations as the image processors of `transformers` return them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int

from unimask.labels import Task

if TYPE_CHECKING:
    from torch import Tensor


class SegmentInfo(NamedTuple):
    """Id, class and score of a segment."""

    id: int
    label_id: int
    is_thing: bool
    score: float | None


def huggingface_result(
    task: Task, ids: Int[np.ndarray, "h w"], segments: Sequence[SegmentInfo]
) -> "Tensor | dict[str, object]":
    """Return what `post_process_{semantic,instance,panoptic}_segmentation` return for an image.

    Their conventions differ by task. Panoptic: int32, ids from 1, 0 for none, and float32 with -1
    everywhere if there are no segments. Instance: float32, ids from 0, -1 for none. Semantic: only
    a map of label ids, int64; -1, which `transformers` does not have, marks unlabelled pixels.

    Args:
        task: Task that was predicted.
        ids: Map of ids, as in `Result.segmentation`.
        segments: Segments in the order of their ids, which count from 1.
    """
    import torch

    if task == "semantic":
        return torch.from_numpy(ids.astype(np.int64))
    first = 0 if task == "instance" else 1
    info = [
        {
            "id": segment.id - 1 + first,
            "label_id": segment.label_id,
            "was_fused": task == "panoptic" and not segment.is_thing,
            "score": round(segment.score or 0.0, 6),
        }
        for segment in segments
    ]
    if task == "panoptic" and segments:
        segmentation = torch.from_numpy(ids.astype(np.int32))
    else:
        segmentation = torch.from_numpy(ids.astype(np.float32) - 1)
    return {"segmentation": segmentation, "segments_info": info}
