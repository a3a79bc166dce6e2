"""Train several systems on the same images for the same minutes; score them by one evaluator.

    python -m benchmarks.equal_minutes.run OUT camvid=DATA aerial=DATA carparts=DATA nuclei=DATA \
        [--minutes 10] [--systems pretrained,scratch,yolo,transformers] [--yolo PYTHON] \
        [--stardist PYTHON]

DATA is a dataset as its authors publish it; `benchmarks/splits` has the lists of images, except for
nuclei, whose folder has the splits `train` and `val`. Each system trains in its own process with
its own defaults, then writes its results for the validation images as files, which
`unimask.evaluate` scores. Where the metric ignores the scores of instances, the files hold those
that the system returns by default. PYTHON is the interpreter of an environment with `ultralytics`,
or with `stardist` and `tensorflow-cpu`, which need other packages than unimask. OUT gets
`equal_minutes.json`; a system that it contains is not trained again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import unimask
from benchmarks.equal_minutes.coco_rows import paint
from benchmarks.splits.write import write
from unimask.datasets import open_dataset
from unimask.formats.atomic import atomic_path
from unimask.metrics import MatchedPrecision


class Case(NamedTuple):
    """Task and metric of a dataset, and the format and the instances of other systems.

    `instances` is "all" if the metric ranks instances by their scores, and "confident" if it
    ignores scores, so that each system decides which instances it returns.
    """

    task: str
    metric: str
    form: str
    instances: str = "all"


CASES = {
    "camvid": Case("semantic", "mIoU", "semantic"),
    "aerial": Case("semantic", "mIoU", "semantic"),
    "carparts": Case("instance", "AP", "yolo"),
    "nuclei": Case("instance", "AP_match@0.50", "yolo", "confident"),
}

SYSTEMS = {
    "pretrained": "unimask, ImageNet weights",
    "scratch": "unimask, from scratch",
    "yolo": "Ultralytics nano, from scratch",
    "yolo256": "Ultralytics nano at 256 pixels, from scratch",
    "transformers": "transformers' example, from scratch",
    "stardist": "StarDist, from scratch",
}
"""Systems by name; one at 256 pixels, because that is the default of unimask on a CPU."""


def prepare(name: str, source: Path, out: Path) -> tuple[Path, Path]:
    """Write the fixed split, and the same images in the format that the others read."""
    data, form = out / name / "data", out / name / "converted"
    if not data.exists():
        if name == "nuclei":
            data.parent.mkdir(parents=True, exist_ok=True)
            data.symlink_to(source.resolve())
        else:
            write(name, source, data)
    if not form.exists():
        unimask.convert(data, form, to=CASES[name].form)
    return data, form


def command(system: str, name: str, paths: dict[str, Path], options: Any) -> list[str]:
    """Return the command that trains a system and writes its results."""
    case = CASES[name]
    data, form, out = (str(paths[key]) for key in ("data", "form", "out"))
    module = "benchmarks.equal_minutes."
    rest = [out, case.task, str(options.minutes)]
    if system in ("pretrained", "scratch"):
        return [sys.executable, "-m", module + "ours", data, *rest, system]
    if system == "transformers":
        return [sys.executable, "-m", module + "transformers_peer", data, *rest, case.instances]
    if system == "stardist":
        return [options.stardist, "-m", module + "stardist_peer", data, *rest]
    side = ["256"] if system == "yolo256" else []
    return [options.yolo, "-m", module + "yolo_peer", form, *rest, case.instances, *side]


def train(system: str, name: str, paths: dict[str, Path], options: Any) -> dict[str, Any]:
    """Train a system in a process of its own, and score its results."""
    shutil.rmtree(paths["out"], ignore_errors=True)
    paths["out"].mkdir(parents=True)
    start = time.perf_counter()
    with (paths["out"] / "log.txt").open("w") as log:
        subprocess.run(
            command(system, name, paths, options), stdout=log, stderr=log, check=True,
            env=os.environ | {"OMP_NUM_THREADS": "2"},
        )  # fmt: skip
    case = CASES[name]
    facts = json.loads((paths["out"] / "facts.json").read_text())
    return {
        "dataset": name,
        "images": len(open_dataset(paths["data"], "val")),
        "system": SYSTEMS[system],
        "metric": case.metric,
        "score": score(paths["data"], paths["out"], case),
        "minutes": options.minutes,
        "minutes with start and prediction": round((time.perf_counter() - start) / 60, 1),
        **facts,
    }


def score(data: Path, out: Path, case: Case) -> float:
    """Score the weights of a run of ours, or the result files of another system."""
    weights, files = out / "run" / "weights" / "last", out / "results"
    if case.instances == "confident" and not weights.exists():
        return score_confident(data, files / "results.json", case.metric)
    report: dict[str, Any]
    if weights.exists():
        report = unimask.evaluate(data, weights, task=case.task, device="cpu")
    elif case.task == "instance":
        results = files / "results.json"
        report = unimask.evaluate(data, results=results, categories="labels", task=case.task)
    else:
        report = unimask.evaluate(data, results=files, task=case.task)
    return report["metrics"][case.metric]


def score_confident(data: Path, results: Path, metric: str) -> float:
    """Score all instances of a result file, whatever their scores, by a metric without ranks."""
    found = defaultdict(list)
    for row in json.loads(results.read_text()):
        found[row["image_id"]].append(row)
    matched, dataset = MatchedPrecision(), open_dataset(data, "val")
    for index, path in enumerate(dataset.paths):
        sample = dataset[index]
        (ids,) = sample.id_maps
        things = np.flatnonzero(np.array(dataset.labels.is_thing)[sample.label_ids]) + 1
        truth = np.where(np.isin(ids, things), ids, 0)
        matched.update(paint(found[Path(path).name], sample.size), truth)
    return matched.compute()[metric] or 0.0


def table(rows: list[dict[str, Any]]) -> str:
    """Format the scores in Markdown, a line per dataset."""
    systems = [text for text in SYSTEMS.values() if any(row["system"] == text for row in rows)]
    lines = [" | ".join(["| dataset | metric", *systems]) + " |", "|---" * (len(systems) + 2) + "|"]
    for name, case in CASES.items():
        scores = {row["system"]: row["score"] for row in rows if row["dataset"] == name}
        if scores:
            cells = [f"{scores[text]:.1f}" if text in scores else "" for text in systems]
            lines.append(f"| {name} | {case.metric} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train and score all systems that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("data", nargs="+", help="NAME=FOLDER")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--systems", default="pretrained,scratch,yolo,transformers")
    parser.add_argument("--yolo", help="Python interpreter with ultralytics")
    parser.add_argument("--stardist", help="Python interpreter with stardist")
    options = parser.parse_args()
    saved = options.out / "equal_minutes.json"
    rows = json.loads(saved.read_text()) if saved.exists() else []
    done = {(row["dataset"], row["system"]) for row in rows}
    for name, source in (item.split("=", 1) for item in options.data):
        data, form = prepare(name, Path(source), options.out)
        for system in options.systems.split(","):
            if (name, SYSTEMS[system]) in done:
                continue
            paths = {"data": data, "form": form, "out": options.out / name / system}
            rows.append(train(system, name, paths, options))
            with atomic_path(saved) as path:
                path.write_text(json.dumps(rows, indent=2) + "\n")
            print(json.dumps(rows[-1]), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
