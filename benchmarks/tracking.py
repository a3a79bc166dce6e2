"""Measure the tracker on rendered traffic with true ids, beside a plain IoU tracker.

    pip install trackeval
    python -m benchmarks.tracking                      # true masks
    python -m benchmarks.tracking --model rendered-town --frames 60
    python -m benchmarks.tracking --memory 2000        # memory and throughput

"town" is the traffic of a town, whose cars keep to their lanes, below a moving camera. "crossing"
adds 30 cars that cross a window in all directions, over each other and below trees. All frames are
of 512 x 768 pixels, ten per second. Cars of at least 16 visible pixels are scored, by TrackEval: a
predicted mask is the car's from an IoU of 0.5 on (HOTA: all thresholds). The plain tracker matches
equal classes by the IoU with each track's last mask, from 0.3 on, and keeps tracks as long as ours.
With a model, a third column has the results of `transformers`, which does not track: its numbers of
the segments of each frame, by its own post-processing of the same logits, taken as ids.
"""

import resource
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from statistics import median
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from trackeval.metrics import CLEAR, HOTA, Identity  # pyright: ignore[reportMissingImports]

import unimask
from benchmarks.tracks.scenes import SIZE, crossing_traffic, town_traffic
from unimask.datasets.rendered_town.classes import CAR_LABEL, TOWN_LABELS
from unimask.datasets.rendered_town.sample import MIN_VISIBLE
from unimask.datasets.rendered_town.scene import RenderedTown
from unimask.formats.run_length import RunLength, encode_id_map
from unimask.inference.predictor import Predictor
from unimask.inference.query_embeddings import capture_query_embeddings
from unimask.metrics.object_ious import mask_ious
from unimask.metrics.objects import Objects
from unimask.outputs import SegmenterOutput
from unimask.profiling.machine import describe_machine
from unimask.results import Result, Segment
from unimask.tracking import Tracker

SCENES = {
    "town": (town_traffic, (0, 2, 3)),
    "crossing": (crossing_traffic, (12, 13, 19, 46)),
}
"""Kinds of traffic with the seeds of their scenes; those of "crossing" have hardly any roofs."""

MIN_IOU, MAX_MISSING = 0.3, 30
"""Smallest IoU of the plain tracker, and number of frames after which its tracks end."""


class Objects2D(NamedTuple):
    """Cars of one frame: their ids and masks."""

    ids: list[int]
    masks: list[RunLength]


class PlainTracker:
    """Tracker by the IoU of masks alone."""

    def __init__(self) -> None:
        self.tracks: dict[int, tuple[Segment, int]] = {}
        self.frame = self.last_id = 0

    def update(self, result: Result) -> Result:
        """Return the result with ids."""
        from scipy.optimize import linear_sum_assignment

        self.frame += 1
        alive = {
            id: track for id, track in self.tracks.items() if self.frame - track[1] <= MAX_MISSING
        }
        ids, segments = list(alive), list(result.segments)
        matches: dict[int, int] = {}
        if ids and segments:
            before = [alive[id][0] for id in ids]
            ious = mask_ious(*(Objects.from_masks([s.rle for s in group], [0] * len(group))
                               for group in (before, segments)))  # fmt: skip
            labels = [np.array([s.label_id for s in group]) for group in (before, segments)]
            ious[labels[0][:, None] != labels[1]] = 0
            for row, column in zip(*linear_sum_assignment(-ious), strict=True):
                if ious[row, column] >= MIN_IOU:
                    matches[int(column)] = ids[row]
        for index, segment in enumerate(segments):
            if index not in matches:
                self.last_id += 1
                matches[index] = self.last_id
            alive[matches[index]] = (segment, self.frame)
        self.tracks = alive
        tracked = (replace(s, track_id=matches[index]) for index, s in enumerate(segments))
        return replace(result, segments=tuple(tracked))


def true_segments(frame: RenderedTown) -> tuple[list[Segment], list[int]]:
    """Return the visible things of a rendered frame, and their true ids."""
    segments, ids = [], []
    for id, rle in sorted(encode_id_map(frame.ids).items()):
        if rle.area >= MIN_VISIBLE:
            label = int(frame.label_ids.T.reshape(-1)[rle.span[0]])
            number = len(ids) + 1
            segments.append(Segment.from_rle(TOWN_LABELS, label, rle, id=number, score=1.0))
            ids.append(id)
    return segments, ids


