"""Compare settings of short trainings that start from a backbone pretrained on ImageNet.

    python -m benchmarks.training.light_trials OUT camvid=FOLDER aerial=FOLDER ... [--trials A,B]

Each FOLDER is a dataset with the fixed split of its name (`benchmarks/splits`). `light_trials.json`
beside this file holds the trials: the datasets, the model, and the options of `unimask.train` that
differ from the common ones, 300 steps of 4 crops of 256 pixels in float32. Car parts are trained
for instances, the others for their own task. OUT gets the runs; a
finished run is not repeated and an interrupted one is resumed. Scores are those of the last weights
on the validation images. `OUT/light_trials.json` lists the results, `OUT/light_trials.txt` shows
them as a table.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import unimask
from unimask.config import CriterionConfig
from unimask.datasets.transforms import Augmentation
from unimask.formats.atomic import atomic_path
from unimask.training.run_folder import RunFolder

TRIALS = Path(__file__).with_suffix(".json")

COMMON = {
    "steps": 300,
    "size": 256,
    "batch_size": 4,
    "precision": "float32",
    "workers": 1,
    "evaluate_every": 0,
    "device": "cpu",
    "quiet": True,
}


TASKS = {"carparts": "instance", "nuclei": "instance"}
"""Tasks that differ from the most general one that the labels allow."""


def options_of(trial: dict[str, Any], data: str) -> dict[str, Any]:
    """Return the options of a trial; `num_points` is the number of points of the default losses."""
    options = COMMON | {"task": TASKS.get(data)} | trial.get("options", {})
    if "augmentation" in options:
        options["augmentation"] = Augmentation(crop=options["size"], **options["augmentation"])
    points = options.pop("num_points", None)
    if points is not None:
        options["criterion"] = CriterionConfig(num_points=points)
    return options


def run(name: str, trial: dict[str, Any], dataset: tuple[str, Path], out: Path) -> dict[str, Any]:
    """Run or resume a trial on a dataset, and return its row of the results."""
    data_name, data = dataset
    folder = out / f"{name.replace(' ', '_')}_{data_name}"
    rows = RunFolder(folder).rows() if folder.is_dir() else []
    options = options_of(trial, data_name)
    if not rows or int(rows[-1]["step"]) < options["steps"] or not rows[-1]["score"]:
        if (folder / "state.pt").is_file():
            unimask.train(out=folder, resume=True, quiet=True)
        else:
            unimask.train(data, trial["model"], out=folder, **options)
        rows = RunFolder(folder).rows()
    last = rows[-1]
    return {
        "trial": name,
        "data": data_name,
        "model": trial["model"],
        "options": trial.get("options", {}),
        "metric": last["metric"],
        "score": round(float(last["score"]), 1),
        "loss": round(float(last["loss"]), 2),
    }


def show(results: list[dict[str, Any]]) -> Table:
    """Return the results as a table with one row per trial and one column per dataset."""
    names = list(dict.fromkeys(row["data"] for row in results))
    table = Table("trial", *(f"{name} ({metric_of(results, name)})" for name in names), box=None)
    for trial in dict.fromkeys(row["trial"] for row in results):
        scores = {row["data"]: f"{row['score']:.1f}" for row in results if row["trial"] == trial}
        table.add_row(trial, *(scores.get(name, "") for name in names))
    return table


def metric_of(results: list[dict[str, Any]], name: str) -> str:
    """Return the metric of a dataset."""
    return next(row["metric"] for row in results if row["data"] == name)


def main() -> None:
    """Run the trials, and write their results after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("out", type=Path)
    parser.add_argument("data", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--trials", default="", help="names of some trials; all by default")
    options = parser.parse_args()
    folders = dict(pair.split("=", 1) for pair in options.data)
    trials = json.loads(TRIALS.read_text())
    chosen = options.trials.split(",") if options.trials else list(trials)
    options.out.mkdir(parents=True, exist_ok=True)
    saved = options.out / "light_trials.json"
    results = json.loads(saved.read_text()) if saved.is_file() else []
    for trial in chosen:
        for name in trials[trial]["data"]:
            if name not in folders:
                continue
            row = run(trial, trials[trial], (name, Path(folders[name])), options.out)
            print(json.dumps(row), flush=True)
            results = [r for r in results if (r["trial"], r["data"]) != (trial, name)] + [row]
            with atomic_path(saved) as path:
                path.write_text(json.dumps(results, indent=1) + "\n")
    with (options.out / "light_trials.txt").open("w") as stream:
        Console(file=stream, width=100).print(show(results))


if __name__ == "__main__":
    main()
