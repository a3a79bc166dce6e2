"""Train one network with unimask and with `transformers`, and evaluate both in the same way.

    python -m benchmarks.training.beside_transformers OUT [--seeds 3] [--steps 1500] [--data FOLDER]

All start from the same weights and take as many steps of as many images, with the same peak
rate and number of points. Ours is `unimask.train` with its defaults; beside it the example of
`transformers` (`transformers_example.py`) with our schedule, decay and clipping, and once more
with its own. Each run is evaluated at every sixth of its last third, on the validation images at
their own size. Without `--data` the images are rendered (`shapes.py`). A case that OUT has is not
run again. `beside_report.py` makes the table and the plot. Install `benchmarks/requirements.txt`
first.
"""

import argparse
import csv
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import unimask
from benchmarks.peers.networks import silence_logs
from benchmarks.training import transformers_example as example
from benchmarks.training.shapes import write_shapes
from benchmarks.training.start import POINTS, SIDE, shared_settings, write_start
from unimask.checkpoints import Checkpoint, read_huggingface, write_huggingface
from unimask.datasets import Dataset, open_dataset
from unimask.evaluation import evaluate_predictor
from unimask.formats.atomic import atomic_path
from unimask.inference import Predictor
from unimask.training import train
from unimask.training.schedule import rate_at

Scores = dict[str, Any]


def quality(predictor: Predictor, dataset: Dataset) -> Scores:
    """Score the predictions of our predictor."""
    return evaluate_predictor(predictor, dataset, task="panoptic")["metrics"]  # type: ignore[return-value]


def evaluation_steps(steps: int) -> list[int]:
    """Return the steps after which a run is evaluated: each sixth of it, in the last third."""
    return [steps // 6 * part for part in (4, 5)] + [steps]


def run_ours(data: Path, start: Path, folder: Path, steps: int, seed: int) -> Scores:
    """Train with unimask; finally evaluate with the example's rules too, and without averaging."""
    settings = shared_settings(steps, seed)
    same = ("steps", "batch_size", "learning_rate", "backbone_rate", "warmup_steps", "seed")
    run = train(
        data,
        str(start),
        out=folder,
        resume=(folder / "state.pt").is_file(),
        device="cpu",
        quiet=True,
        precision="float32",  # as theirs
        workers=0,
        evaluate_every=steps // 6,
        criterion=settings.criterion,
        **{name: getattr(settings, name) for name in same},
    )
    with (run.folder / "metrics.csv").open() as stream:
        found = {int(row["step"]): row["score"] for row in csv.DictReader(stream) if row["score"]}
    dataset, weights = open_dataset(data, "val"), run.folder / "weights" / "last"
    averaged = read_huggingface(weights)
    state = torch.load(folder / "state.pt", weights_only=True)["network"]
    return {
        "evaluated": [float(found[step]) for step in evaluation_steps(steps)],
        "end": {
            "our rules": quality(unimask.load(weights, device="cpu"), dataset),
            "their rules": example.evaluate(*theirs_of(weights), dataset),
            "our rules, weights of the last step": quality(
                predictor_of(replace(averaged, state=state)), dataset
            ),
        },
    }


def predictor_of(checkpoint: Checkpoint) -> Predictor:
    """Load a predictor from any supported folder."""
    with tempfile.TemporaryDirectory() as folder:
        write_huggingface(Path(folder), checkpoint)
        return unimask.load(folder, device="cpu")


def theirs_of(folder: Path) -> tuple[nn.Module, Any]:
    """Load network and processor of `transformers`."""
    return example.read(folder, SIDE, POINTS)


def run_theirs(data: Path, start: Path, steps: int, seed: int, *, own: bool) -> Scores:
    """Train as the example does; evaluate by its rules and by ours.

    Args:
        data: Folder of the dataset.
        start: Folder of the initial weights.
        steps: Number of updates.
        seed: Seed of the order of images and of their augmentation.
        own: Whether to use the example's optimiser and schedule in place of ours.
    """
    settings = shared_settings(steps, seed)
    recipe = example.Recipe(
        steps=steps,
        batch=settings.batch_size,
        rate=settings.learning_rate,
        share=(lambda step: 1 - step / steps) if own else (lambda step: rate_at(step, settings)),
        decay=0.01 if own else settings.weight_decay,
        clip=None if own else settings.clip_norm,
        seed=seed,
    )
    train_dataset, val_dataset = open_dataset(data, "train"), open_dataset(data, "val")
    model, processor = theirs_of(start)
    images = example.Images(train_dataset, processor, example.augmentation(seed))
    by_theirs, by_ours = [], []
    for step in example.train(model, images, recipe):
        if step in evaluation_steps(steps):
            by_theirs.append(example.evaluate(model, processor, val_dataset))
            by_ours.append(quality(predictor_with(model, start), val_dataset))
    return {
        "evaluated": [scores["PQ"] for scores in by_theirs],
        "evaluated by our rules": [scores["PQ"] for scores in by_ours],
        "end": {"our rules": by_ours[-1], "their rules": by_theirs[-1]},
    }


def predictor_with(model: nn.Module, start: Path) -> Predictor:
    """Return our predictor with the weights of `transformers`."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)  # pyright: ignore[reportCallIssue]
        for name in ("config.json", "preprocessor_config.json"):
            shutil.copy(start / name, folder)
        return unimask.load(folder, device="cpu")


def main() -> None:
    """Run the missing cases, seed by seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    silence_logs()
    data = arguments.data or arguments.out / "data"
    if arguments.data is None:
        write_shapes(data)
    labels = open_dataset(data, "train").labels
    cases = [
        (name, seed) for seed in range(arguments.seeds) for name in ("unimask", "transformers")
    ]
    for name, seed in [*cases, *(("example", seed) for seed in range(arguments.seeds))]:
        start = arguments.out / f"start-{seed}"
        write_start(start, labels, seed)
        if name == "unimask":
            run = partial(
                run_ours, data, start, arguments.out / f"run-{seed}", arguments.steps, seed
            )
        else:
            run = partial(run_theirs, data, start, arguments.steps, seed, own=name == "example")
        save(arguments.out / f"{name}-{seed}.json", run)


def save(path: Path, run: Callable[[], Scores]) -> None:
    """Run a case and write its scores, unless they exist."""
    if path.is_file():
        return
    began = time.process_time()
    scores = run()
    scores["processor_s"] = round(time.process_time() - began, 1)
    with atomic_path(path) as file:
        file.write_text(json.dumps(scores, indent=2) + "\n")
    print(path.stem, scores["evaluated"], f"{scores['processor_s']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
