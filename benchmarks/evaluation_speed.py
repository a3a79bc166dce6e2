"""Compare speed and memory of the metrics with pycocotools, on the size of COCO val2017.

The data are generated: wavy blobs of 80 classes as compressed run lengths (36,000 ground-truth
objects, and 100 detections per image, some of them similar to the ground truth), and panoptic id
maps as PNG files. A run computes one metric in this process and prints times and memory.

    python -m benchmarks.evaluation_speed ap [IMAGES]
    python -m benchmarks.evaluation_speed pycocotools [IMAGES]
    python -m benchmarks.evaluation_speed pq [IMAGES]
"""

import io
import resource
import sys
import time

import numpy as np
from PIL import Image

from unimask.formats.panoptic_png import decode_ids, encode_ids
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.metrics import AveragePrecision, Objects, PanopticQuality

IMAGES, OBJECTS, DETECTIONS, CLASSES = 5000, 7.2, 100, 80
SIZE = (480, 640)
LABELS = LabelSet(tuple(str(label) for label in range(CLASSES)), (True,) * CLASSES)
SHAPES = 300
"""Number of distinct ground-truth blobs, each with five similar detections."""


def main(kind: str, images: int) -> None:
    """Compute one metric, and print its scores, times and memory."""
    kinds = {"ap": score_ours, "pycocotools": score_theirs, "pq": score_panoptic}
    kinds[kind](images)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{kind}: largest memory {peak:.0f} MiB")


def blob(random: np.random.Generator, noise: float, shape: np.ndarray) -> RunLength:
    """Generate a wavy blob from its centre, radii and rotation, perturbed by `noise`."""
    y, x, height, width, rotation = shape + noise * np.array([*shape[2:4], *shape[2:4], 1.0]) * (
        random.normal(size=5)
    )
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    down, right = (rows - y) / max(height, 1), (columns - x) / max(width, 1)
    waves = 1 + 0.2 * np.sin(5 * np.arctan2(down, right) + rotation)
    return RunLength.from_mask(down**2 + right**2 < waves)


def draw_shapes(random: np.random.Generator) -> list[list[dict]]:
    """Generate blobs, each followed by five similar ones, as COCO run lengths."""
    families = []
    for _ in range(SHAPES):
        centre = random.uniform((0, 0), SIZE)
        shape = np.array([*centre, *np.exp(random.uniform(1.5, 4.8, 2)), random.uniform(0, 6)])
        masks = [blob(random, noise, shape) for noise in (0, 0.03, 0.06, 0.1, 0.15, 0.25)]
        families.append([mask.to_coco() for mask in masks if mask.area])
    return [family for family in families if len(family) > 1]


def generate(families: list[list[dict]], seed: int) -> tuple[list[dict], list[dict]]:
    """Generate the ground truth and the detections of an image in the format of COCO."""
    random = np.random.default_rng(seed)
    truth, found = [], []
    for place in random.integers(len(families), size=random.poisson(OBJECTS)).tolist():
        label, family = int(random.integers(CLASSES)), families[place]
        truth.append(entry(family[0], label) | {"iscrowd": int(random.random() < 0.01)})
        for mask in family[1:]:
            if random.random() < 0.6:
                other = int(random.integers(CLASSES))
                found.append(entry(mask, label if random.random() < 0.7 else other))
    for place in random.integers(len(families), size=DETECTIONS).tolist():
        found.append(entry(families[place][0], int(random.integers(CLASSES))))
    for one in found[:DETECTIONS]:
        one["score"] = round(float(random.random()), 3)
    return truth, found[:DETECTIONS]


def entry(mask: dict, label: int) -> dict:
    """Build the entry of an object."""
    return {"segmentation": mask, "category_id": label}


