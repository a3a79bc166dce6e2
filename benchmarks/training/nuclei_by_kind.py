"""Score `nuclei` by kind of image, and draw its worst images.

    python -m benchmarks.training.nuclei_by_kind DATA OUT [--model nuclei] [--every 1]

DATA holds `val/` with `images/` and `masks/`. OUT gets `nuclei_by_kind.json` and
`nuclei_worst.png`: outlines alone, without the photographs.
"""

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import unimask
from unimask.datasets import Sample, open_dataset
from unimask.inference import Predictor
from unimask.metrics import MatchedPrecision, MeanIoU
from unimask.metrics.matched_precision import iou_table

HIT, MISSED, FALSE = (120, 200, 120), (225, 80, 70), (70, 110, 230)
WORST = 6
SIDE = 360


class ImageScores(NamedTuple):
    """Kinds and scores of one image."""

    name: str
    kinds: tuple[str, str, str]
    half: float
    seven: float
    seconds: float


def imaging_method(image: np.ndarray) -> str:
    """Return the imaging method: colours mean stains, a bright middle means transmitted light."""
    pixels = image.astype(np.float32)
    if (pixels.max(2) - pixels.min(2)).mean() > 8:
        return "stained tissue"
    return "bright field" if np.median(pixels) > 128 else "fluorescence"


def describe_value(value: float, low: float, high: float, words: tuple[str, str, str]) -> str:
    """Return the word for a value below, between or above two bounds."""
    return words[0] if value < low else words[2] if value > high else words[1]


def kinds_of(sample: Sample, truth: np.ndarray) -> tuple[str, str, str]:
    """Return the imaging method, the size of the nuclei, and their number."""
    areas = np.bincount(truth.ravel())[1:]
    areas = areas[areas > 0]
    sizes = ("nuclei under 150 px", "nuclei of 150 to 800 px", "nuclei over 800 px")
    counts = ("under 20 nuclei", "20 to 80 nuclei", "over 80 nuclei")
    return (
        imaging_method(sample.image),
        describe_value(float(np.median(areas)), 150, 800, sizes),
        describe_value(len(areas), 20, 80, counts),
    )


def nuclei_of(sample: Sample) -> np.ndarray:
    """Return the true nuclei as an id map, background 0."""
    truth = sample.front
    return np.where(np.array([0, *(sample.label_ids == 0)])[truth] > 0, truth, 0)


def score_image(
    predictor: Predictor, sample: Sample, precision: MatchedPrecision, iou: MeanIoU
) -> ImageScores:
    """Score one image."""
    truth = nuclei_of(sample)
    start = time.perf_counter()
    instances = predictor.predict(sample.image, "instance").segmentation
    seconds = time.perf_counter() - start
    scores = precision.update(instances, truth)
    iou.update(
        predictor.predict(sample.image, "semantic").segmentation, (truth == 0).astype(int), None
    )
    name = sample.path.stem if sample.path else "image"
    return ImageScores(name, kinds_of(sample, truth), scores[0.5], scores[0.7], seconds)


def outlines(ids: np.ndarray) -> np.ndarray:
    """Mark the inner border of every object."""
    border = np.zeros(ids.shape, bool)
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        border |= np.roll(ids, shift, axis) != ids
    return border & (ids > 0)


def match_ids(found: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of true nuclei that were found, and of predictions without a true nucleus."""
    hits = np.greater(iou_table(found, truth), 0.5)
    found_ids, true_ids = np.unique(found[found > 0]), np.unique(truth[truth > 0])
    hit = np.where(np.isin(truth, true_ids[hits.any(0)]), truth, 0)
    false = np.where(np.isin(found, found_ids[hits.any(1)]), 0, found)
    return hit, false


def enlarge(ids: np.ndarray) -> np.ndarray:
    """Enlarge an id map to the board's scale."""
    height, width = (round(side * SIDE / max(ids.shape)) for side in ids.shape)
    image = Image.fromarray(ids.astype(np.int32))
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))


def draw(found: np.ndarray, truth: np.ndarray, title: str) -> Image.Image:
    """Fill true nuclei by whether they were found; outline false positives."""
    hit, false = (enlarge(ids) for ids in match_ids(found, truth))
    true = enlarge(truth)
    pixels = np.full((*true.shape, 3), 255, np.uint8)
    pixels[true > 0] = MISSED
    pixels[hit > 0] = HIT
    pixels[outlines(true)] = 60
    edge = outlines(false)
    pixels[edge | outlines(np.where(edge, 0, false))] = FALSE
    board = Image.new("RGB", (SIDE, SIDE + 22), "white")
    board.paste(Image.fromarray(pixels), (0, 22))
    ImageDraw.Draw(board).text((4, 3), title, fill=(30, 30, 30), font=ImageFont.load_default(13))
    return board


def worst_board(
    predictor: Predictor, samples: dict[str, Sample], scored: list[ImageScores]
) -> Image.Image:
    """Draw the images with the lowest scores."""
    board = Image.new("RGB", (3 * (SIDE + 10), 2 * (SIDE + 32)), "white")
    for index, one in enumerate(sorted(scored, key=lambda one: one.half)[:WORST]):
        sample = samples[one.name]
        found = predictor.predict(sample.image, "instance").segmentation
        title = f"{100 * one.half:.0f} % at IoU 0.5: {one.kinds[0]}, {one.kinds[2]}"
        tile = draw(found, nuclei_of(sample), title)
        board.paste(tile, (index % 3 * (SIDE + 10), index // 3 * (SIDE + 32)))
    return board


def summary(scored: list[ImageScores]) -> dict[str, dict[str, float]]:
    """Average by kind."""
    groups = {"all": scored}
    for axis in range(3):
        for kind in sorted({one.kinds[axis] for one in scored}):
            groups[kind] = [one for one in scored if one.kinds[axis] == kind]
    return {
        kind: {
            "images": len(group),
            "AP_match@0.50": round(100 * float(np.mean([one.half for one in group])), 1),
            "AP_match@0.70": round(100 * float(np.mean([one.seven for one in group])), 1),
        }
        for kind, group in groups.items()
    }


def main() -> None:
    """Score, print, and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--every", type=int, default=1, help="score every n-th image")
    arguments = parser.parse_args()
    predictor = unimask.load(arguments.model)
    dataset = open_dataset(arguments.data, "val", names=("nucleus", "background"))
    precision, iou = MatchedPrecision(), MeanIoU(predictor.description.labels)
    samples, scored = {}, []
    for index in range(0, len(dataset), arguments.every):
        sample = dataset[index]
        scored.append(score_image(predictor, sample, precision, iou))
        samples[scored[-1].name] = sample
    table = summary(scored)
    for kind, row in table.items():
        print(f"{kind:24s}" + "".join(f"{number:8g}" for number in row.values()))
    report = {
        "by_kind": table,
        "semantic_iou": iou.per_class()["nucleus"]["IoU"],
        "median_seconds": round(float(np.median([one.seconds for one in scored])), 3),
    }
    print(f"semantic IoU {report['semantic_iou']:.1f}, {report['median_seconds']} s an image")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "nuclei_by_kind.json").write_text(json.dumps(report, indent=2) + "\n")
    worst_board(predictor, samples, scored).save(arguments.out / "nuclei_worst.png")


if __name__ == "__main__":
    main()
