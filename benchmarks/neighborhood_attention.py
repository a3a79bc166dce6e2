"""Time neighbourhood attention at the sizes of DiNAT-L, and measure the memory it takes.

It runs on one thread and measures processor time, so that other work on the machine does not
matter.

    python -m benchmarks.neighborhood_attention
"""

import resource
import statistics
import time

import torch

from unimask.kernels.neighborhood_attention import neighborhood_attention

KERNEL, ROUNDS = 11, 3
# Maps of an image of 800 by 1088, filled up where a neighbourhood is larger.
CASES = {
    "stride 4, dilation 1": ((200, 272), 6, 1),
    "stride 4, dilation 20": ((220, 272), 6, 20),
    "stride 8, dilation 1": ((100, 136), 12, 1),
    "stride 8, dilation 10": ((110, 136), 12, 10),
    "stride 16, dilation 1": ((50, 68), 24, 1),
    "stride 16, dilation 5": ((55, 68), 24, 5),
    "stride 32, dilation 2": ((25, 34), 48, 2),
}


def peak() -> float:
    """Return the peak memory of this process in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    """Print a line per case; memory is the increase over the previous peak."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, float32, 1 thread; processor time, median of {ROUNDS}")
    for case, (size, heads, dilation) in CASES.items():
        inputs = [*torch.randn(3, 1, *size, heads, 32), torch.randn(heads, 21, 21)]
        leaves = [part.clone().requires_grad_() for part in inputs]
        before, values, gradients = peak(), [], []
        for _ in range(ROUNDS):
            start = time.process_time()
            with torch.no_grad():
                neighborhood_attention(*leaves, dilation=dilation)
            values.append(time.process_time() - start)
        memory = peak() - before
        for _ in range(ROUNDS):
            start = time.process_time()
            neighborhood_attention(*leaves, dilation=dilation).sum().backward()
            gradients.append(time.process_time() - start)
        print(
            f"{case:22} values {statistics.median(values):5.2f} s and {memory:4.0f} MB more, "
            f"with gradients {statistics.median(gradients):5.2f} s"
        )


if __name__ == "__main__":
    main()
