"""Measure what the confidence of pixels takes: memory of results, time, and rounding.

    python -m benchmarks.confidence IMAGES [--model nuclei] > benchmarks/results/confidence.txt

IMAGES is a folder or a glob pattern. Bytes that a result keeps for the confidence are compared
with those of its image and of the mask logits. Times are CPU times of one thread. Every pixel is
compared with the definition, computed from masks at full size in float32.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
import torch

import benchmarks.postprocessing_rules as rules
import unimask
from unimask.labels import Task
from unimask.outputs import SegmenterOutput
from unimask.processing.images import list_images
from unimask.processing.preprocess import Preprocessed
from unimask.profiling.machine import describe_machine
from unimask.results import Result

Value = TypeVar("Value")

TASKS: tuple[Task, ...] = ("panoptic", "instance", "semantic")


def definition(output: SegmenterOutput, preprocessed: Preprocessed, result: Result) -> np.ndarray:
    """Compute the confidence of every pixel from masks at full size."""
    sizes = preprocessed.padded_size, preprocessed.input_size, preprocessed.original_size
    masks = rules.full_size(output.mask_logits[0], *sizes).sigmoid()
    probs = output.class_logits[0].softmax(-1)
    if result.task == "semantic":
        scores = torch.einsum("qk,qhw->khw", probs[:, :-1], masks)
        return (scores.amax(0) / scores.sum(0)).numpy()
    if result.task == "panoptic":
        scores, labels = probs.max(-1)
        is_candidate = labels != probs.shape[1] - 1
        best = (scores[:, None, None] * masks)[is_candidate].amax(0)
        return np.where(result.segmentation > 0, best.numpy(), 0)
    best = torch.zeros(preprocessed.original_size)
    inside = masks > 0.5
    quality = (masks * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
    for segment in reversed(result.segments):
        mask = torch.from_numpy(segment.mask.copy())
        scores = probs[:, segment.label_id]
        # Several queries can have nearly the same score; the segment's own one has its mask.
        difference = (scores * quality - float(segment.score or 0)).abs()
        (similar,) = (difference < 1e-3).nonzero(as_tuple=True)
        query = similar[(inside[similar] == mask).sum((1, 2)).argmax()]
        best = torch.where(mask, scores[query] * masks[query], best)
    return best.numpy()


def timed(call: Callable[[], Value]) -> tuple[float, Value]:
    """Return the CPU time of a call in milliseconds, and its value."""
    start = time.process_time()
    value = call()
    return 1000 * (time.process_time() - start), value


def main() -> None:
    """Measure all images and print medians, and the largest error."""
    parser = argparse.ArgumentParser(description="Measure the confidence of pixels.")
    parser.add_argument("images", type=Path, help="folder of images, or a glob pattern")
    parser.add_argument("--model", default="nuclei", help="any model that `unimask.load` accepts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = unimask.load(arguments.model)
    paths = list_images(arguments.images)
    for task in TASKS:
        rows, errors = [], []
        for path in paths:
            predicting, result = timed(lambda: model.predict(path, task))  # noqa: B023
            source = result.confidence_source
            reading, confidence = timed(lambda: result.confidence)  # noqa: B023
            preprocessed = model.prepare(path, None, 10**9).preprocessed
            with torch.inference_mode():
                output = model.logits(preprocessed.pixel_values[None], task)
                error = np.abs(confidence - definition(output, preprocessed, result))
            errors.append((float(error.max()), float(error.mean())))
            stored = source.nbytes  # type: ignore[union-attr]
            dense = output.mask_logits.nbytes
            rows.append((stored / (3 * confidence.size), stored / dense, predicting, reading))
        image, dense, predicting, reading = (median(column) for column in zip(*rows, strict=True))
        most, mean = max(e for e, _ in errors), median(e for _, e in errors)
        print(
            f"{task:8}  kept {image:5.2f} x image, {dense:6.2%} of the logits   "
            f"predict {predicting:5.0f} ms   read {reading:4.0f} ms   "
            f"error at most {most:.1e}, mean {mean:.1e}"
        )
    print(f"{len(paths)} images, {describe_machine(model.device)}")


if __name__ == "__main__":
    main()
