"""Measure the time and the memory of rendering views of towns.

    python -m benchmarks.rendered_town

Renders scenes of 512 x 512 pixels, each once with an empty cache, as datasets are rendered, and
once again, as neighbouring tiles and frames are. Times are CPU times of one thread. The memory is
the peak of the process, before and after windows of a scene of 20,000 x 20,000 pixels.
"""

import resource
import time
from statistics import median

import torch

from unimask.datasets.rendered_town import TownScene, Window
from unimask.profiling.machine import describe_machine

SCENES, SIZE, WINDOWS = 60, 512, 30


def main() -> None:
    """Measure and print."""
    TownScene(seed=SCENES, size=(SIZE, SIZE)).render()
    first, again = [], []
    for seed in range(SCENES):
        scene = TownScene(seed=seed, size=(SIZE, SIZE))
        first.append(cpu_milliseconds(scene))
        again.append(cpu_milliseconds(scene))
    print(f"{SCENES} scenes of {SIZE} x {SIZE} pixels: {describe_machine(torch.device('cpu'))}")
    for name, times in (("first time", first), ("again", again)):
        print(
            f"{name}: median {median(times):.0f} ms, from {min(times):.0f} to {max(times):.0f} ms"
        )
    before = peak_megabytes()
    large = TownScene(seed=0, size=(20_000, 20_000))
    for number in range(WINDOWS):
        large.render(Window(650 * number, 650 * number, SIZE, SIZE))
    print(f"peak memory: {before:.0f} MB, then {peak_megabytes():.0f} MB after {WINDOWS} windows")


def cpu_milliseconds(scene: TownScene) -> float:
    """Return the CPU time of rendering a scene."""
    start = time.process_time()
    scene.render()
    return 1000 * (time.process_time() - start)


def peak_megabytes() -> float:
    """Return the peak memory of the process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
