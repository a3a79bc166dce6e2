r"""Compare the choice of `dtype="auto"` and of the training precision with times of networks.

    python -m benchmarks.precision > benchmarks/results/precision.txt
    ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 python -m benchmarks.precision \
        > benchmarks/results/precision_without_amx.txt

Every network predicts one image and takes training steps in float32 and in bfloat16, in turns, on
one thread. Times are its CPU times: the least of several calls.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

import unimask
from unimask.inference.dtype_speed import TYPES, Speedups, measure_speedups
from unimask.inference.dtypes import MIN_SPEEDUP, is_memory_bound
from unimask.losses import build_criterion
from unimask.outputs import Target
from unimask.profiling.machine import describe_machine

NETWORKS = ("mask2former-swin-tiny", "mask2former-resnet50", "mask2former-lite0", "unimask-nano")
SIDE, CALLS, OBJECTS = 256, 4, 12
WORKS = {"prediction": False, "training": True}
LABELS = tuple(f"class {number}" for number in range(20))


def main() -> None:
    """Print the machine, what is measured for the choice, and the times of networks."""
    for name, value in describe_machine(torch.device("cpu")).items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    measured = {}
    print("\nmeasured for the choice (float32 time / bfloat16 time):")
    for work, is_training in WORKS.items():
        start = time.perf_counter()
        measured[work] = Speedups(**measure_speedups(training=is_training))
        seconds = time.perf_counter() - start
        product, depthwise = measured[work].product, measured[work].depthwise
        print(f"  {work:10} product {product:.2f}, depthwise {depthwise:.2f}; {seconds:.2f} s")
    torch.set_num_threads(1)
    print(f"\nnetworks, {SIDE}x{SIDE}     work       float32 bfloat16 ratio estimate chosen")
    for name in NETWORKS:
        for work, prepare in (("prediction", prediction), ("training", training)):
            times = least_times({kind: prepare(name, kind) for kind in TYPES})
            ratio = times[torch.float32] / times[torch.bfloat16]
            network = unimask.build(name, labels=LABELS, device="cpu").network
            estimate = measured[work].combined(memory_bound=is_memory_bound(network))
            chosen = "bfloat16" if estimate >= MIN_SPEEDUP else "float32"
            both = " ".join(f"{seconds:7.3f}" for seconds in times.values())
            print(f"{name:22} {work:10} {both} {ratio:6.2f} {estimate:7.2f}  {chosen}", flush=True)


def prediction(name: str, kind: torch.dtype) -> Callable[[], object]:
    """Return a forward pass on one image."""
    network = unimask.build(name, labels=LABELS, device="cpu").network.to(kind)
    image = torch.randn(1, 3, SIDE, SIDE)

    def predict() -> object:
        with torch.inference_mode():
            return network(image.to(kind), "panoptic")

    return predict


def training(name: str, kind: torch.dtype) -> Callable[[], object]:
    """Return a training step without the optimizer."""
    predictor = unimask.build(name, labels=LABELS, device="cpu")
    network = predictor.network.train().requires_grad_(True)
    criterion = build_criterion(predictor.description.config)
    images = torch.randn(2, 3, SIDE, SIDE)
    targets = [Target(torch.zeros(OBJECTS, dtype=torch.long), squares())] * len(images)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
            output = network(images, factored=criterion.takes_factors)
        criterion(to_float32(output), targets).total.backward()
        network.zero_grad()

    return step


def squares() -> Tensor:
    """Return masks (n, h, w) of squares in a row."""
    masks = torch.zeros(OBJECTS, SIDE, SIDE, dtype=torch.bool)
    width = SIDE // OBJECTS
    for index, mask in enumerate(masks):
        mask[: 2 * width, index * width : (index + 1) * width] = True
    return masks


def to_float32(output):
    """Convert every tensor of nested named tuples to float32, as Fabric does."""
    if isinstance(output, Tensor):
        return output.float()
    if hasattr(output, "_fields"):
        return type(output)(*map(to_float32, output))
    return tuple(map(to_float32, output)) if isinstance(output, tuple) else output


def least_times(calls: dict[torch.dtype, Callable[[], object]]) -> dict[torch.dtype, float]:
    """Return the least CPU time of each call, called in turns."""
    times: dict[torch.dtype, list[float]] = {kind: [] for kind in calls}
    for _ in range(CALLS):
        for kind, call in calls.items():
            start = time.thread_time()
            call()
            times[kind].append(time.thread_time() - start)
    return {kind: min(values) for kind, values in times.items()}


if __name__ == "__main__":
    main()
