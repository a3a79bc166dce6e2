"""Measure the gain of `compile=True` on this machine: alternate eager and compiled runs.

    python -m benchmarks.compiled > benchmarks/results/compiled.txt

Prints the ratios of minimum and median times, the duration of the first compiled pass (which
includes compilation), and the largest difference of logits relative to the largest logit.
"""

import time
from statistics import median

import torch

import unimask
from unimask.inference.compiled import CompiledSegmenter
from unimask.modeling.segmenter import Segmenter
from unimask.profiling.machine import describe_machine

CLASSES, ROUNDS = 133, 7
CASES = {"mask2former-swin-tiny": (384, 384), "nuclei": (512, 512)}


def network_of(name: str) -> Segmenter:
    """Load the bundled model, or build a preset with random weights."""
    if name == "nuclei":
        return unimask.load(name, device="cpu").network
    labels = [f"class {number}" for number in range(CLASSES)]
    return unimask.build(name, labels=labels, device="cpu").network.eval().requires_grad_(False)


@torch.inference_mode()
def compare(name: str, size: tuple[int, int]) -> str:
    """Compare one network, compiled and eager, and format the result."""
    torch.manual_seed(0)
    plain = network_of(name)
    compiled, pixel_values = CompiledSegmenter(plain), torch.randn(1, 3, *size)
    compiled(pixel_values, "panoptic")  # a size is compiled at its second occurrence
    start = time.perf_counter()
    found = compiled(pixel_values, "panoptic").mask_logits
    waited = time.perf_counter() - start
    expected = plain(pixel_values, "panoptic").mask_logits
    differ = float((found - expected).abs().max() / expected.abs().max())
    times: dict[str, list[float]] = {"plain": [], "compiled": []}
    for _ in range(ROUNDS):
        for kind, network in (("plain", plain), ("compiled", compiled)):
            start = time.perf_counter()
            network(pixel_values, "panoptic")
            times[kind].append(time.perf_counter() - start)
    least, middle = ({k: of(v) for k, v in times.items()} for of in (min, median))
    return (
        f"{name} {size[0]}x{size[1]}: compiled / eager {least['compiled'] / least['plain']:.2f} of "
        f"minimum times, {middle['compiled'] / middle['plain']:.2f} of medians (eager: "
        f"{least['plain']:.3f} s); compilation {waited:.0f} s; logits differ by {differ:.0e}"
    )


def main() -> None:
    """Print the machine and the comparison of every network."""
    for name, value in describe_machine(torch.device("cpu")).items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    for name, size in CASES.items():
        print(compare(name, size), flush=True)


if __name__ == "__main__":
    main()
