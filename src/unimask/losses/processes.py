"""Sums over the processes of a run, so that several compute the loss that one would."""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


def count_processes() -> int:
    """Return the number of processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mean_over_processes(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Average numbers over all processes, without gradients.

    If losses are divided by this mean, data-parallel training, which averages gradients, computes
    the gradient of the loss over the images of all processes.
    """
    if count_processes() == 1:
        return values.detach()
    summed = values.detach().clone()
    if dist.get_backend() == "nccl":
        summed = summed.cuda()
    dist.all_reduce(summed)
    return summed.to(values.device) / count_processes()


def gather_rows(rows: Float[Tensor, "b c"]) -> Float[Tensor, "n c"]:
    """Return the rows of all processes in the order of their ranks, with gradients.

    Every process must have the same number of rows.
    """
    return rows if count_processes() == 1 else _Gather.apply(rows)


class _Gather(torch.autograd.Function):
    """Autograd function of `gather_rows`: the gradient of a row is summed over all processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(count_processes())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        summed = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed.chunk(count_processes())[dist.get_rank()]
