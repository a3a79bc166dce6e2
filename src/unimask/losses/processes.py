"""What losses ask of the other processes of a run, so that many learn what one would."""

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
    """Give the rows of all processes, in the order of their ranks, with gradients."""
    if count_processes() == 1:
        return rows
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(rows))
