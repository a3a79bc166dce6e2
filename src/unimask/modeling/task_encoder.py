"""The task token of OneFormer (Jain et al. 2023, 3.1): what is asked, as one vector."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.labels import TASKS, Task
from unimask.text.task_sentences import task_tokens


class TaskEncoder(nn.Module):
    """Turn the sentence "The task is ..." into a token: its token ids, as numbers, pass two layers.

    There are three sentences, so a trained network has three tokens.

    Args:
        length: Token ids per sentence, filled up with zeros.
        dim: Width of the token.
    """

    sentences: Tensor

    def __init__(self, *, length: int, dim: int) -> None:
        super().__init__()
        tokens = torch.tensor([task_tokens(task, length) for task in TASKS])
        self.register_buffer("sentences", tokens, persistent=False)
        self.linear1 = nn.Linear(length, dim)
        self.linear2 = nn.Linear(dim, dim)

    def forward(self, tasks: Sequence[Task]) -> Float[Tensor, "b c"]:
        """Give one token per picture."""
        weight, bias = self.linear1.weight, self.linear1.bias
        ids = torch.stack([self.sentences[TASKS.index(task)] for task in tasks])
        with torch.autocast(weight.device.type, enabled=False):
            # Ids go up to 49407: half precision would round them.
            hidden = F.relu(F.linear(ids.float(), weight.float(), bias.float()))
        return self.linear2(hidden.to(weight.dtype))
