"""Compare tiles with one pass over rendered scenes, at the same scale.

    python -m benchmarks.tiling.scenes OUT.json [--scenes 20] [--side 2048] [--tile 512]

`rendered-town` selects a tenth of the cells as queries, but 600 at most. In one pass of a scene
this limit would leave out objects that tiles find, so it is raised for both (`MAX_QUERIES`), and
one pass takes several gigabytes. OUT.json gets a row per scene and the summary; a second call
continues.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import unimask
from unimask.datasets.rendered_town import TOWN_LABELS, RenderedTown, TownScene
from unimask.inference import Predictor
from unimask.metrics import PanopticQuality
from unimask.metrics.overlaps import count_overlaps
from unimask.modeling.transformer_decoders.proposals import Proposals
from unimask.results import Result

METRES = 0.115
"""Metres per pixel of the scenes: half of the mean in the training images."""

SCALE = 704 / 512 / 2
"""Scale at which the network sees as many metres per pixel as in its training."""

MAX_QUERIES = 2400
"""Largest number of queries that are selected from a pass."""

FIRST_SEED = 5_000
OVERLAP = 0.25
SUMS = ("iou", "true_positives", "false_positives", "false_negatives")


class Objects(NamedTuple):
    """Things of one segmentation against those of another.

    Attributes:
        matched: Number of things with an IoU above 0.5.
        twice: Number of unmatched things of which more than half lies in a matched thing of the
            reference of the same class.
        lost: Number of things of the reference smaller than the overlap, of which less than half
            is covered by things of the same class.
        small: Number of things of the reference smaller than the overlap.
    """

    matched: int
    twice: int
    lost: int
    small: int


def load_model() -> Predictor:
    """Load `rendered-town` with the raised limit of queries."""
    model = unimask.load("rendered-town", device="cpu")
    for module in model.network.modules():
        if isinstance(module, Proposals):
            module.max_queries = MAX_QUERIES
    return model


def segments_of(result: Result) -> tuple[np.ndarray, dict[int, int]]:
    """Return the map of segment ids, 0 for void, and the label of each segment."""
    return result.segmentation, {segment.id: segment.label_id for segment in result.segments}


def truth_of(town: RenderedTown) -> tuple[np.ndarray, dict[int, int]]:
    """Return the true segments: things by object, stuff by class."""
    keys = town.ids.astype(np.int64) * len(TOWN_LABELS) + town.label_ids
    values, inverse = np.unique(keys, return_inverse=True)
    labels = {index + 1: int(value % len(TOWN_LABELS)) for index, value in enumerate(values)}
    return inverse.reshape(keys.shape).astype(np.int32) + 1, labels


def quality(
    found: tuple[np.ndarray, dict[int, int]], reference: tuple[np.ndarray, dict[int, int]]
) -> dict[str, list[float]]:
    """Return the sums per class from which the PQ of all scenes follows."""
    metric = PanopticQuality(TOWN_LABELS)
    metric.update(*found, *reference)
    return {name: getattr(metric, name).tolist() for name in SUMS}


def total_quality(rows: list[dict[str, list[float]]]) -> dict[str, float | None]:
    """Return the PQ in percent over scenes: the mean of the classes that occur, and each."""
    iou, hits, false, missed = (np.sum([row[name] for row in rows], axis=0) for name in SUMS)
    classes = 100 * iou / (hits + false / 2 + missed / 2)
    shown = {"all": np.nanmean(classes), **dict(zip(TOWN_LABELS.names, classes, strict=True))}
    return {
        name: None if np.isnan(value) else round(float(value), 2) for name, value in shown.items()
    }


def compare_things(
    found: tuple[np.ndarray, dict[int, int]],
    reference: tuple[np.ndarray, dict[int, int]],
    overlap: float,
) -> Objects:
    """Count things that are matched, found twice or lost.

    Args:
        found: Map of segment ids and the label of each.
        reference: Segmentation to compare with.
        overlap: Overlap of the tiles in pixels of the image.
    """
    rows, columns, shared = count_overlaps(found[0], reference[0])
    labels = [np.array([by_id.get(int(one), -1) for one in ids]) for ids, by_id in
              ((rows, found[1]), (columns, reference[1]))]  # fmt: skip
    is_thing = np.array(TOWN_LABELS.is_thing)
    pairs = labels[0][:, None] == labels[1]
    pairs &= np.where(labels[0] >= 0, is_thing[labels[0]], False)[:, None]
    areas, reference_areas = shared.sum(1), shared.sum(0)
    same = np.where(pairs, shared, 0)
    iou = same / (areas[:, None] + reference_areas - same)
    hits = np.greater(iou, 0.5)
    inside = np.greater(same, areas[:, None] / 2) & hits.any(0)
    small = np.array(
        [
            label >= 0 and bool(is_thing[label]) and longest_side(reference[0] == one) < overlap
            for one, label in zip(columns, labels[1], strict=True)
        ]
    )
    uncovered = small & (same.sum(0) < reference_areas / 2)
    return Objects(
        int(hits.any(0).sum()),
        int((inside.any(1) & ~hits.any(1)).sum()),
        int(uncovered.sum()),
        int(small.sum()),
    )


def longest_side(mask: np.ndarray) -> int:
    """Return the longer side of the box around a mask in pixels."""
    spans = (np.flatnonzero(mask.any(axis)) for axis in (0, 1))
    return max(int(span[-1] - span[0]) + 1 for span in spans)


def compare(model: Predictor, scene: TownScene, tile: int) -> dict[str, Any]:
    """Segment a scene in one pass and in tiles."""
    town = scene.render()
    truth = truth_of(town)
    overlap = tile * OVERLAP / SCALE
    whole_tile = -(-round(max(scene.size) * SCALE) // 32) * 32
    start = time.perf_counter()
    whole = segments_of(model.predict(town.image, "panoptic", tile=whole_tile, scale=SCALE))
    middle = time.perf_counter()
    tiled = segments_of(
        model.predict(town.image, "panoptic", tile=tile, overlap=OVERLAP, scale=SCALE)
    )
    end = time.perf_counter()
    return {
        "seed": scene.seed,
        "objects": int(np.count_nonzero(np.unique(town.ids))),
        "PQ of tiles against one pass": quality(tiled, whole),
        "tiles against one pass": compare_things(tiled, whole, overlap)._asdict(),
        "PQ of one pass": quality(whole, truth),
        "PQ of tiles": quality(tiled, truth),
        "tiles against the truth": compare_things(tiled, truth, overlap)._asdict(),
        "one pass against the truth": compare_things(whole, truth, overlap)._asdict(),
        "seconds of one pass": round(middle - start, 2),
        "seconds of tiles": round(end - middle, 2),
    }


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up qualities, counts and seconds."""
    summary: dict[str, Any] = {}
    for name, value in rows[0].items():
        values = [row[name] for row in rows]
        if name.startswith("PQ"):
            summary[name] = total_quality(values)
        elif isinstance(value, dict):
            summary[name] = {key: sum(one[key] for one in values) for key in value}
        elif name != "seed":
            summary[name] = round(sum(values), 1)
    return summary


def main() -> None:
    """Compare, and write after each scene."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--tile", type=int, default=512)
    options = parser.parse_args()
    rows = json.loads(options.out.read_text())["scenes"] if options.out.exists() else []
    model = load_model()
    for number in range(len(rows), options.scenes):
        scene = TownScene(FIRST_SEED + number, (options.side, options.side), METRES)
        rows.append(compare(model, scene, options.tile))
        print(json.dumps(summarise(rows[-1:])), flush=True)
        report = {"summary": summarise(rows), "scenes": rows}
        options.out.write_text(json.dumps(report, separators=(",", ":")) + "\n")
    print(json.dumps(summarise(rows), indent=2))


if __name__ == "__main__":
    main()