def select_cars(result: Result, ids: Sequence[int | None] | None = None) -> Objects2D:
    """Return the cars of a result that have an id."""
    ids = [s.track_id for s in result.segments] if ids is None else ids
    pairs = zip(ids, result.segments, strict=True)
    cars = [(id, s.rle) for id, s in pairs if id is not None and s.label_id == CAR_LABEL]
    return Objects2D([id for id, _ in cars], [mask for _, mask in cars])


def score(truth: list[Objects2D], predicted: list[Objects2D]) -> dict[str, float]:
    """Score tracks by TrackEval."""
    numbers: list[dict[int, int]] = [{}, {}]
    ids: list[list[np.ndarray]] = [[], []]
    similarities = []
    for pair in zip(truth, predicted, strict=True):
        for number, frame, rows in zip(numbers, pair, ids, strict=True):
            values = [number.setdefault(id, len(number)) for id in frame.ids]
            rows.append(np.array(values, int))
        objects = (Objects.from_masks(frame.masks, [0] * len(frame.ids)) for frame in pair)
        similarities.append(mask_ious(*objects))
    data = {
        "gt_ids": ids[0],
        "tracker_ids": ids[1],
        "similarity_scores": similarities,
        "num_timesteps": len(truth),
        "num_gt_ids": len(numbers[0]),
        "num_tracker_ids": len(numbers[1]),
        "num_gt_dets": sum(map(len, ids[0])),
        "num_tracker_dets": sum(map(len, ids[1])),
    }
    quiet = {"PRINT_CONFIG": False}
    clear = CLEAR(quiet).eval_sequence(data)
    return {
        "IDF1": 100 * float(Identity(quiet).eval_sequence(data)["IDF1"]),
        "HOTA": 100 * float(np.mean(HOTA().eval_sequence(data)["HOTA"])),
        "MOTA": 100 * float(clear["MOTA"]),
        "switches": 100 * float(clear["IDSW"]) / len(truth),
        "cars": len(numbers[0]),
    }


class Frame(NamedTuple):
    """True cars, the result to track, its query embeddings, and cars numbered by transformers."""

    truth: Objects2D
    result: Result
    embeddings: list | None = None
    numbered: Objects2D | None = None


def number_by_transformers(output: SegmenterOutput) -> Objects2D:
    """Return the cars that transformers' post-processing finds, with its numbers."""
    from transformers.models.mask2former.image_processing_pil_mask2former import (
        Mask2FormerImageProcessorPil,
    )
    from transformers.models.mask2former.modeling_mask2former import (
        Mask2FormerForUniversalSegmentationOutput,
    )

    logits = Mask2FormerForUniversalSegmentationOutput(
        class_queries_logits=output.class_logits,  # pyright: ignore[reportArgumentType]
        masks_queries_logits=output.mask_logits,  # pyright: ignore[reportArgumentType]
    )
    (found,) = Mask2FormerImageProcessorPil().post_process_instance_segmentation(
        logits, target_sizes=[SIZE], return_binary_maps=True
    )
    cars = [
        (segment["id"], RunLength.from_mask(mask.numpy() > 0))
        for mask, segment in zip(found["segmentation"], found["segments_info"], strict=True)
        if segment["label_id"] == CAR_LABEL
    ]
    return Objects2D([id for id, _ in cars], [mask for _, mask in cars])


def predict_frames(model: Predictor | None, frames: Iterator[RenderedTown]) -> Iterator[Frame]:
    """Segment the frames, or take the true masks if there is no model."""
    for frame in frames:
        segments, ids = true_segments(frame)
        result = Result("instance", SIZE, TOWN_LABELS, tuple(segments))
        truth = select_cars(result, ids)
        if model is None:
            yield Frame(truth, result)
            continue
        with capture_query_embeddings(model.network) as embeddings, torch.inference_mode():
            inputs = model.prepare(frame.image, None, 10**8).preprocessed
            output = model.logits(inputs.pixel_values[None], "instance")
            result = model.postprocess(output, 0, inputs, "instance", None, retain_confidence=False)
        yield Frame(truth, result, embeddings.select(result), number_by_transformers(output))


