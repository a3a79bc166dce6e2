"""Measure what test-time augmentation gains and costs.

    python -m benchmarks.test_time_augmentation NUCLEI TOWN [--limit N] [--views N]

NUCLEI is the dataset that the model `nuclei` is scored on, TOWN one of rendered scenes
(`python -m recipes.rendered_town TOWN --train 1 --val 80 --size 512 --seed 0`). For each model and
task, every image is predicted once without augmentation and once with each choice of views, one
after the other. Gains are differences of scores in percent, with 95 % intervals of a paired
bootstrap over images; costs are the median quotient of the times of an image.
"""

import argparse
import time
from pathlib import Path
from statistics import median

import torch

import unimask
from unimask.datasets import open_dataset
from unimask.datasets.windows import set_window
from unimask.evaluation.bootstrap import paired_bootstrap
from unimask.evaluation.pooling import build_pool
from unimask.evaluation.result_providers import Predictions
from unimask.evaluation.scorers import Scorer, build_scorer
from unimask.inference.augmentation import Augmentations
from unimask.profiling.machine import describe_machine

SCORES = {
    "semantic": ("mIoU",),
    "instance": ("AP", "AP_match@0.50"),
    "panoptic": ("PQ",),
}
VIEWS: dict[str, tuple[tuple[str, Augmentations], ...]] = {
    "semantic": (
        ("the authors' sizes, mirrored (default)", Augmentations()),
        ("mirrored", Augmentations((1.0,))),
    ),
    "instance": (
        ("mirrored (default)", Augmentations()),
        ("0.75, 1 and 1.25, mirrored", Augmentations((0.75, 1.0, 1.25))),
    ),
}
VIEWS["panoptic"] = VIEWS["instance"]
RESAMPLES = 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nuclei", type=Path)
    parser.add_argument("town", type=Path)
    parser.add_argument("--limit", type=int, default=10**6, help="largest number of images")
    parser.add_argument("--tasks", nargs="+", choices=SCORES, default=list(SCORES))
    parser.add_argument("--views", type=int, default=2, help="number of choices of views per task")
    arguments = parser.parse_args()
    print(describe_machine(torch.device("cpu")))
    for name, data in (("nuclei", arguments.nuclei), ("rendered-town", arguments.town)):
        for task in arguments.tasks:
            measure(name, data, task, arguments.limit, arguments.views)


def measure(name: str, data: Path, task: str, limit: int, num_choices: int) -> None:
    """Measure a model on a task, and print one line for each of the first choices of views."""
    model = unimask.load(name)
    dataset = open_dataset(data, "val")
    set_window(dataset, model.description.preprocessing.window)
    choices = (("none", False), *VIEWS[task][:num_choices])
    providers = [Predictions(model, dataset, task) for _ in choices]
    for provider, (_, views) in zip(providers, choices, strict=True):
        provider.tta = views
    count = min(limit, len(dataset))
    parts: list[list[Scorer]] = [[] for _ in choices]
    times: list[list[float]] = [[] for _ in choices]
    for index in range(count):
        sample = dataset[index]
        for number, provider in enumerate(providers):
            start = time.perf_counter()
            result = provider.result(index, sample)
            times[number].append(time.perf_counter() - start)
            scorer = build_scorer(provider.task, provider.labels)
            scorer.add(result, sample)
            parts[number].append(scorer)
    plain = build_pool(parts[0])
    print(f"\n{name}, {task}, {count} images: {median(times[0]):.2f} s per image without")
    for number, (views, _) in enumerate(choices[1:], start=1):
        differences = paired_bootstrap(plain, build_pool(parts[number]), count, resamples=RESAMPLES)
        ratio = median(b / a for a, b in zip(times[0], times[number], strict=True))
        texts = []
        for score in SCORES[task]:
            item = differences[score]
            texts.append(
                f"{score} {item.first:.2f} -> {item.second:.2f} ({item.change:+.2f}, "
                f"{item.low:+.2f} to {item.high:+.2f})"
            )
        print(f"  {views}: {'; '.join(texts)}; time x {ratio:.1f}", flush=True)


if __name__ == "__main__":
    main()
