"""Train an Ultralytics nano network for some minutes with its defaults, and write its results.

    PYTHON -m benchmarks.equal_minutes.yolo_peer DATA OUT TASK MINUTES all|confident [SIDE]

It runs in an environment with `ultralytics` and without unimask. DATA has the YOLO layout for
instances, and `SPLIT/images` and `SPLIT/masks` with `classes.json` for semantic segmentation. The
network is built from the package's configuration file, without pretrained weights. `confident`
writes only the instances that the package returns by default. SIDE is the size of images in pixels
in training and prediction.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import ultralytics  # pyright: ignore[reportMissingImports]
from PIL import Image
from ultralytics import YOLO  # pyright: ignore[reportMissingImports]

from benchmarks.equal_minutes.coco_rows import instance_row

SIDE = 640
"""Default size of images of the package in pixels."""

MIN_SCORE = 0.001
"""Minimum score of an instance, as in the package's own validation."""


def semantic_data(data: Path, out: Path) -> Path:
    """Link images and masks in the layout that the package reads, and write its description."""
    classes = json.loads((data / "classes.json").read_text())["classes"]
    names = dict(enumerate(row["name"] for row in classes))
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            target = out / kind / split
            target.parent.mkdir(parents=True, exist_ok=True)
            os.symlink((data / split / kind).resolve(), target)
    lines = [f"path: {out.resolve()}", "train: images/train", "val: images/val"]
    lines += ["masks_dir: masks", "names:", *(f"  {id}: {name}" for id, name in names.items())]
    path = out / "data.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_maps(model: YOLO, images: Path, out: Path, side: int) -> None:
    """Write a label map per image."""
    out.mkdir()
    for path in sorted(images.iterdir()):
        found = model.predict(str(path), imgsz=side, verbose=False)[0]
        values = found.semantic_mask.data.cpu().numpy().astype(np.uint8)
        Image.fromarray(values.squeeze()).save(out / f"{path.stem}.png")


def write_instances(model: YOLO, images: Path, out: Path, options: dict[str, Any]) -> None:
    """Write instances as COCO results, with file names as image ids."""
    out.mkdir()
    rows = []
    for path in sorted(images.iterdir()):
        found = model.predict(str(path), retina_masks=True, verbose=False, **options)[0]
        if found.masks is None:
            continue
        for mask, score, label in zip(
            found.masks.data.cpu().numpy(), found.boxes.conf, found.boxes.cls, strict=True
        ):
            rows.append(instance_row(path.name, int(label), float(score), mask))
    (out / "results.json").write_text(json.dumps(rows))


def main(data: Path, out: Path, task: str, minutes: float, instances: str, side: int) -> None:
    """Train, and write results in the format of the task."""
    is_semantic = task == "semantic"
    described = semantic_data(data, out / "data") if is_semantic else next(data.glob("*.yaml"))
    model = YOLO("yolo26n-sem.yaml" if is_semantic else "yolo26n-seg.yaml")
    options = {"time": minutes / 60, "imgsz": side, "device": "cpu", "project": str(out.resolve())}
    begin = time.perf_counter()
    model.train(data=str(described.resolve()), **options)
    facts = {
        "minutes of training": round((time.perf_counter() - begin) / 60, 2),
        "side": side,
        "version": ultralytics.__version__,
        "parameters": sum(p.numel() for p in model.model.parameters()),
    }
    trained = YOLO(next(out.rglob("best.pt")))
    if is_semantic:
        write_maps(trained, data / "val" / "images", out / "results", side)
    else:
        confidence = {"conf": MIN_SCORE} if instances == "all" else {}
        images = data / "images" / "val"
        write_instances(trained, images, out / "results", {"imgsz": side, **confidence})
    (out / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    side = int(arguments[5]) if len(arguments) > 5 else SIDE
    main(
        Path(arguments[0]),
        Path(arguments[1]),
        arguments[2],
        float(arguments[3]),
        arguments[4],
        side,
    )
