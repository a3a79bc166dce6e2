"""Train Mask2Former by the example of `transformers` for some minutes, and write its results.

    python -m benchmarks.equal_minutes.transformers_peer DATA OUT TASK MINUTES all|confident

The architecture, image size, batch size, learning rate and schedule are those of the example; its
pretrained weights come from a hub, so the network starts from random weights here. `confident`
writes only the instances that its post-processing returns by default. Install
`benchmarks/requirements.txt` first.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from torch import nn
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation
from transformers.models.mask2former.image_processing_pil_mask2former import (
    Mask2FormerImageProcessorPil,
)

from benchmarks.equal_minutes.coco_rows import instance_row
from benchmarks.training.transformers_example import VOID, Images, Recipe, augmentation, train
from unimask.datasets import Dataset, open_dataset

SIDE, BATCH, RATE, DECAY = 384, 8, 5e-5, 0.01
"""Side of the images in pixels, images per step, learning rate and weight decay of the example."""

TRIAL = 3
"""Number of steps of the trial whose time gives the number of all steps; the first is not timed."""


def build(classes: int) -> nn.Module:
    """Return the network of the example, a Swin-T, with random weights."""
    torch.manual_seed(0)
    backbone = {"model_type": "swin", "out_features": ["stage1", "stage2", "stage3", "stage4"]}
    names = {label: str(label) for label in range(classes)}
    config = Mask2FormerConfig(id2label=names, backbone_config=backbone)
    return Mask2FormerForUniversalSegmentation(config)


def run(model: nn.Module, images: Images, steps: int) -> float:
    """Train with the example's linear schedule; return the seconds after the first step."""
    recipe = Recipe(
        steps=steps,
        batch=min(BATCH, len(images)),
        rate=RATE,
        share=lambda step: max(0.0, 1 - step / steps),
        decay=DECAY,
        clip=None,
        seed=0,
    )
    start = 0.0
    for done in train(model, images, recipe):
        if done == 1:
            start = time.perf_counter()
    return time.perf_counter() - start


@torch.no_grad()
def write_results(
    model: nn.Module,
    processor: Mask2FormerImageProcessorPil,
    dataset: Dataset,
    out: Path,
    task: str,
    options: dict[str, Any],
) -> None:
    """Write the example's own post-processing as label maps or COCO results."""
    model.eval()
    out.mkdir()
    rows = []
    for index, path in enumerate(dataset.paths):
        sample = dataset[index]
        inputs = processor(images=[sample.image], return_tensors="pt")
        output = model(pixel_values=inputs["pixel_values"])
        if task == "semantic":
            (found,) = processor.post_process_semantic_segmentation(output, [sample.size])
            Image.fromarray(found.numpy().astype(np.uint8)).save(out / f"{Path(path).stem}.png")
            continue
        (found,) = processor.post_process_instance_segmentation(
            output, target_sizes=[sample.size], return_binary_maps=True, **options
        )
        segments = found["segments_info"]
        masks = found["segmentation"] if segments else ()  # without segments a map of one layer
        for mask, segment in zip(masks, segments, strict=True):
            name, label = Path(path).name, segment["label_id"]
            rows.append(instance_row(name, label, segment["score"], mask.numpy()))
    if task != "semantic":
        (out / "results.json").write_text(json.dumps(rows))


def main(data: Path, out: Path, task: str, minutes: float, instances: str) -> None:
    """Train, and write results in the format of the task."""
    train_set, val_set = open_dataset(data, "train"), open_dataset(data, "val")
    side = {"height": SIDE, "width": SIDE}
    processor = Mask2FormerImageProcessorPil(size=side, ignore_index=VOID)
    images = Images(train_set, processor, augmentation(0))
    seconds = run(build(len(train_set.labels)), images, TRIAL) / (TRIAL - 1)
    steps = max(1, round(60 * minutes / seconds))
    model = build(len(train_set.labels))
    begin = time.perf_counter()
    run(model, images, steps)
    facts = {
        "minutes of training": round((time.perf_counter() - begin) / 60, 2),
        "steps": steps,
        "version": transformers.__version__,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    options = {"threshold": 0.0} if instances == "all" else {}
    write_results(model, processor, val_set, out / "results", task, options)
    (out / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), sys.argv[5])
