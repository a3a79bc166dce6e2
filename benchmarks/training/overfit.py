"""Overfit eight images with a small network: a test of network, losses and rules together.

    python -m benchmarks.training.overfit DATA OUT [--steps N]

DATA is COCO panoptic (`panoptic.json`, `panoptic/`, `images/`); its first eight images are
shrunk to 256 pixels and written to OUT. It prints the panoptic quality on the same eight images,
without segments under 64 pixels.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import numpy as np
from PIL import Image

from unimask.config import CriterionConfig, PreprocessingConfig
from unimask.datasets.objects.coco_panoptic import CocoPanoptic
from unimask.datasets.opening import open_dataset
from unimask.evaluation import evaluate_predictor
from unimask.formats.panoptic_png import encode_ids
from unimask.training import TrainingSettings, train
from unimask.training.settings import Augmentation

IMAGES, SIDE, LEAST_AREA = 8, 256, 64


def shrink(data: Path, target: Path) -> None:
    """Write the first images and their segments at the small size."""
    dataset = CocoPanoptic(data / "panoptic.json", data / "panoptic", data / "images")
    for folder in ("images", "panoptic"):
        (target / folder).mkdir(parents=True)
    images, annotations = [], []
    for index in range(IMAGES):
        sample = dataset[index]
        scale = SIDE / max(sample.size)
        size = (round(sample.size[1] * scale), round(sample.size[0] * scale))
        ids = np.asarray(Image.fromarray(sample.id_maps[0]).resize(size, Image.Resampling.NEAREST))
        small = Image.fromarray(sample.image).resize(size, Image.Resampling.BILINEAR)
        small.save(target / "images" / f"{index}.png")
        Image.fromarray(encode_ids(ids)).save(target / "panoptic" / f"{index}.png")
        images.append({"id": index, "file_name": f"{index}.png"})
        segments = [
            {
                "id": number,
                "category_id": int(sample.label_ids[number - 1]),
                "iscrowd": int(sample.crowds[number - 1]),
            }
            for number in np.unique(ids[ids > 0]).tolist()
        ]
        annotations.append(
            {"image_id": index, "file_name": f"{index}.png", "segments_info": segments}
        )
    categories = [
        {"id": index, "name": name, "isthing": int(thing)}
        for index, (name, thing) in enumerate(
            zip(dataset.labels.names, dataset.labels.is_thing, strict=True)
        )
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (target / "panoptic.json").write_text(json.dumps(content))


def settings(steps: int) -> TrainingSettings:
    """Return settings that overfit: no augmentation, no weight decay, padding in prediction too."""
    return TrainingSettings(
        steps=steps,
        batch_size=IMAGES,
        learning_rate=5e-4,
        weight_decay=0.0,
        clip_norm=0.5,
        warmup_steps=50,
        schedule="cosine",
        precision="bfloat16",
        ema_decay=0.98,
        workers=1,
        evaluate_every=steps // 4,
        preprocessing=PreprocessingConfig(shortest_edge=SIDE, longest_edge=SIDE, size_divisor=SIDE),
        augmentation=Augmentation(crop=SIDE, min_scale=1.0, max_scale=1.0, flip=False, colour=0.0),
        criterion=CriterionConfig(num_points=3072),
    )


def main() -> None:
    """Shrink, train, score."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    if not (arguments.out / "data" / "val").exists():
        shrink(arguments.data, arguments.out / "data" / "train")
        shutil.copytree(arguments.out / "data" / "train", arguments.out / "data" / "val")
    start = time.perf_counter()
    run = train(
        arguments.out / "data",
        "mask2former-nano",
        out=arguments.out / "run",
        settings=settings(arguments.steps),
        resume=(arguments.out / "run" / "state.pt").exists(),
        device="cpu",
    )
    minutes = (time.perf_counter() - start) / 60
    dataset = open_dataset(arguments.out / "data", "val")
    scores = evaluate_predictor(run.predictor, dataset, task="panoptic", min_area=LEAST_AREA)
    print(f"{arguments.steps} steps in {minutes:.0f} minutes")
    print(json.dumps({"least_area": LEAST_AREA, **scores["metrics"]}, indent=2))  # type: ignore[dict-item]


if __name__ == "__main__":
    main()
