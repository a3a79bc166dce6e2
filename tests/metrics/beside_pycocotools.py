"""Random images of objects, and their scores by pycocotools."""

import contextlib
import io

import numpy as np

from unimask.formats.run_length import RunLength
from unimask.metrics import Objects

ImageArray = tuple[Objects, Objects]


def write_coco_objects(images: list[ImageArray], labels: int):
    """Return ground truth and detections as objects of pycocotools."""
    from pycocotools.coco import COCO

    truth, detections = [], []
    for image, (predicted, true) in enumerate(images, start=1):
        # pycocotools would take the areas of detections from their boxes.
        removed = {"bbox"} if predicted.masks else set()
        detections += [{k: e[k] for k in e.keys() - removed} for e in entries(predicted, image)]
        truth += [entry | {"id": len(truth) + i} for i, entry in enumerate(entries(true, image), 1)]
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i, "height": 0, "width": 0} for i in range(1, len(images) + 1)],
        "categories": [{"id": label} for label in range(labels)],
        "annotations": truth,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        return coco, coco.loadRes(detections) if detections else None


def entries(objects: Objects, image: int) -> list[dict]:
    """Return objects as COCO annotations."""
    rows = []
    for i in range(len(objects)):
        x0, y0, x1, y1 = objects.boxes[i].tolist()
        entry = {
            "image_id": image,
            "category_id": int(objects.label_ids[i]),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": float(objects.areas[i]),
            "score": float(objects.scores[i]),
            "iscrowd": int(objects.crowds[i]),
        }
        if objects.masks:
            coco = objects.masks[i].to_coco()
            entry["segmentation"] = coco | {"counts": coco["counts"].encode()}
        rows.append(entry)
    return rows


def their_scores(
    images, labels: int, kind: str = "segm", max_detections: tuple[int, ...] = (1, 10, 100)
):
    """Return pycocotools' precision (thresholds, recalls, classes, areas), and recall."""
    from pycocotools.cocoeval import COCOeval

    truth, detections = write_coco_objects(images, labels)
    if detections is None:
        return None
    run = COCOeval(truth, detections, kind)
    run.params.maxDets = list(max_detections)
    with contextlib.redirect_stdout(io.StringIO()):
        run.evaluate()
        run.accumulate()
    return run.eval["precision"][..., -1], run.eval["recall"]


def random_image(random: np.random.Generator, size=(24, 20), labels: int = 3) -> ImageArray:
    """Draw true blobs, some of them crowds, and more or less similar detections.

    Scores are coarse, so that many are equal; masks may be empty, or a single pixel.
    """
    truth = [blob(random, size) for _ in range(random.integers(0, 7))]
    true_labels = random.integers(0, labels, len(truth))
    detections, found_labels = [], []
    for mask, label in zip(truth, true_labels, strict=True):
        for _ in range(random.integers(0, 4)):
            moved = np.roll(mask, random.integers(-1, 2, 2), (0, 1))
            detections.append(moved ^ (random.random(size) < random.choice([0, 0, 0.02])))
            found_labels.append(label if random.random() < 0.8 else random.integers(labels))
    for _ in range(random.integers(0, 4)):
        detections.append(blob(random, size))
        found_labels.append(random.integers(labels))
    predicted = Objects.from_masks(
        [RunLength.from_mask(mask) for mask in detections],
        np.array(found_labels, np.int64),
        scores=random.integers(0, 6, len(detections)) / 5,
    )
    crowds = random.random(len(truth)) < 0.2
    # Annotated areas differ from pixel counts: COCO's are computed from polygons.
    areas = [mask.sum() * random.choice([1, 1.0, 4, 40, 200]) for mask in truth]
    true = Objects.from_masks(
        [RunLength.from_mask(mask) for mask in truth], true_labels, crowds=crowds, areas=areas
    )
    return predicted, true


def blob(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Draw a rectangle, a pixel, everything or nothing."""
    mask = np.zeros(size, bool)
    kind = random.random()
    y, x = random.integers(0, size[0]), random.integers(0, size[1])
    if kind < 0.05:
        mask[y, x] = True
    elif kind > 0.97:
        mask[:] = True
    elif kind > 0.08:
        mask[y : y + random.integers(2, 12), x : x + random.integers(2, 12)] = True
    return mask
