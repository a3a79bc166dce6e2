"""Time and arithmetic of each stage of a prediction."""

import time
from collections.abc import Callable
from math import ceil, prod, sqrt
from types import TracebackType

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count
from torch.utils.hooks import RemovableHandle

from unimask.outputs import SegmenterOutput
from unimask.profiling.rates import synchronize

PARTS = ("backbone", "pixel_decoder", "transformer_decoder")
STAGES = ("preprocess", *PARTS, "postprocess")

NUM_OBJECTS = 20
"""Number of objects in synthetic output, as in an image of a busy street."""

CERTAIN_LOGIT = 10.0
"""Absolute value of logits that are certain."""


class PartsClock:
    """Context manager that measures the time of the network's parts, in milliseconds per call.

    Args:
        network: Network with these parts; hooks are removed on exit.
        device: Device of the network.
        parts: Names of the parts to measure.

    Attributes:
        times: One number per call, by part.
    """

    def __init__(
        self, network: nn.Module, device: torch.device, parts: tuple[str, ...] = PARTS
    ) -> None:
        self.network, self.device = network, device
        self.times: dict[str, list[float]] = {name: [] for name in parts}
        self.started = 0.0
        self.handles: list[RemovableHandle] = []

    def __enter__(self) -> "PartsClock":
        for name in self.times:
            part = self.network.get_submodule(name)
            self.handles += [
                part.register_forward_pre_hook(lambda *_: self.start()),
                part.register_forward_hook(lambda *_, name=name: self.stop(name)),
            ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self.handles:
            handle.remove()

    def start(self) -> None:
        """Start the clock of a part."""
        synchronize(self.device)
        self.started = time.perf_counter()

    def stop(self, name: str) -> None:
        """Stop the clock and record the time."""
        synchronize(self.device)
        self.times[name].append(1000 * (time.perf_counter() - self.started))


def count_flops(network: nn.Module, run: Callable[[], object]) -> dict[str, int]:
    """Count the matrix products and convolutions of one run of the network.

    Sums, norms, softmax, sampling and everything else that is bound by memory are not counted.
    Gradients must be disabled, because their bookkeeping would be counted too.

    Returns:
        FLOP by part, and in total as "network"; multiply and add are two operations.
    """
    with FlopCounterMode(
        display=False, depth=2, custom_mapping=additional_flop_counters()
    ) as counter:
        run()
    counts, name = counter.get_flop_counts(), type(network).__name__
    parts = {part: sum(counts.get(f"{name}.{part}", {}).values()) for part in PARTS}
    return {**parts, "network": sum(counts.get(name, {}).values())}


def additional_flop_counters() -> dict[object, Callable[..., int]]:
    """Return FLOP counters that PyTorch lacks: oneDNN's operators, attention on a CPU."""
    counters: dict[object, Callable[..., int]] = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops
    }
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        counters[torch.ops.mkldnn._linear_pointwise] = linear_flops
    if hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        counters[torch.ops.mkldnn._convolution_pointwise] = convolution_flops
    if hasattr(torch.ops.onednn, "qlinear_pointwise"):
        counters[torch.ops.onednn.qlinear_pointwise] = linear_flops
    if hasattr(torch.ops.onednn, "qconv2d_pointwise"):
        counters[torch.ops.onednn.qconv2d_pointwise] = int8_convolution_flops
    return counters


def linear_flops(rows: torch.Size, *_: object, out_shape: torch.Size, **__: object) -> int:
    """Count a matrix product from the shapes of its input and output."""
    return 2 * prod(rows) * out_shape[-1]


def convolution_flops(
    maps: torch.Size, weight: torch.Size, *_: object, out_shape: torch.Size, **__: object
) -> int:
    """Count a convolution from the shapes of its weight and output."""
    return 2 * prod(out_shape) * prod(weight[1:])


def int8_convolution_flops(
    maps: torch.Size,
    _scale: object,
    _zero_point: object,
    weight: torch.Size,
    *_: object,
    out_shape: torch.Size,
    **__: object,
) -> int:
    """Count a convolution of 8-bit integers from the shapes of its weight and output."""
    return convolution_flops(maps, weight, out_shape=out_shape)


def attention_flops(
    query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object
) -> int:
    """Count both matrix products of attention."""
    return sdpa_flop_count(query, key, value)


def synthetic_output(template: SegmenterOutput) -> SegmenterOutput:
    """Build logits of the same shapes that show round objects on a grid, with certainty.

    The time of post-processing depends on the number of segments; an untrained network, or an image
    of noise, would have none.
    """
    (b, q, h, w), columns = template.mask_logits.shape, template.class_logits.shape[-1]
    count = min(NUM_OBJECTS, q)
    across = ceil(sqrt(count))
    query = torch.arange(q)
    x, y = (query % across + 0.5) / across * w, (query // across + 0.5) / across * h
    down = (torch.arange(h) + 0.5)[None, :, None] - y[:, None, None]
    right = (torch.arange(w) + 0.5)[None, None, :] - x[:, None, None]
    radius = 0.4 * min(h, w) / across
    masks = (CERTAIN_LOGIT * (1 - (down.square() + right.square()).sqrt() / radius)).clamp(
        -CERTAIN_LOGIT, CERTAIN_LOGIT
    )
    classes = torch.full((q, columns), -CERTAIN_LOGIT)
    classes[query, torch.where(query < count, query % max(1, columns - 1), columns - 1)] = (
        CERTAIN_LOGIT
    )
    return SegmenterOutput(
        classes.to(template.class_logits).expand(b, -1, -1),
        masks.to(template.mask_logits).expand(b, -1, -1, -1),
    )
