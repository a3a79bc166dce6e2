"""Train unimask for some minutes with its default settings.

    python -m benchmarks.equal_minutes.ours DATA OUT TASK MINUTES pretrained|scratch

The number of steps follows from the time of a step in a short trial. Validation, which the minutes
would include, is at the end only.
"""

import json
import sys
import time
from pathlib import Path

import unimask
from unimask.training import train
from unimask.training.run_folder import RunFolder

TRIAL = 60
"""Number of steps of the trial; all log lines but the first exclude the start."""


def seconds_per_step(data: Path, out: Path, options: dict) -> float:
    """Return the time of a step after the start of a short run."""
    train(data, out=out, device="cpu", steps=TRIAL, **options)
    return min(float(row["seconds_per_step"]) for row in RunFolder(out).rows()[1:])


def main(data: Path, out: Path, task: str, minutes: float, start: str) -> None:
    """Train; `OUT/run` gets the weights."""
    options: dict = {"task": task, "evaluate_every": 0}
    if start == "scratch":
        options |= {"model": "mask2former-lite0", "backbone_weights": "none"}
    step = seconds_per_step(data, out / "trial", options)
    steps = round(60 * minutes / step)
    begin = time.perf_counter()
    train(data, out=out / "run", device="cpu", steps=steps, **options)
    facts: dict[str, object] = {
        "minutes of training": round((time.perf_counter() - begin) / 60, 2),
        "steps": steps,
        "version": unimask.__version__,
    }
    predictor = unimask.load(out / "run" / "weights" / "last", device="cpu")
    facts["parameters"] = sum(p.numel() for p in predictor.network.parameters())
    (out / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), sys.argv[5])
