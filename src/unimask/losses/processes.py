"""What losses ask of the other processes of a run, so that many learn what one would."""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


def count_processes() -> int:
    """Count the processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mean_over_processes(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Average numbers over all processes, without gradients.

    A loss divided by such a mean, and its gradients averaged as data-parallel training does, is
    the loss of all processes' pictures together.
    """
    if count_processes() == 1:
        return values.detach()
    summed = values.detach().clone()
    if dist.get_backend() == "nccl":
        summed = summed.cuda()
    dist.all_reduce(summed)
    return summed.to(values.device) / count_processes()


def everywhere(rows: Float[Tensor, "b c"]) -> Float[Tensor, "n c"]:
    """Give the rows of all processes, in the order of their ranks, with gradients.

    Every process gives equally many rows.
    """
    return rows if count_processes() == 1 else _Gather.apply(rows)


class _Gather(torch.autograd.Function):
    """The rows of all processes; what all of them ask of a row is its gradient."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(count_processes())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        asked = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(asked)
        return asked.chunk(count_processes())[dist.get_rank()]
