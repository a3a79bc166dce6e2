"""Compare the speed of unimask and `transformers` on a GPU; each case gets a result file.

    python -m benchmarks.gpu                  # needs a GPU; writes benchmarks/results/gpu/*.json
    python -m benchmarks.gpu --case swin-tiny-batch-1

Requires an environment with `benchmarks/requirements.txt` and PyTorch for CUDA. All systems compute
in bfloat16 with the same random weights: unimask, eager and with compile=True; `transformers` under
autocast, eager (with PyTorch's fused attention where it supports that) and compiled in mode
"reduce-overhead". Runs of the systems alternate; times are read after the GPU has synchronized.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch

import unimask
from benchmarks.peers.cases import HALF, LARGE, TINY, USUAL, Case, TrainingCase
from benchmarks.peers.networks import Logits, images, read, silence_logs, write
from benchmarks.peers.training import stepper
from unimask.profiling.machine import describe_machine
from unimask.profiling.rates import matrix_rate, synchronize

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gpu"
MODELS = ROOT / "build" / "peers"
WARM = 4
"""Number of warm-up passes: the second one compiles, the third one records a CUDA graph."""

Run = Callable[[], object]

PREDICTION = {
    case.name: case
    for case in (
        Case(name=f"{name}-batch-{batch}", network=network, size=USUAL, batch=batch, rounds=20)
        for name, network in (("swin-tiny", TINY), ("swin-large", LARGE))
        for batch in (1, 8)
    )
}
STEP = TrainingCase(name="training-step", size=(1024, 1024), batch=4, objects=20, rounds=10)
CASES = {**PREDICTION, STEP.name: STEP}


def ours(case: Case, folder: Path, device: torch.device, compile: bool) -> Run:
    """Load unimask as a user does, and return one forward pass."""
    predictor = unimask.load(folder, device=str(device), dtype="bfloat16", compile=compile)
    pixel_values = images(case.batch, case.size).to(device, predictor.dtype)

    @torch.inference_mode()
    def run() -> object:
        return predictor.logits(pixel_values, "panoptic")

    return run


def theirs(case: Case, folder: Path, device: torch.device, compile: bool) -> Run:
    """Load the network of `transformers` for prediction, and return one forward pass."""
    model = Logits(read(case.network, folder), case.network, case.batch)
    model = model.eval().requires_grad_(False).to(device)
    call = torch.compile(model, dynamic=False, mode="reduce-overhead") if compile else model
    pixel_values = images(case.batch, case.size).to(device)

    @torch.inference_mode()
    def run() -> object:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            return call(pixel_values)

    return run


def systems(
    case: Case | TrainingCase, folder: Path, device: torch.device
) -> dict[str, Callable[[], Run]]:
    """Return a loader for each system, unimask first."""
    if isinstance(case, TrainingCase):
        sides = ("unimask", "transformers")
        return {name: partial(stepper, name, HALF, case, folder, device) for name in sides}
    return {
        f"{name}{', compiled' if compile else ''}": partial(load, case, folder, device, compile)
        for name, load in (("unimask", ours), ("transformers", theirs))
        for compile in (False, True)
    }


def measure(case: Case | TrainingCase, folder: Path, device: torch.device) -> dict:
    """Load all systems of a case, alternate their runs, and return times and memory."""
    runs: dict[str, Run] = {}
    rows: dict[str, dict] = {}
    for name, load in systems(case, folder, device).items():
        try:
            runs[name], rows[name] = warmed(load, device)
        except Exception as error:  # continue with the other systems
            rows[name] = {"error": f"{type(error).__name__}: {str(error).splitlines()[:1]}"}
            runs.pop(name, None)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(case.rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            synchronize(device)
            times[name].append(time.perf_counter() - start)
    for name, durations in times.items():
        rows[name] |= {"median_s": median(durations), "minimum_s": min(durations)}
    return {**case.facts(), "machine": describe_machine(device), "systems": rows}


def warmed(load: Callable[[], Run], device: torch.device) -> tuple[Run, dict]:
    """Load and warm up a system; return it with its load time and the peak memory of a pass."""
    gc.collect()
    before = allocated_bytes(device)
    start = time.perf_counter()
    run = load()
    for _ in range(WARM):
        run()
    synchronize(device)
    start_s = time.perf_counter() - start
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    run()
    synchronize(device)
    return run, {"start_s": start_s, "peak_mb": (allocated_bytes(device, peak=True) - before) / 1e6}


def allocated_bytes(device: torch.device, *, peak: bool = False) -> int:
    """Return the memory of tensors on a GPU, now or at its peak, in bytes."""
    if device.type != "cuda":
        return 0
    return (torch.cuda.max_memory_allocated if peak else torch.cuda.memory_allocated)(device)


def format_results(found: dict) -> str:
    """Format the results of a case as a table."""
    lines = [found["case"]]
    base = found["systems"]["unimask"].get("median_s")
    for name, row in found["systems"].items():
        if "error" in row:
            lines.append(f"  {name:24} {row['error']}")
            continue
        ratio = f"unimask / system {base / row['median_s']:.2f}" if base else ""
        lines.append(
            f"  {name:24} {1000 * row['median_s']:9.1f} ms {1000 * row['minimum_s']:9.1f} minimum "
            f"{row['peak_mb']:8.0f} MB   {ratio}"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure the chosen cases on the GPU; return exit code 2 if there is none."""
    parser = argparse.ArgumentParser(description="Compare unimask with transformers on a GPU.")
    parser.add_argument(
        "--case",
        action="append",
        choices=list(CASES),
        metavar="NAME",
        help="case to measure (repeatable; default: all)",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for results")
    parser.add_argument(
        "--models", type=Path, default=MODELS, help="folder for networks with random weights"
    )
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print(
            "PyTorch finds no GPU (torch.cuda.is_available() is False); on a CPU, use "
            "benchmarks/peers/run.py",
            file=sys.stderr,
        )
        return 2
    silence_logs()
    device = torch.device("cuda")
    print(
        f"peak rate in bfloat16: {matrix_rate(device, torch.bfloat16) / 1e12:.0f} TFLOP/s",
        flush=True,
    )
    arguments.results.mkdir(parents=True, exist_ok=True)
    for name in arguments.case or CASES:
        case = CASES[name]
        folder = arguments.models / case.network.name
        write(case.network, folder)
        found = measure(case, folder, device)
        (arguments.results / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(format_results(found), flush=True)
        torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
