"""Measure the share of pixels that get the same class in bfloat16 and in float32.

    python -m benchmarks.half_precision IMAGES [--model nuclei] [--task semantic] [--json FILE]

IMAGES is a folder or a glob pattern. For every task, the class of each pixel is compared; instance
ids are ignored. Exits with 1 if fewer than 99.5 % of all pixels are equal.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median

import numpy as np
from rich.progress import track

import unimask
from unimask.processing.images import list_images
from unimask.profiling.machine import describe_machine
from unimask.results import Result

LEAST = 99.5


def label_map(result: Result) -> np.ndarray:
    """Return the class of every pixel, or -1 where there is none."""
    if result.task == "semantic":
        return result.segmentation
    labels = {segment.id: segment.label_id for segment in result.segments}
    table = np.full(max(labels, default=0) + 1, -1)
    for number, label in labels.items():
        table[number] = label
    return table[result.segmentation]


def main() -> int:
    """Compare all images, print the shares, and return 1 if they are below the limit."""
    parser = argparse.ArgumentParser(description="Measure the agreement of bfloat16 with float32.")
    parser.add_argument("images", type=Path, help="folder of images, or a glob pattern")
    parser.add_argument("--model", default="nuclei", help="any model that `unimask.load` accepts")
    parser.add_argument("--task", default="semantic", help="semantic, instance or panoptic")
    parser.add_argument("--json", type=Path, help="output file for the shares")
    arguments = parser.parse_args()
    exact = unimask.load(arguments.model)
    half = unimask.load(arguments.model, dtype="bfloat16")
    shares, pixels, counts = {}, [], ([], [])
    for path in track(list_images(arguments.images), description="comparing", transient=True):
        results = [model.predict(path, arguments.task) for model in (exact, half)]
        same = label_map(results[0]) == label_map(results[1])
        shares[path.name] = 100 * float(same.mean())
        pixels.append(same.size)
        for count, result in zip(counts, results, strict=True):
            count.append(len(result.segments))
    values = list(shares.values())
    report = {
        "model": arguments.model,
        "task": arguments.task,
        "images": len(values),
        "of_all_pixels": float(np.average(values, weights=pixels)),
        "median_image": median(values),
        "worst_image": min(values),
        "images_below": sum(value < LEAST for value in values),
        "segments_float32": sum(counts[0]),
        "segments_bfloat16": sum(counts[1]),
        "machine": describe_machine(exact.device),
    }
    for name, value in report.items():
        print(f"{name:18} {value:.3f}" if isinstance(value, float) else f"{name:18} {value}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({**report, "per_image": shares}, indent=1) + "\n")
    return int(report["of_all_pixels"] < LEAST)


if __name__ == "__main__":
    sys.exit(main())
