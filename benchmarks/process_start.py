"""Measure the time from the start of a process to the first result of `nuclei`.

    python -m benchmarks.process_start > benchmarks/results/process_start.txt

Each run is a separate process: Python starts, imports the package, loads the weights, segments a
rendered image of 512x512 and exits. The first runs start with an empty page cache, if this user may
drop it (root on Linux); the other runs start with a warm one.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from PIL import Image

from unimask.datasets.rendered_nuclei import render_nuclei
from unimask.profiling.machine import describe_machine

COLD, WARM = 3, 9
CACHES = Path("/proc/sys/vm/drop_caches")


def main() -> None:
    """Time a call from Python and the command line."""
    for name, value in describe_machine(torch.device("cpu")).items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "field.png"
        Image.fromarray(render_nuclei(seed=7, size=(512, 512)).image).save(image)
        call = f"import unimask; print(len(unimask.load('nuclei')({str(image)!r}).segments))"
        ways = {
            "import, load, call": [sys.executable, "-c", call],
            "unimask predict": [
                sys.executable, "-m", "unimask", "predict", str(image),
                "--model", "nuclei", "--out", str(Path(folder) / "out"),
            ],
        }  # fmt: skip
        for name, command in ways.items():
            report(name, command)


def report(name: str, command: list[str]) -> None:
    """Print the cold and warm times of a command."""
    cold = [timed(command) for _ in range(COLD) if empty_caches()]
    timed(command)
    warm = [timed(command) for _ in range(WARM)]
    print(f"\n{name}")
    cold_times = format_times(cold) if cold else "not measured: caches cannot be dropped"
    print(f"  cold page cache: {cold_times}")
    print(f"  warm page cache: {format_times(warm)}", flush=True)


def empty_caches() -> bool:
    """Drop the page cache of the system; return whether that was allowed."""
    subprocess.run(["sync"], check=True)
    try:
        CACHES.write_text("3")
    except OSError:
        return False
    return True


def timed(command: list[str]) -> float:
    """Run a process and return its duration in seconds."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def format_times(times: list[float]) -> str:
    """Format the median and the range of times."""
    return f"median of {len(times)}: {median(times):.2f} s; {min(times):.2f} to {max(times):.2f} s"


if __name__ == "__main__":
    main()
