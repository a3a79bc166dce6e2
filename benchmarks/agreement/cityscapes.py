"""Compare our Cityscapes AP with the authors' published evaluation, on the same files.

Needs cityscapesscripts and a numpy that it runs with (a Python of its own will do, given as
PYTHON):

    pip install cityscapesscripts==2.3.0 'numpy<2'
    python -m benchmarks.agreement.cityscapes [PYTHON] [CASES]

A case is three images of generated ground truth in Cityscapes' format (numbered objects, groups,
void, caravans, tiny objects), with detections near it: shifted, doubled, cut, of other classes,
with equal scores, and some without ground truth. Our reader of Cityscapes reads the same files.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from unimask.datasets import open_dataset
from unimask.datasets.maps.cityscapes import RAW_IDS
from unimask.evaluation.scorers import build_scorer
from unimask.formats.run_length import RunLength
from unimask.label_sets import known_labels
from unimask.results import Result, Segment

LABELS = known_labels("cityscapes")
THINGS = [RAW_IDS[label] for label in LABELS.things]
SIZE, IMAGES, CASES = (64, 96), 3, 240

THEIRS = """
import glob, json, os, sys
import cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling as theirs
for case in sys.argv[1:]:
    os.chdir(case)
    truth = sorted(glob.glob("gtFine/val/town/*_instanceIds.png"))
    args = theirs.args
    args.predictionPath, args.predictionWalk = os.path.abspath("found"), None
    args.gtInstancesFile, args.JSONOutput, args.quiet = "instances.json", False, True
    found = [theirs.getPrediction(path, args) for path in truth]
    try:
        averages = theirs.evaluateImgLists(found, truth, args)["averages"]
    except IndexError as error:  # objects, and no detection that is right or wrong
        averages = {"failed": str(error)}
    json.dump(averages, open("averages.json", "w"))
"""


def draw_truth(random: np.random.Generator) -> np.ndarray:
    """Draw an instance map: stuff and void in bands, then objects, groups and caravans."""
    bands = random.choice([7, 23, 21, 0, 9, 4], 4)
    ids = np.repeat(np.repeat(bands.reshape(2, 2), SIZE[0] // 2, 0), SIZE[1] // 2, 1)
    kinds = random.choice(THINGS, random.integers(1, 4), replace=False).tolist()
    for number in range(random.integers(0, 9)):
        kind = int(random.choice([*kinds, *kinds, 29]))
        value = kind if random.random() < 0.25 else 1000 * kind + number
        ids[some_box(random)] = value
    return ids.astype(np.uint16)


def some_box(random: np.random.Generator) -> tuple[slice, slice]:
    """Return random rows and columns, often of a hundred pixels or fewer."""
    height, width = random.choice([(3, 4), (9, 11), (10, 10), (12, 20), (20, 14), (30, 40)])
    top, left = random.integers(0, SIZE[0] - 4), random.integers(0, SIZE[1] - 4)
    if random.random() < 0.2:
        top = SIZE[0] // 2 - height // 2
    return slice(top, top + height), slice(left, left + width)


def draw_detections(
    random: np.random.Generator, ids: np.ndarray
) -> list[tuple[np.ndarray, int, float]]:
    """Draw masks of detections with raw class ids and scores, many of which are equal."""
    kinds, found = THINGS[: random.integers(1, 9)], []
    for value in np.unique(ids[ids >= 24]).tolist():
        kind = value // 1000 if value >= 1000 else value
        for _ in range(random.integers(0, 4)):
            mask = np.roll(ids == value, random.integers(-3, 4, 2), (0, 1))
            mask &= random.random(SIZE) > random.choice([0, 0, 0.2, 0.45])
            given = kind if random.random() < 0.8 and kind in THINGS else random.choice(kinds)
            found.append((mask, int(given), round(random.integers(1, 8) / 8, 3)))
    for _ in range(random.integers(0, 4)):
        mask = np.zeros(SIZE, bool)
        mask[some_box(random)] = random.random() < 0.9
        found.append((mask, int(random.choice(THINGS)), round(random.integers(1, 8) / 8, 3)))
    return found


def write_case(folder: Path, seed: int) -> list[list[tuple[np.ndarray, int, float]]]:
    """Write ground truth in Cityscapes' format and detections in that of its evaluation."""
    random = np.random.default_rng(seed)
    paths = [folder / "leftImg8bit/val/town", folder / "gtFine/val/town", folder / "found"]
    for place in paths:
        place.mkdir(parents=True)
    images = []
    for number in range(IMAGES):
        frame = f"town_{number:06}_000019"
        ids, grey = draw_truth(random), np.zeros((*SIZE, 3), np.uint8)
        Image.fromarray(grey).save(paths[0] / f"{frame}_leftImg8bit.png")
        Image.fromarray(ids).save(paths[1] / f"{frame}_gtFine_instanceIds.png")
        detections, lines = draw_detections(random, ids), []
        for place, (mask, kind, score) in enumerate(detections):
            name = f"{frame}_{place}.png"
            Image.fromarray(mask.astype(np.uint8) * 255).save(paths[2] / name)
            lines.append(f"{name} {kind} {score}\n")
        (paths[2] / f"{frame}_pred.txt").write_text("".join(lines))
        images.append(detections)
    return images


