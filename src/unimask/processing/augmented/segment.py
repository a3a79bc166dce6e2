"""Post-processing of several views of an image to one result."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

from unimask.config import PostprocessingConfig
from unimask.labels import LabelSet, Task
from unimask.processing.augmented.matching import merge_views
from unimask.processing.augmented.mean_scores import mean_semantic_map
from unimask.processing.augmented.views import ViewOutput
from unimask.processing.postprocess import check_logits, postprocess, semantic_segments
from unimask.processing.resize import Size
from unimask.results import Result


class ViewRules(NamedTuple):
    """Everything that the result of several views depends on beside the logits.

    Attributes:
        task: Task of the network.
        labels: Classes of the network.
        size: Height and width of the image.
        postprocessing: Settings of post-processing.
        threshold: See `postprocess`.
    """

    task: Task
    labels: LabelSet
    size: Size
    postprocessing: PostprocessingConfig
    threshold: float | None


def segment_views(
    views: Sequence[ViewOutput], rules: ViewRules, *, retain_confidence: bool
) -> Result:
    """Convert the logits of several views to segments.

    Args:
        views: Network outputs; for all tasks but semantic, the first is not mirrored.
        rules: Task and settings.
        retain_confidence: Whether the result retains what `Result.confidence` needs.

    Raises:
        SettingsError: The logits do not match the label set, or are not finite.
    """
    for view in views:
        check_logits(view.class_logits, view.mask_logits, rules.labels)
    if rules.task == "semantic":
        label_map, confidence = mean_semantic_map(
            views,
            rules.size,
            resize_scores=rules.postprocessing.resize == "scores",
            threshold=rules.threshold,
        )
        segments = semantic_segments(label_map, rules.labels)
        source = confidence if retain_confidence else None
        return Result("semantic", rules.size, rules.labels, segments, confidence_source=source)
    compares_logits = rules.postprocessing.uncertain_pixels == "logits"
    merged = merge_views(views, average_logits=compares_logits)
    result = postprocess(
        merged.class_logits[0],
        merged.mask_logits[0],
        task=rules.task,
        labels=rules.labels.names,
        is_thing=rules.labels.is_thing,
        padded_size=views[0].padded_size,
        input_size=views[0].input_size,
        original_size=rules.size,
        **asdict(rules.postprocessing),
        threshold=rules.threshold,
        retain_confidence=retain_confidence,
    )
    return replace(result, labels=rules.labels)  # with colours, unlike post-processing
