"""OneFormer's task token (Jain et al. 2023, 3.1)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.labels import TASKS, Task
from unimask.text.task_sentences import task_tokens


class TaskEncoder(nn.Module):
    """Two linear layers from the token ids of "The task is ...", as numbers, to the task token.

    There are three sentences, so a trained network has three task tokens.

    Args:
        length: Number of token ids per sentence, padded with zeros.
        dim: Number of channels of the task token.
    """

    sentences: Tensor

    def __init__(self, *, length: int, dim: int) -> None:
        super().__init__()
        tokens = torch.tensor([task_tokens(task, length) for task in TASKS])
        self.register_buffer("sentences", tokens, persistent=False)
        self.linear1 = nn.Linear(length, dim)
        self.linear2 = nn.Linear(dim, dim)

    def forward(self, tasks: Sequence[Task]) -> Float[Tensor, "b c"]:
        """Compute one task token per image."""
        weight, bias = self.linear1.weight, self.linear1.bias
        ids = torch.stack([self.sentences[TASKS.index(task)] for task in tasks])
        with torch.autocast(weight.device.type, enabled=False):
            # Ids go up to 49407: half precision would round them.
            hidden = F.relu(F.linear(ids.float(), weight.float(), bias.float()))
        return self.linear2(hidden.to(weight.dtype))
