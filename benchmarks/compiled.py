"""What `compile=True` gains on this machine: the same network as it is and compiled, in turns.

    python -m benchmarks.compiled > benchmarks/results/compiled.txt

The least and the median of the times, their ratios, how long the first compiled pass took, and the
greatest difference of logits over the greatest logit.
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
    """Give bundled weights, or a preset with random ones."""
    if name == "nuclei":
        return unimask.load(name, device="cpu").network
    labels = [f"class {number}" for number in range(CLASSES)]
    return unimask.build(name, labels=labels, device="cpu").network.eval().requires_grad_(False)


@torch.inference_mode()
def compare(name: str, size: tuple[int, int]) -> str:
    """Measure one network."""
    torch.manual_seed(0)
    plain = network_of(name)
    compiled, pixel_values = CompiledSegmenter(plain), torch.randn(1, 3, *size)
    compiled(pixel_values, "panoptic")  # a size is compiled when it comes for the second time
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
        f"{name} {size[0]}x{size[1]}: compiled / plain {least['compiled'] / least['plain']:.2f} of "
        f"the least times, {middle['compiled'] / middle['plain']:.2f} of the medians "
        f"({least['plain']:.3f} s plain); compiled in {waited:.0f} s; logits differ by {differ:.0e}"
    )


def main() -> None:
    """Compare and print."""
    for name, value in describe_machine(torch.device("cpu")).items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    for name, size in CASES.items():
        print(compare(name, size), flush=True)


if __name__ == "__main__":
    main()