def read_objects(entries: list[dict]) -> Objects:
    """Read entries of `generate` as objects."""
    return Objects.from_masks(
        [RunLength.from_coco(one["segmentation"]) for one in entries],
        np.array([one["category_id"] for one in entries], np.int64),
        scores=[one.get("score", 1.0) for one in entries],
        crowds=[bool(one.get("iscrowd")) for one in entries],
    )


def score_ours(images: int) -> None:
    """Read, match and score run lengths image by image; generating the data is not timed."""
    families = draw_shapes(np.random.default_rng(0))
    precision, seconds, objects = AveragePrecision(LABELS), 0.0, 0
    for seed in range(images):
        truth, found = generate(families, seed)
        objects += len(truth)
        start = time.perf_counter()
        precision.update(read_objects(found), read_objects(truth))
        seconds += time.perf_counter() - start
        if seed + 1 in (images // 5, images):
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"after {seed + 1} images: {seconds:.1f} s, largest memory {memory:.0f} MiB")
    start = time.perf_counter()
    scores = precision.compute() | {"classes": len(precision.per_class())}
    print(f"{images} images, {objects} objects, {precision.count} detections")
    print(f"matching {seconds:.1f} s, curves {time.perf_counter() - start:.1f} s, one process")
    print(f"stored: {precision.rows.nbytes / precision.count:.0f} bytes a detection")
    print({name: round(value or 0, 9) for name, value in scores.items()})


def score_theirs(images: int) -> None:
    """Score the same data with pycocotools, from memory; generating the data is not timed."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    families = draw_shapes(np.random.default_rng(0))
    annotations, detections = [], []
    for seed in range(images):
        truth, found = generate(families, seed)
        for one in truth:
            area = RunLength.from_coco(one["segmentation"]).area
            more = {"id": len(annotations) + 1, "image_id": seed, "area": area}
            annotations.append(one | more | {"bbox": [0, 0, 0, 0]})
        detections += [one | {"image_id": seed} for one in found]
    coco = COCO()
    height, width = SIZE
    coco.dataset = {  # pyright: ignore[reportAttributeAccessIssue]
        "images": [{"id": s, "height": height, "width": width} for s in range(images)],
        "categories": [{"id": label} for label in range(CLASSES)],
        "annotations": annotations,
    }
    start = time.perf_counter()
    coco.createIndex()
    found = coco.loadRes(detections)  # pyright: ignore[reportArgumentType]
    run = COCOeval(coco, found, "segm")
    run.evaluate()
    run.accumulate()
    seconds = time.perf_counter() - start
    run.summarize()
    print(f"{images} images, {len(annotations)} objects, {len(detections)} detections")
    print(f"pycocotools {seconds:.1f} s")
    print([round(100 * float(value), 9) for value in run.stats])


def score_panoptic(images: int) -> None:
    """Read and score panoptic PNGs image by image; generating the data is not timed."""
    random = np.random.default_rng(0)
    families = draw_shapes(random)
    labels = {number: number % CLASSES for number in range(1, 30)}
    quality, seconds = PanopticQuality(LABELS), 0.0
    for _ in range(images):
        maps = np.zeros((2, *SIZE), np.int64)
        for number, place in enumerate(random.integers(len(families), size=12).tolist(), 1):
            for ids, mask in zip(maps, families[place], strict=False):
                ids[RunLength.from_coco(mask).to_mask()] = number
        files = [png(ids) for ids in maps]
        start = time.perf_counter()
        found, true = (decode_ids(np.asarray(Image.open(file).convert("RGB"))) for file in files)
        quality.update(found, labels, true, labels)
        seconds += time.perf_counter() - start
    print(f"{images} pairs of panoptic PNGs read and scored in {seconds:.1f} s, one process")
    print({name: round(value or 0, 6) for name, value in quality.compute().items()})


def png(ids: np.ndarray) -> io.BytesIO:
    """Encode an id map as a PNG of COCO panoptic."""
    file = io.BytesIO()
    Image.fromarray(encode_ids(ids)).save(file, "PNG")
    file.seek(0)
    return file


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else IMAGES)
