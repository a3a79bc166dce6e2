"""Compare images chosen by `unimask.select` with random ones, at equal numbers of labels.

    python -m benchmarks.training.active_selection DATA OUT [--seeds 0,1,2] [--start 12]
        [--add 12] [--rounds 2] [--steps 200] [--model mask2former-lite0] [--pool 0] [--size 192]

DATA is a dataset with `train` and `val` folders of label maps, such as CamVid. For each seed, a
network is trained on START random images. Then, in each round, ADD images of the rest of `train`
get their labels, either those that `select` chooses with the latest model, or random ones, and
training continues on all labelled images. Both arms take the same steps with the same settings.
POOL limits the images to choose from to as many random ones. After each round the main score of the
task on `val` is recorded. OUT gets the runs; `OUT/active_selection.json` and a plot summarise them.
"""

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import numpy as np

import unimask
from unimask.datasets import open_dataset
from unimask.datasets.interface import label_files
from unimask.formats.atomic import atomic_path
from unimask.training.run_folder import RunFolder

BATCH_SIZE = 4


@dataclass(frozen=True)
class Experiment:
    """Settings that both arms share.

    Attributes:
        data: Dataset folder with the splits `train` and `val`.
        out: Folder of the runs.
        model: Preset of the network.
        start: Number of random images in the first training.
        add: Number of images added in each round.
        rounds: Number of rounds.
        steps: Number of training steps before the first round, and after each.
        pool: Number of random training images to choose from; 0 for all.
        size: Side of the training crops in pixels.
    """

    data: Path
    out: Path
    model: str
    start: int
    add: int
    rounds: int
    steps: int
    pool: int
    size: int


def write_subset(data: Path, out: Path, indices: list[int]) -> Path:
    """Write a dataset that links some training images, and all validation images."""
    shutil.rmtree(out, ignore_errors=True)
    for split, chosen in (("train", indices), ("val", None)):
        dataset = open_dataset(data, split)
        (out / split / "images").mkdir(parents=True)
        (out / split / "masks").mkdir()
        for index in range(len(dataset)) if chosen is None else chosen:
            (labels,) = label_files(dataset, index)
            image = Path(dataset.paths[index])
            for path, kind in ((image, "images"), (labels, "masks")):
                (out / split / kind / path.name).symlink_to(path.resolve())
    return out


def train_and_score(experiment: Experiment, name: str, indices: list[int], model: str) -> dict:
    """Train on some images, or take the finished run, and score it on the validation images."""
    folder = experiment.out / name
    score_file = folder / "scores.json"
    if not score_file.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        subset = write_subset(experiment.data, experiment.out / f"{name}_data", indices)
        unimask.train(
            subset,
            model,
            out=folder,
            steps=experiment.steps,
            size=experiment.size,
            batch_size=BATCH_SIZE,
            device="cpu",
            quiet=True,
            seed=0,
            workers=0,
            evaluate_every=0,
        )
        last = RunFolder(folder).rows()[-1]
        score_file.write_text(json.dumps({last["metric"]: float(last["score"])}))
    return json.loads(score_file.read_text())


def choose(experiment: Experiment, arm: str, model: Path, labelled: list[int], seed: int) -> list:
    """Choose further training images by one arm's rule."""
    dataset = open_dataset(experiment.data, "train")
    order = np.random.default_rng(seed).permutation(len(dataset))
    pool = order[: experiment.start + (experiment.pool or len(order))].tolist()
    rest = [index for index in pool if index not in labelled]
    if arm == "random":
        order = np.random.default_rng([seed, len(labelled)]).permutation(rest)
        return order[: experiment.add].tolist()
    number_of = {Path(dataset.paths[index]): index for index in rest}
    subset = write_subset(experiment.data, experiment.out / f"labelled_{seed}", labelled)
    selection = unimask.select(
        list(number_of), model, experiment.add, labelled=subset / "train", device="cpu"
    )
    return [number_of[image.path] for image in selection.images]


def run_seed(experiment: Experiment, seed: int) -> dict[str, list[dict]]:
    """Run both arms from one random start; return the scores after each training."""
    count = len(open_dataset(experiment.data, "train"))
    start = np.random.default_rng(seed).permutation(count)[: experiment.start].tolist()
    first = train_and_score(experiment, f"{seed}_start", start, experiment.model)
    scores = {}
    for arm in ("random", "select"):
        labelled, model, rows = start, experiment.out / f"{seed}_start", [first]
        for number in range(1, experiment.rounds + 1):
            name = f"{seed}_{arm}_{number}"
            chosen = experiment.out / f"{name}_chosen.json"
            if not chosen.is_file():
                new = choose(experiment, arm, model / "weights" / "last", labelled, seed)
                chosen.write_text(json.dumps(new))
            labelled = [*labelled, *json.loads(chosen.read_text())]
            rows.append(
                train_and_score(experiment, name, labelled, str(model / "weights" / "last"))
            )
            model = experiment.out / name
        scores[arm] = rows
        print(seed, arm, [round(score_of(row), 1) for row in rows], flush=True)
    return scores


def score_of(row: dict[str, float]) -> float:
    """Return the only score of a training."""
    (score,) = row.values()
    return score


def plot(experiment: Experiment, results: dict[int, dict[str, list[dict]]], path: Path) -> None:
    """Plot the AP against the number of labelled images, each seed and the mean of each arm."""
    counts = [experiment.start + experiment.add * n for n in range(experiment.rounds + 1)]
    figure, axes = plt.subplots(figsize=(6, 4))
    for arm, colour in (("random", "#8a8a8a"), ("select", "#1b7f5c")):
        curves = [[score_of(row) for row in arms[arm]] for arms in results.values()]
        for curve in curves:
            axes.plot(counts, curve, color=colour, alpha=0.35, linewidth=1)
        axes.plot(counts, np.mean(curves, axis=0), "o-", color=colour, label=arm)
    axes.set_xlabel("labelled images")
    (metric,) = next(iter(results.values()))["random"][0]
    axes.set_ylabel(f"{metric} on the validation images")
    axes.set_xticks(counts)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run all seeds, and write their scores and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--model", default="mask2former-lite0")
    for name, value in (
        ("start", 12), ("add", 12), ("rounds", 2), ("steps", 200), ("pool", 0), ("size", 192)
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    options = vars(parser.parse_args())
    seeds = [int(text) for text in options.pop("seeds").split(",")]
    experiment = Experiment(**options)
    experiment.out.mkdir(parents=True, exist_ok=True)
    results = {seed: run_seed(experiment, seed) for seed in seeds}
    gains = [
        mean(
            score_of(arms["select"][number]) - score_of(arms["random"][number])
            for arms in results.values()
        )
        for number in range(1, experiment.rounds + 1)
    ]
    report = {
        "settings": {key: str(value) for key, value in options.items() if key != "out"},
        "scores": results,
        "mean_gain_of_select": gains,
    }
    with atomic_path(experiment.out / "active_selection.json") as path:
        path.write_text(json.dumps(report, indent=1))
    plot(experiment, results, experiment.out / "active_selection.png")
    print(json.dumps(gains))


if __name__ == "__main__":
    main()
