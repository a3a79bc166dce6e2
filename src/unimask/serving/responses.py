"""Results as responses: JSON, PNG of ids, overlay and GeoJSON."""

import io
from collections import Counter
from typing import Literal

import msgspec
from PIL import Image

from unimask.labels import Task
from unimask.results import Result, Segment
from unimask.serving.models import ServedModel, hex_colour
from unimask.serving.service import Answer
from unimask.version import __version__
from unimask.visualization.palette import object_colour

ResponseFormat = Literal["json", "png", "overlay", "geojson"]

MEDIA_TYPES: dict[ResponseFormat, str] = {
    "json": "application/json",
    "png": "image/png",
    "overlay": "image/png",
    "geojson": "application/geo+json",
}

CANDIDATE_THRESHOLD = 0.05
"""Lowest score of instances that are returned beside those above the threshold."""


def candidate_threshold(task: Task, threshold: float | None) -> float | None:
    """Return the lowest score of candidates; None for tasks whose thresholds change the masks."""
    if task != "instance":
        return None
    return CANDIDATE_THRESHOLD if threshold is None else min(CANDIDATE_THRESHOLD, threshold)


def describe_result(
    answer: Answer,
    model: ServedModel,
    request_id: str,
    threshold: float | None,
    lowest: float | None = None,
) -> dict[str, object]:
    """Return a result as values for JSON.

    Args:
        answer: Result of the request.
        model: Model of the request.
        request_id: Id of the request.
        threshold: Threshold in effect.
        lowest: Lowest score of the segments, if candidates below the threshold are included.
    """
    result = answer.result
    colours = segment_colours(result)
    return {
        "request_id": request_id,
        "model": model.name,
        "version": __version__,
        "task": result.task,
        "size": list(result.size),
        "threshold": threshold,
        "threshold_filterable": result.task == "instance",
        "candidate_threshold": lowest,
        "segments": [
            {
                "id": s.id,
                "label": s.label,
                "label_id": s.label_id,
                "category_id": result.labels.category_id(s.label_id),
                "is_thing": s.is_thing,
                "score": s.score,
                "selected": is_selected(s, threshold, lowest),
                "colour": colours[s.id],
                "area": s.area,
                "box": list(s.box),
                "rle": s.rle.to_coco(),
            }
            for s in result.segments
        ],
        "timings": {stage: round(ms, 3) for stage, ms in answer.timings.items()},
        "batch_size": answer.batch_size,
    }


def is_selected(segment: Segment, threshold: float | None, lowest: float | None) -> bool:
    """Return whether a segment is part of the result, and not only a candidate."""
    if lowest is None or threshold is None or segment.score is None:
        return True
    return segment.score >= threshold


def segment_colours(result: Result) -> dict[int, str]:
    """Return the colour of each segment in the overlay, by its id."""
    objects = {s.id: s.is_thing and result.task != "semantic" for s in result.segments}
    numbers: Counter[int] = Counter()
    colours = {}
    for segment in sorted(result.segments, key=lambda s: (objects[s.id], -s.area)):
        number = 0
        if objects[segment.id]:
            numbers[segment.label_id] += 1
            number = numbers[segment.label_id]
        dataset_colour = result.labels.colour(segment.label_id)
        colours[segment.id] = hex_colour(object_colour(segment.label_id, number, dataset_colour))
    return colours


def encode_result(result: Result, kind: Literal["png", "overlay", "geojson"]) -> bytes:
    """Encode a result as PNG of ids, as overlay, or as GeoJSON."""
    if kind == "geojson":
        return msgspec.json.encode(result.to_geojson())
    return encode_png(result.id_image() if kind == "png" else result.plot())


def encode_png(image: Image.Image) -> bytes:
    """Encode an image as PNG."""
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def mask_png(segment: Segment) -> bytes:
    """Encode the mask of a segment as black and white PNG."""
    return encode_png(Image.fromarray(segment.mask).convert("L"))
