"""Train an Ultralytics nano network for some minutes with its defaults, and write its results.

    PYTHON benchmarks/equal_minutes/yolo_peer.py DATA OUT TASK MINUTES

It runs in an environment with `ultralytics` and without unimask. DATA has the YOLO layout for
instances, and `SPLIT/images` and `SPLIT/masks` with `classes.json` for semantic segmentation. The
network is built from the package's configuration file, without pretrained weights.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import ultralytics  # pyright: ignore[reportMissingImports]
from PIL import Image
from pycocotools import mask as run_length
from ultralytics import YOLO  # pyright: ignore[reportMissingImports]

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


def write_maps(model: YOLO, images: Path, out: Path) -> None:
    """Write a label map per image."""
    out.mkdir()
    for path in sorted(images.iterdir()):
        found = model.predict(str(path), verbose=False)[0]
        values = found.semantic_mask.data.cpu().numpy().astype(np.uint8)
        Image.fromarray(values.squeeze()).save(out / f"{path.stem}.png")


def write_instances(model: YOLO, images: Path, out: Path) -> None:
    """Write all instances as COCO results, with file names as image ids."""
    out.mkdir()
    rows = []
    for path in sorted(images.iterdir()):
        found = model.predict(str(path), conf=MIN_SCORE, retina_masks=True, verbose=False)[0]
        if found.masks is None:
            continue
        for mask, score, label in zip(
            found.masks.data.cpu().numpy(), found.boxes.conf, found.boxes.cls, strict=True
        ):
            rle = run_length.encode(np.asfortranarray(mask.astype(np.uint8)))
            rows.append(
                {
                    "image_id": path.name,
                    "category_id": int(label),
                    "score": float(score),
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},  # pyright: ignore
                }
            )
    (out / "results.json").write_text(json.dumps(rows))


def main(data: Path, out: Path, task: str, minutes: float) -> None:
    """Train, and write results in the format of the task."""
    is_semantic = task == "semantic"
    described = semantic_data(data, out / "data") if is_semantic else next(data.glob("*.yaml"))
    model = YOLO("yolo26n-sem.yaml" if is_semantic else "yolo26n-seg.yaml")
    begin = time.perf_counter()
    model.train(
        data=str(described.resolve()), time=minutes / 60, device="cpu", project=str(out.resolve())
    )
    facts = {
        "minutes of training": round((time.perf_counter() - begin) / 60, 2),
        "version": ultralytics.__version__,
        "parameters": sum(p.numel() for p in model.model.parameters()),
    }
    weights = next(out.rglob("best.pt"))
    trained = YOLO(weights)
    if is_semantic:
        write_maps(trained, data / "val" / "images", out / "results")
    else:
        write_instances(trained, data / "images" / "val", out / "results")
    (out / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