def our_scores(folder: Path, images: list) -> dict[str, float | None]:
    """Score the case with our reader: the average, and each class."""
    dataset = open_dataset(folder, "val")
    scorer = build_scorer("instance", LABELS, ap="cityscapes")
    for index, found in enumerate(images):
        segments = tuple(
            Segment.from_rle(
                LABELS, RAW_IDS.index(kind), RunLength.from_mask(mask), id=place, score=score
            )
            for place, (mask, kind, score) in enumerate(found, start=1)
        )
        result = Result(task="instance", size=SIZE, labels=LABELS, segments=segments)
        scorer.add(result, dataset[index])
    rows = {"average": scorer.metrics(), **scorer.per_class()}
    return {f"{name} {key}": row[key] for name, row in rows.items() for key in ("AP", "AP50")}


def their_scores(averages: dict) -> dict[str, float]:
    """Score the case with cityscapesscripts, under the same names, in percent."""
    scores = {"average AP": averages["allAp"], "average AP50": averages["allAp50%"]}
    for name, row in averages["classes"].items():
        scores |= {f"{name} AP": row["ap"], f"{name} AP50": row["ap50%"]}
    return {name: 100 * value for name, value in scores.items()}


def main(python: str, cases: int) -> None:
    """Score every case with both and print the maximum difference."""
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(seed) for seed in range(cases)]
        ours = [our_scores(f, write_case(f, seed)) for seed, f in enumerate(folders)]
        quiet = os.environ | {"PYTHONWARNINGS": "ignore"}
        run = [python, "-c", THEIRS, *map(str, folders)]
        subprocess.run(run, check=True, env=quiet, stdout=subprocess.DEVNULL)
        averages = [json.loads((folder / "averages.json").read_text()) for folder in folders]
    worst, compared, undefined, failed = 0.0, 0, 0, 0
    for mine, other in zip(ours, averages, strict=True):
        if "failed" in other:
            failed += 1
            continue
        for key, value in their_scores(other).items():
            own, missing = mine[key], np.isnan(value)
            if (own is None) != missing:
                sys.exit(f"{key}: theirs {value}, ours {own}")
            compared, undefined = compared + (not missing), undefined + int(missing)
            worst = max(worst, 0.0 if own is None else abs(own - value))
    print(f"{cases} cases of {IMAGES} images, {failed} of which their script cannot score")
    print(f"{compared} values of AP and AP50; {undefined} undefined in both")
    print(f"greatest difference {worst:.2e} percent")
    sys.exit(worst > 1e-9)


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0] if given else sys.executable, int(given[1]) if given[1:] else CASES)
