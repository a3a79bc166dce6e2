"""How long each stage of a prediction takes, and how much arithmetic it is."""

import time
from collections.abc import Callable
from math import ceil, prod, sqrt
from types import TracebackType

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count
from torch.utils.hooks import RemovableHandle

from unimask.evaluation.rates import wait_for
from unimask.outputs import SegmenterOutput

PARTS = ("backbone", "pixel_decoder", "transformer_decoder")
STAGES = ("preprocess", *PARTS, "postprocess")

OBJECTS = 20
"""How many objects a made-up output shows: as many as a busy street."""

SURE = 10.0
"""A logit that leaves no doubt."""


class PartsClock:
    """Time the network's parts while it runs, in milliseconds per call.

    Args:
        network: Has the parts; it is left as it was on exit.
        device: Where it runs.
        parts: Which of them are timed.

    Attributes:
        times: Per part, one number per call.
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
        """Begin a part."""
        wait_for(self.device)
        self.started = time.perf_counter()

    def stop(self, name: str) -> None:
        """End it."""
        wait_for(self.device)
        self.times[name].append(1000 * (time.perf_counter() - self.started))


def count_flops(network: nn.Module, run: Callable[[], object]) -> dict[str, int]:
    """Count the matrix products and convolutions of one run of the network.

    Sums, norms, softmax, sampling and all else that is bound by memory are not counted. The
    gradients must be off: bookkeeping for them would be counted along.

    Returns:
        FLOP per part, and in all as "network"; a multiply and an add are two.
    """
    with FlopCounterMode(display=False, depth=2, custom_mapping=uncounted()) as counter:
        run()
    counts, name = counter.get_flop_counts(), type(network).__name__
    parts = {part: sum(counts.get(f"{name}.{part}", {}).values()) for part in PARTS}
    return {**parts, "network": sum(counts.get(name, {}).values())}


def uncounted() -> dict[object, Callable[..., int]]:
    """Tell the counter of what it does not know: oneDNN's products, and attention on a CPU."""
    known: dict[object, Callable[..., int]] = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops
    }
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        known[torch.ops.mkldnn._linear_pointwise] = linear_flops
    return known


def linear_flops(rows: torch.Size, *_: object, out_shape: torch.Size, **__: object) -> int:
    """Count a product by the shapes of what goes in and what comes out."""
    return 2 * prod(rows) * out_shape[-1]


def attention_flops(
    query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object
) -> int:
    """Count both products of attention."""
    return sdpa_flop_count(query, key, value)


def staged_output(like: SegmenterOutput) -> SegmenterOutput:
    """Give logits of the same shapes that show round objects on a grid, without doubt.

    What post-processing costs depends on what there is to be found. An untrained network, or a
    picture of noise, shows nothing.
    """
    (b, q, h, w), columns = like.mask_logits.shape, like.class_logits.shape[-1]
    count = min(OBJECTS, q)
    across = ceil(sqrt(count))
    place = torch.arange(q)
    x, y = (place % across + 0.5) / across * w, (place // across + 0.5) / across * h
    down = (torch.arange(h) + 0.5)[None, :, None] - y[:, None, None]
    right = (torch.arange(w) + 0.5)[None, None, :] - x[:, None, None]
    radius = 0.4 * min(h, w) / across
    masks = (SURE * (1 - (down.square() + right.square()).sqrt() / radius)).clamp(-SURE, SURE)
    classes = torch.full((q, columns), -SURE)
    classes[place, torch.where(place < count, place % max(1, columns - 1), columns - 1)] = SURE
    return SegmenterOutput(
        classes.to(like.class_logits).expand(b, -1, -1),
        masks.to(like.mask_logits).expand(b, -1, -1, -1),
    )
