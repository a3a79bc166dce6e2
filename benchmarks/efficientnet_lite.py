"""Measure EfficientNet-Lite on a CPU beside the module of the published weights.

    python -m benchmarks.efficientnet_lite > benchmarks/results/efficientnet_lite.txt

Requires `efficientnet-lite-pytorch`. Times are CPU times of one thread, medians of `RUNS`. The
published module runs up to the same features, without its last convolution and classifier. The
second part compares the gradients of depthwise convolutions with those of one call of PyTorch.
"""

import time
from collections.abc import Callable
from statistics import median

import torch
from efficientnet_lite_pytorch import EfficientNet  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn

from unimask.kernels.depthwise_convolution import (
    convolution_backward,
    input_gradient,
    weight_gradient,
)
from unimask.modeling.build import build_backbone
from unimask.presets import BACKBONES
from unimask.profiling.machine import describe_machine

RUNS = 9
NAME = "efficientnet-lite0"


class PublishedFeatures(nn.Module):
    """Stem and blocks of the published module."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNet.from_name(NAME).eval()

    def forward(self, x: Tensor) -> Tensor:
        """Compute the last map."""
        network = self.network
        x = network._swish(network._bn0(network._conv_stem(x)))
        for block in network._blocks:
            x = block(x)
        return x


def milliseconds(*functions: Callable[[], object]) -> list[float]:
    """Measure functions alternately; return the median CPU time of each."""
    times: list[list[float]] = [[] for _ in functions]
    for run in range(RUNS + 2):
        for function, own in zip(functions, times, strict=True):
            start = time.process_time()
            function()
            if run >= 2:
                own.append(1000 * (time.process_time() - start))
    return [median(own) for own in times]


def compare_networks(shape: tuple[int, ...], *, backward: bool) -> None:
    """Print the times of both networks."""
    images = torch.randn(shape)
    networks = [build_backbone(BACKBONES[NAME]).eval(), PublishedFeatures()]

    def step(network: nn.Module) -> None:
        with torch.set_grad_enabled(backward):
            out = network(images)
            last = out[-1] if isinstance(out, tuple) else out
        if backward:
            last.sum().backward()

    ours, theirs = milliseconds(*(lambda n=network: step(n) for network in networks))
    what = "forward and backward" if backward else "forward"
    print(f"{'x'.join(map(str, shape))} {what}: {ours:.0f} ms, published module {theirs:.0f} ms, "
          f"ratio {ours / theirs:.2f}")  # fmt: skip


def compare_gradients() -> None:
    """Print the times of gradients that are computed in another way than by one call."""
    grad, x = (channels_last(4, 144, 32, 32) for _ in range(2))
    kernel = torch.randn(144, 1, 5, 5)
    split, whole = milliseconds(
        lambda: weight_gradient(grad, x, kernel, 1, (2, 2)),
        lambda: convolution_backward(grad, x, kernel, 1, (2, 2), (False, True, False)),
    )
    print(f"weight gradient of a 5x5 kernel: two parts {split:.1f} ms, one call {whole:.1f} ms, "
          f"ratio {split / whole:.2f}")  # fmt: skip
    strided, wide = (
        channels_last(4, 96, 64, 64).bfloat16(),
        channels_last(4, 96, 129, 129).bfloat16(),
    )
    small = torch.randn(96, 1, 3, 3).bfloat16()
    converted, direct = milliseconds(
        lambda: input_gradient(strided, wide, small, 2, (0, 0)),
        lambda: convolution_backward(strided, wide, small, 2, (0, 0), (True, False, False)),
    )
    print(f"input gradient at stride 2 in bfloat16: by float32 {converted:.1f} ms, "
          f"directly {direct:.1f} ms, ratio {converted / direct:.2f}")  # fmt: skip


def channels_last(*shape: int) -> Tensor:
    """Return random maps that are channels-last in memory."""
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


def main() -> None:
    """Run all comparisons."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    print(f"{NAME}, float32: {describe_machine(torch.device('cpu'))}")
    compare_networks((1, 3, 512, 512), backward=False)
    compare_networks((4, 3, 256, 256), backward=False)
    compare_networks((4, 3, 256, 256), backward=True)
    compare_gradients()


if __name__ == "__main__":
    main()
