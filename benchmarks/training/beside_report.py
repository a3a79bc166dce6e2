"""Write the table and the plot of the results of `beside_transformers.py`.

    python -m benchmarks.training.beside_report OUT

Saves the scores to `benchmarks/results/training_beside_transformers.json`, plots
`docs/images/training_beside_transformers.png`, and writes the table of docs/training.md. Without
OUT it uses the saved scores.
"""

import json
import sys
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt

from benchmarks.marked_tables import replace_table

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "training.md"
SAVED = ROOT / "benchmarks" / "results" / "training_beside_transformers.json"
IMAGE = ROOT / "docs" / "images" / "training_beside_transformers.png"

LINES = {
    "unimask": ("unimask", "evaluated", "#1b7f5c", "-"),
    "transformers, our optimizer settings": ("transformers", "evaluated", "#c2571a", "-"),
    "the same weights, our post-processing": (
        "transformers",
        "evaluated by our rules",
        "#c2571a",
        ":",
    ),
    "transformers, the example's optimizer settings": ("example", "evaluated", "#8a8a8a", "-"),
    "those weights, our post-processing": ("example", "evaluated by our rules", "#8a8a8a", ":"),
}
"""Lines of the table: runs, scores, colour and dashes."""

FINAL_SCORES = (
    ("unimask", "our rules", "averaged weights, our post-processing"),
    (
        "unimask",
        "our rules, weights of the last step",
        "weights of the last step, our post-processing",
    ),
    ("unimask", "their rules", "averaged weights, post-processing of transformers"),
    ("transformers", "our rules", "our optimizer settings, our post-processing"),
    ("transformers", "their rules", "our optimizer settings, its own post-processing"),
    ("example", "our rules", "the example's optimizer settings, our post-processing"),
    ("example", "their rules", "the example's optimizer settings, its own post-processing"),
)
NAME, NONE = "beside transformers", "Not measured yet."
METRICS = ("PQ", "SQ", "RQ", "PQ_things", "PQ_stuff")


def gather(out: Path) -> dict[str, list[dict]]:
    """Read all finished runs, by system, in the order of their seeds."""
    names = sorted({system for system, *_ in LINES.values()})
    return {
        name: [json.loads(path.read_text()) for path in sorted(out.glob(f"{name}-*.json"))]
        for name in names
    }


def table(found: dict[str, list[dict]]) -> str:
    """Format the quality at each evaluated step, averaged over seeds, and over the last third."""
    if not any(found.values()):
        return NONE
    lines = [
        "| PQ | after 4/6 | after 5/6 | at the end | mean | mean of each seed |",
        "|---|---|---|---|---|---|",
    ]
    for name, (system, scores_name, *_) in LINES.items():
        runs = [run[scores_name] for run in found.get(system, ())]
        if runs:
            steps = [f"{mean(scores):.1f}" for scores in zip(*runs, strict=True)]
            each = ", ".join(f"{mean(run):.1f}" for run in runs)
            whole = mean(mean(run) for run in runs)
            lines.append(f"| {name} | {' | '.join(steps)} | **{whole:.1f}** | {each} |")
    lines += [
        "",
        f"| scores at the end | {' | '.join(METRICS)} |",
        "|---" * (1 + len(METRICS)) + "|",
    ]
    for system, scores_name, name in FINAL_SCORES:
        runs = [run["end"][scores_name] for run in found.get(system, ())]
        if runs:
            values = (mean(run[metric] or 0.0 for run in runs) for metric in METRICS)
            title = f"{'unimask' if system == 'unimask' else 'transformers'}: {name}"
            lines.append(f"| {title} | {' | '.join(f'{value:.1f}' for value in values)} |")
    return "\n".join(lines)


def read_saved_scores() -> dict[str, list[dict]]:
    """Read the saved scores; empty before the first measurement."""
    return json.loads(SAVED.read_text()) if SAVED.is_file() else {}


def draw(found: dict[str, list[dict]]) -> None:
    """Plot the mean of the seeds at each evaluated step, and each seed as a dot."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for name, (system, scores_name, colour, dashes) in LINES.items():
        runs = [run[scores_name] for run in found.get(system, ())]
        if not runs:
            continue
        shares = [4 / 6, 5 / 6, 1][: len(runs[0])]
        means = [mean(scores) for scores in zip(*runs, strict=True)]
        axes.plot(shares, means, color=colour, linestyle=dashes, label=name)
        for run in runs:
            axes.plot(shares, run, "o", color=colour, markersize=3, alpha=0.5)
    axes.set(xlabel="share of the run", ylabel="PQ on the validation images", ylim=(0, None))
    axes.legend(fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(IMAGE, dpi=130)


def main() -> None:
    """Save the scores, plot them, and write the table."""
    if len(sys.argv) > 1:
        SAVED.write_text(json.dumps(gather(Path(sys.argv[1])), indent=1) + "\n")
    found = read_saved_scores()
    print(table(found))
    draw(found)
    DOCUMENT.write_text(replace_table(DOCUMENT.read_text(), NAME, table(found)))


if __name__ == "__main__":
    main()
