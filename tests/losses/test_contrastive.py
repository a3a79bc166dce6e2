"""The contrast of queries and texts, alone and over two processes."""

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch.nn.functional import normalize

from unimask.losses.contrastive import contrastive_loss


def draw(pictures: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    queries, texts = torch.randn(2, pictures, 3, 5, generator=generator, dtype=torch.float64)
    return queries, 14 * normalize(texts.flatten(1), dim=-1).unflatten(-1, (3, 5))


def test_it_is_the_symmetric_cross_entropy():
    queries, texts = (tensor.numpy() for tensor in draw(4))
    rows = queries.reshape(4, -1) / np.linalg.norm(queries.reshape(4, -1), axis=1, keepdims=True)
    logits = rows @ texts.reshape(4, -1).T
    expected = 0.0
    for table in (logits, logits.T):
        for row in range(4):
            expected += (np.log(np.exp(table[row]).sum()) - table[row, row]) / 4
    found = contrastive_loss(*draw(4))
    assert abs(float(found) - expected) < 1e-5


def learn(rank: int, world: int, folder: str) -> None:
    """One process's share of the gradients."""
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world
    )
    torch.set_num_threads(1)
    queries, texts = draw(4)
    share = slice(rank * 4 // world, (rank + 1) * 4 // world)
    queries, texts = queries[share].requires_grad_(), texts[share].requires_grad_()
    loss = contrastive_loss(queries, texts)
    loss.backward()
    torch.save((loss.detach(), queries.grad, texts.grad), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_learn_what_one_would(tmp_path):
    processes.spawn(learn, (2, str(tmp_path)), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    queries, texts = (tensor.requires_grad_() for tensor in draw(4))
    whole = contrastive_loss(queries, texts)
    whole.backward()
    torch.testing.assert_close(sum(part[0] for part in parts) / 2, whole.detach())
    # Data-parallel training averages the gradients of its processes.
    for index, grad in ((1, queries.grad), (2, texts.grad)):
        together = torch.cat([part[index] for part in parts]) / 2
        torch.testing.assert_close(together, grad, atol=1e-6, rtol=1e-4)