def measure_scenes(model: Predictor | None, frames: int, only: set[str]) -> None:
    """Print the scores of all systems for all scenes."""
    columns = ("IDF1", "HOTA", "MOTA", "switches")
    print(f"{'scene':14}{'cars':>5}  " + "  ".join(f"{name:>25}" for name in columns) + "  ms")
    for kind, (render, seeds) in SCENES.items():
        for seed in seeds:
            if only and f"{kind}-{seed}" not in only:
                continue
            ours, plain, milliseconds = Tracker(), PlainTracker(), []
            truth, systems = [], ([], [], [])
            for frame in predict_frames(model, islice(render(seed), frames)):
                truth.append(frame.truth)
                start = time.perf_counter()
                systems[0].append(select_cars(ours.update(frame.result, frame.embeddings)))
                milliseconds.append(1000 * (time.perf_counter() - start))
                systems[1].append(select_cars(plain.update(frame.result)))
                if frame.numbered is not None:
                    systems[2].append(frame.numbered)
            scores = [score(truth, tracked) for tracked in systems if tracked]
            cells = [describe([each[name] for each in scores]) for name in columns]
            print(
                f"{f'{kind}-{seed}':14}{scores[0]['cars']:5.0f}  "
                f"{'  '.join(f'{cell:>25}' for cell in cells)}  {median(milliseconds):.0f}",
                flush=True,
            )


def describe(values: Sequence[float]) -> str:
    """Format a score of ours, and in parentheses those of the others."""
    return f"{values[0]:.2f} ({', '.join(f'{value:.2f}' for value in values[1:])})"


def measure_memory(count: int) -> None:
    """Print the memory of the process while a small network tracks many frames."""
    built = unimask.build("mask2former-nano", labels=list(TOWN_LABELS.names))
    rules = replace(built.description.preprocessing, shortest_edge=96, longest_edge=128)
    description = replace(built.description, preprocessing=rules)
    model = Predictor(built.network, description, "mask2former-nano")
    random = np.random.default_rng(0)
    images = (random.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(count))
    for number, _ in enumerate(model.track(images, "panoptic", threshold=0.01), start=1):
        if number in (count // 10, count // 2, count):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
            print(f"after {number} frames: {current_megabytes():.0f} MB, peak {peak:.0f} MB")


def current_megabytes() -> float:
    """Return the memory of the process (Linux)."""
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize() / 1e6


def measure_throughput(model: Predictor, pairs: int = 8) -> None:
    """Print the time of a tracked frame relative to that of a predicted image, interleaved."""
    images = [frame.image for frame in islice(town_traffic(0), pairs + 1)]
    tracked = model.track(iter(images), "instance")
    next(tracked)
    ratios = []
    for image in images[1:]:
        start = time.perf_counter()
        model.predict(image, "instance", retain_confidence=False)
        middle = time.perf_counter()
        next(tracked)
        ratios.append((middle - start) / (time.perf_counter() - middle))
    print(f"frames per second, tracked over predicted: median {median(ratios):.2f} of {pairs}")


def main(
    model: Annotated[str | None, typer.Option(help="Model; by default, true masks.")] = None,
    frames: Annotated[int, typer.Option(help="Number of frames of each scene.")] = 100,
    scenes: Annotated[str, typer.Option(help="Scenes, such as town-0,crossing-13.")] = "",
    memory: Annotated[int, typer.Option(help="Measure memory over so many frames.")] = 0,
) -> None:
    """Measure and print."""
    warnings.simplefilter("ignore", DeprecationWarning)
    print(describe_machine(torch.device("cpu")))
    if memory:
        measure_memory(memory)
        measure_throughput(unimask.load(model or "rendered-town"))
        return
    predictor = None if model is None else unimask.load(model)
    others = "plain IoU" if model is None else "plain IoU, transformers' numbers"
    print(f"{frames} frames of {'true masks' if model is None else model}: ours ({others})")
    print(
        '"switches" of ids are per 100 frames of all cars; "ms" is the median time of our tracker'
    )
    measure_scenes(predictor, frames, {name for name in scenes.split(",") if name})


if __name__ == "__main__":
    typer.run(main)
