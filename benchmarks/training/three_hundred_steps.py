"""Train 300 steps with default settings on datasets as published; report losses and mIoU.

    python -m benchmarks.training.three_hundred_steps DATA... --out OUT \
        [--models nuclei,mask2former-nano]

Each DATA is a labelled folder as its authors publish it. For each of them and each model, OUT gets
a run of `unimask train DATA --model M --steps 300 --size 256`; an existing run is resumed, or only
scored. `OUT/three_hundred_steps.json` gets for each the losses of the first step, their mean in the
last log line, the mIoU of the last weights on the validation images, and that of predicting the
most frequent class everywhere. It prints a table.
"""

import argparse
import json
import time
from pathlib import Path

import unimask
from unimask.datasets import open_dataset
from unimask.evaluation.evaluate import score
from unimask.evaluation.result_providers import Predictions
from unimask.evaluation.scorers import SemanticScorer
from unimask.formats.atomic import atomic_path
from unimask.training import train
from unimask.training.run_folder import RunFolder

LOSSES = ("class", "mask", "dice")

FALL, RISE = 0.7, 1.5
"""Targets: losses at most this fraction of the first, mIoU this multiple of the baseline."""


def run_one(data: Path, model: str, out: Path, steps: int, size: int) -> dict[str, object]:
    """Train on one folder, or resume a started run, and score it."""
    folder = out / f"{data.name}_{model}".replace(" ", "_")
    started = (folder / "state.pt").is_file()
    start = time.perf_counter()
    if started:
        train(data, model, out=folder, resume=True, device="cpu")
    else:
        train(data, model, out=folder, device="cpu", steps=steps, size=size)
    minutes = (time.perf_counter() - start) / 60
    rows = RunFolder(folder).rows()
    first, last = rows[0], rows[-1]
    seconds = [float(row["seconds_per_step"]) for row in rows[1:]]
    return {
        "data": data.name,
        "model": model,
        "steps": int(last["step"]),
        "first": {name: float(first[name]) for name in LOSSES},
        "last": {name: float(last[name]) for name in LOSSES},
        "last_line_sums_up": int(last["step"]) - int(rows[-2]["step"]),
        "seconds_per_step": round(sorted(seconds)[len(seconds) // 2], 2),
        "minutes": None if started else round(minutes, 1),
        **score_weights(data, folder / "weights" / "last"),
    }


def score_weights(data: Path, weights: Path) -> dict[str, object]:
    """Score weights as semantic segmentation, and the most frequent class as baseline."""
    predictor, dataset = unimask.load(weights, device="cpu"), open_dataset(data, "val")
    answers = Predictions(predictor, dataset, "semantic")
    scorer = SemanticScorer(answers.labels)
    scores: dict[str, float | None] = score(answers, scorer, None, None)["metrics"]  # type: ignore[assignment]
    majority = scorer.iou.most_frequent_class() or ("", 100.0)
    return {
        "images": len(dataset),
        "mIoU": scores["mIoU"],
        "pACC": scores["pACC"],
        "commonest": majority[0],
        "mIoU_of_commonest": majority[1],
    }


def is_met(row: dict) -> bool:
    """Return whether losses and mIoU reach the targets."""
    has_fallen = all(row["last"][name] <= FALL * row["first"][name] for name in ("class", "mask"))
    return has_fallen and row["mIoU"] >= RISE * row["mIoU_of_commonest"]


def table(rows: list[dict]) -> str:
    """Format results in Markdown."""
    lines = [
        "| data | initial weights | class loss | mask loss | mIoU | "
        "mIoU of the most frequent class | s/step |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        losses = [f"{row['first'][n]:.2f} to {row['last'][n]:.2f}" for n in ("class", "mask")]
        lines.append(
            f"| {row['data']} | `{row['model']}` | {losses[0]} | {losses[1]} | {row['mIoU']:.1f} | "
            f"{row['mIoU_of_commonest']:.1f} ({row['commonest']}) | {row['seconds_per_step']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all, write and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", default="nuclei,mask2former-nano")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--size", type=int, default=256)
    arguments = parser.parse_args()
    rows = []
    for data in arguments.data:
        for model in arguments.models.split(","):
            rows.append(run_one(data, model, arguments.out, arguments.steps, arguments.size))
            with atomic_path(arguments.out / "three_hundred_steps.json") as path:
                path.write_text(json.dumps(rows, indent=2) + "\n")
    print(table(rows))
    missed = [f"{row['data']} from {row['model']}" for row in rows if not is_met(row)]
    print(f"missed: {', '.join(missed)}" if missed else "all bars are met")


if __name__ == "__main__":
    main()
