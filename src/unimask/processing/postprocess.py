"""Post-processing of one image's logits, from any network, to a `Result`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unimask.errors import SettingsError
from unimask.formats.run_length import find_runs
from unimask.labels import LabelSet, Task, parse_task
from unimask.processing.arguments import (
    build_label_set,
    check_choice,
    check_count,
    check_fraction,
    check_tensors,
    parse_sizes,
)
from unimask.processing.candidates import instance_candidates, panoptic_candidates
from unimask.processing.confidence import (
    SegmentConfidence,
    SegmentQuery,
    SemanticConfidence,
)
from unimask.processing.instance import Instance, instances, remove_hidden_instances
from unimask.processing.panoptic import PanopticSegment, UncertainPixels, panoptic
from unimask.processing.resize import Resizer, Size
from unimask.processing.semantic import semantic_map
from unimask.results import Result, Segment

Logits = tuple[Tensor, Tensor, Resizer]
"""Class logits, mask logits, and the resizing of the latter."""

BuildSource = Callable[[], SemanticConfidence | SegmentConfidence]
"""Function that extracts from the logits what `Result.confidence` needs."""


class NonFiniteLogitsError(SettingsError):
    """Error for network outputs that are NaN or infinite."""


@torch.no_grad()
def postprocess(
    class_logits: Float[Tensor, "q k"],
    mask_logits: Float[Tensor, "q h w"],
    *,
    task: Task,
    labels: Sequence[str],
    is_thing: Sequence[bool],
    padded_size: Size,
    input_size: Size,
    original_size: Size,
    object_threshold: float = 0.8,
    overlap_threshold: float = 0.8,
    uncertain_pixels: Literal["void", "winner", "logits"] = "void",
    top_k: int = 100,
    instance_threshold: float | None = None,
    min_visible: float = 0.0,
    resize: Literal["masks", "scores"] = "masks",
    threshold: float | None = None,
    retain_confidence: bool = True,
) -> Result:
    """Convert logits to segments by the authors' exact rules, in bounded memory.

    Args:
        class_logits: Class logits of each query; the last column is "no object".
        mask_logits: Mask logits of each query over the padded input.
        task: "semantic", "instance" or "panoptic".
        labels: Class names.
        is_thing: Whether each class is a thing, whose objects are counted.
        padded_size: Height and width of the network's input.
        input_size: Height and width of the image within the input, at its top left.
        original_size: Height and width of the original image and of the result.
        object_threshold: Panoptic: minimum class score, 0 to 1.
        overlap_threshold: Panoptic: minimum share of its mask that a segment must win, 0 to 1.
        uncertain_pixels: Panoptic: "void", "winner" (MaskFormer's rule) or "logits" (DETR's); see
            `panoptic`.
        top_k: Instance: number of pairs of query and class considered.
        instance_threshold: Instance: minimum score if `threshold` is None, 0 to 1; None for none.
        min_visible: Instance: minimum share of a mask not covered by objects with higher scores;
            0 keeps all.
        resize: "masks", or "scores", the rule of semantic-only checkpoints.
        threshold: Instance: minimum score; panoptic: replaces `object_threshold`; semantic:
            minimum confidence of a pixel, below which it gets no class.
        retain_confidence: Whether the result retains the logits that `Result.confidence` needs,
            which takes time and memory.

    Returns:
        Segments at `original_size`.

    Raises:
        TaskError, SettingsError: The arguments are inconsistent.

    Example:
        >>> import torch
        >>> from unimask import postprocess
        >>> class_logits = torch.tensor([[5.0, 0.0], [0.0, 5.0]])
        >>> mask_logits = torch.full((2, 2, 2), -5.0)
        >>> mask_logits[0, :, 0] = 5.0
        >>> result = postprocess(
        ...     class_logits,
        ...     mask_logits,
        ...     task="panoptic",
        ...     labels=["cell"],
        ...     is_thing=[True],
        ...     padded_size=(8, 8),
        ...     input_size=(8, 8),
        ...     original_size=(8, 8),
        ... )
        >>> result.names, result.segments[0].area
        (('cell',), 32)
    """
    check_tensors(class_logits, mask_logits)
    task, label_set = parse_task(task), build_label_set(labels, is_thing)
    check_logits(class_logits, mask_logits, label_set)
    sizes = parse_sizes(padded_size, input_size, original_size)
    padded_size, input_size, original_size = sizes
    check_fraction("threshold", threshold, optional=True)
    check_fraction("instance_threshold", instance_threshold, optional=True)
    check_rules(object_threshold, overlap_threshold, min_visible, top_k)
    if task == "instance" and threshold is None:
        threshold = instance_threshold
    check_choice("uncertain_pixels", uncertain_pixels, get_args(UncertainPixels))
    check_choice("resize", resize, ("masks", "scores"))
    logits_size = (mask_logits.shape[1], mask_logits.shape[2])
    by_logits = task == "panoptic" and uncertain_pixels == "logits"
    resizer = Resizer.between(logits_size, *sizes, nearest=by_logits)
    if task == "semantic":
        scores = Resizer.linear(input_size, original_size) if resize == "scores" else None
        if scores is not None:
            resizer = Resizer.between(logits_size, padded_size, input_size, input_size)
        result, build_source = semantic_result(
            class_logits, mask_logits, (resizer, scores), label_set, threshold
        )
    elif task == "panoptic":
        min_score = object_threshold if threshold is None else threshold
        rules = (min_score, overlap_threshold, uncertain_pixels)
        logits = class_logits, mask_logits, resizer
        regions = panoptic(*logits, label_set.is_thing, *rules)
        result, build_source = panoptic_result(regions, logits, label_set)
    else:
        logits = class_logits, mask_logits, resizer
        best = instances(*logits, label_set.is_thing, top_k, threshold)
        objects = remove_hidden_instances(best, min_visible)
        result, build_source = instance_result(objects, logits, label_set, top_k)
    return replace(result, confidence_source=build_source()) if retain_confidence else result


def semantic_result(
    class_logits: Float[Tensor, "q k1"],
    mask_logits: Float[Tensor, "q h w"],
    resizers: tuple[Resizer, Resizer | None],
    labels: LabelSet,
    threshold: float | None,
) -> tuple[Result, BuildSource]:
    """Build the result of semantic segmentation from the logits and their resizing."""
    label_map = semantic_map(class_logits, mask_logits, *resizers, threshold=threshold)
    segments = semantic_segments(label_map.cpu().numpy(), labels)
    size = (resizers[1] or resizers[0]).size
    return Result("semantic", size, labels, segments), partial(
        SemanticConfidence.build, class_logits, mask_logits, *resizers, threshold
    )


def panoptic_result(
    regions: list[PanopticSegment], logits: Logits, labels: LabelSet
) -> tuple[Result, BuildSource]:
    """Build the result of panoptic segmentation."""
    segments = tuple(
        Segment.from_rle(labels, s.label_id, s.rle, id=s.id, score=s.score, queries=s.queries)
        for s in regions
    )
    members = [SegmentQuery(s.id, s.label_id, query, s.rle) for s in regions for query in s.queries]
    candidates = () if segments else panoptic_candidates(logits[0], labels)
    result = Result("panoptic", logits[2].size, labels, segments, candidates=candidates)
    return result, partial(SegmentConfidence.build, *logits, members)


def instance_result(
    objects: list[Instance], logits: Logits, labels: LabelSet, top_k: int
) -> tuple[Result, BuildSource]:
    """Build the result of instance segmentation; ids are in descending order of score."""
    segments = tuple(
        Segment.from_rle(
            labels, item.label_id, item.rle, id=index, score=item.score, queries=(item.query,)
        )
        for index, item in enumerate(objects, start=1)
    )
    members = [
        SegmentQuery(index, item.label_id, item.query, item.rle)
        for index, item in enumerate(objects, start=1)
    ]
    candidates = () if segments else instance_candidates(*logits, labels, top_k)
    result = Result("instance", logits[2].size, labels, segments, candidates=candidates)
    return result, partial(SegmentConfidence.build, *logits, members)


def check_rules(
    object_threshold: object, overlap_threshold: object, min_visible: object, top_k: object
) -> None:
    """Raise SettingsError for values outside their range."""
    check_fraction("object_threshold", object_threshold)
    check_fraction("overlap_threshold", overlap_threshold)
    check_fraction("min_visible", min_visible)
    check_count("top_k", top_k)


def check_logits(class_logits: Tensor, mask_logits: Tensor, labels: LabelSet) -> None:
    """Raise SettingsError if the logits do not match each other or the label set."""
    if class_logits.ndim != 2 or mask_logits.ndim != 3:
        raise SettingsError(
            f"class logits {tuple(class_logits.shape)} and mask logits {tuple(mask_logits.shape)}: "
            "pass those of one image, (q, k + 1) and (q, h, w)"
        )
    if class_logits.shape[0] != mask_logits.shape[0]:
        raise SettingsError(
            f"{class_logits.shape[0]} queries have classes, but {mask_logits.shape[0]} have masks"
        )
    if class_logits.shape[1] != len(labels) + 1:
        raise SettingsError(
            f"{class_logits.shape[1]} class columns, but {len(labels)} labels: pass one column "
            'more than labels, the last for "no object"'
        )
    if not mask_logits.numel():
        raise SettingsError(f"mask logits of shape {tuple(mask_logits.shape)}: pass some")
    # Extremes reveal NaN and infinity in one pass, without a temporary of the logits' size.
    extremes = torch.stack([*class_logits.aminmax(), *mask_logits.aminmax()])
    if not extremes.isfinite().all():
        raise NonFiniteLogitsError(
            "the logits hold NaN or infinity: the weights are damaged, or the dtype is too narrow "
            "(run the network in float32)"
        )


def semantic_segments(label_map: Int[np.ndarray, "x y"], labels: LabelSet) -> tuple[Segment, ...]:
    """Build one segment for each class that occurs; its id is the label id + 1."""
    runs = find_runs(label_map.reshape(-1))
    rles = runs._replace(values=runs.values + 1).encode_masks(label_map.shape[::-1])
    return tuple(
        Segment.from_rle(labels, number - 1, rle, id=number, score=None)
        for number, rle in sorted(rles.items())
    )
