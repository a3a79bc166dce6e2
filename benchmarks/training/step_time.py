"""Time the parts of a training step of a small preset, with the authors' losses and the defaults.

    python -m benchmarks.training.step_time [PRESET ...] [--rounds 5] [--threads 2]

A step has 4 random images of 256 x 256 pixels with 9 objects each, in float32. The authors' losses
(12,544 random points) and those that `unimask.train` chooses for such crops alternate; the least
time of each part is printed.
"""

import argparse
import time
from itertools import pairwise

import torch
import torch.nn.functional as F

from unimask.config import CriterionConfig
from unimask.losses import Criterion
from unimask.modeling.build import build_segmenter
from unimask.outputs import Target
from unimask.presets import preset
from unimask.profiling.machine import describe_machine
from unimask.training.plan.losses import losses_for

CLASSES, IMAGES, OBJECTS, SIDE = 11, 4, 9, 256
PARTS = ("forward", "loss", "backward", "step")


def draw_batch() -> tuple[torch.Tensor, list[Target]]:
    """Draw random images, and objects of several blobs each."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, SIDE, SIDE, generator=random)
    targets = []
    for _ in range(IMAGES):
        coarse = (torch.rand(1, OBJECTS, 8, 8, generator=random) > 0.7).float()
        masks = F.interpolate(coarse, (SIDE, SIDE))[0].bool()
        targets.append(Target(torch.randint(CLASSES, (OBJECTS,), generator=random), masks))
    return images, targets


def time_step(
    network: torch.nn.Module, criterion: Criterion, images: torch.Tensor, targets: list[Target]
) -> list[float]:
    """Return the seconds of each part of a training step without its optimizer."""
    network.zero_grad(set_to_none=True)
    times = [time.perf_counter()]
    output = network(images)
    times.append(time.perf_counter())
    loss = criterion(output, targets, generator=torch.Generator().manual_seed(0)).total
    times.append(time.perf_counter())
    loss.backward()
    times.append(time.perf_counter())
    parts = [end - start for start, end in pairwise(times)]
    return [*parts, sum(parts)]


def main() -> None:
    """Time all presets, and print a row per losses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("presets", nargs="*", default=["mask2former-lite0", "unimask-lite0"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name, value in describe_machine(torch.device("cpu")).items():
        print(f"{name}: {value}")
    print(f"\nseconds, least of {options.rounds}        " + "".join(f"{p:>10}" for p in PARTS))
    images, targets = draw_batch()
    configs = {"authors": CriterionConfig(), "default": losses_for(SIDE)}
    for name in options.presets:
        config = preset(name, CLASSES)
        torch.manual_seed(0)
        network = build_segmenter(config).train()
        criteria = {kind: Criterion(CLASSES, losses) for kind, losses in configs.items()}
        rows: dict[str, list[list[float]]] = {kind: [] for kind in criteria}
        for count in range(options.rounds + 1):
            for kind, criterion in criteria.items():
                parts = time_step(network, criterion, images, targets)
                if count:  # the first call prepares what later ones reuse
                    rows[kind].append(parts)
        for kind, times in rows.items():
            least = "".join(f"{min(part):10.2f}" for part in zip(*times, strict=True))
            print(f"{name:18} {kind:12}{least}")


if __name__ == "__main__":
    main()
