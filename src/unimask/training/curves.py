"""Plot of a run's losses and scores."""

from pathlib import Path

from unimask.errors import MissingExtraError
from unimask.formats.atomic import atomic_path


def draw_curves(rows: list[dict[str, str]], target: Path) -> None:
    """Plot losses and score over steps, from the rows of metrics.csv.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "train") from None
    losses = [row for row in rows if row["loss"]]
    scores = [row for row in rows if row["score"]]
    if not losses:
        return
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [int(row["step"]) for row in losses]
    for name in ("loss", "class", "mask", "dice", "box", "giou"):
        if losses[0].get(name):
            left.plot(steps, [float(row[name]) for row in losses], label=name)
    left.set(title="loss of the last layer, and its terms", xlabel="step", yscale="log")
    left.legend(frameon=False)
    left.grid(alpha=0.25)
    right.plot([int(r["step"]) for r in scores], [float(r["score"]) for r in scores], marker="o")
    name = scores[-1]["metric"] if scores else "score"
    right.set(title=f"{name} on validation (%)", xlabel="step")
    right.set_ylim(bottom=0)  # without it, a constant score of 0 would be centred
    right.grid(alpha=0.25)
    with atomic_path(target) as path:
        figure.savefig(path, dpi=110)
