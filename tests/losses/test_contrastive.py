"""Contrastive loss of queries and texts, in one and in two processes."""

import numpy as np
import pytest
import torch
import torch.multiprocessing as processes
from losses.test_criterion import CLASSES, CONFIG, QUERIES, FixedPoints, example, reference_losses
from process_group import process_group
from torch.nn.functional import normalize

from unimask.losses import Criterion
from unimask.losses.contrastive import contrastive_loss


def draw(images: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    queries, texts = torch.randn(2, images, 3, 5, generator=generator, dtype=torch.float64)
    return queries, 14 * normalize(texts.flatten(1), dim=-1).unflatten(-1, (3, 5))


def contrast(queries: np.ndarray, texts: np.ndarray) -> float:
    """Compute the symmetric cross entropy of normalised queries and scaled texts in float64."""
    queries, texts = (each.astype(np.float64).reshape(len(each), -1) for each in (queries, texts))
    logits = queries / np.linalg.norm(queries, axis=1, keepdims=True) @ texts.T
    own = np.arange(len(logits))
    tables = (logits, logits.T)
    return sum((np.log(np.exp(t).sum(1)) - t[own, own]).mean() for t in tables)


def test_it_is_the_symmetric_cross_entropy():
    queries, texts = draw(4)
    actual = contrastive_loss(queries, texts)
    assert abs(float(actual) - contrast(queries.numpy(), texts.numpy())) < 1e-5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("objects", [(2, 0, 3), (5, 5), (1,)], ids=str)
def test_oneformer_loss_equals_the_reference(seed, objects):
    """Class, mask and dice losses of every layer, and half the contrastive loss once."""
    output, targets, layers = example(seed, objects)
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(30, 2, generator=generator)
    queries, texts = torch.randn(2, len(objects), QUERIES, 8, generator=generator)
    texts = 14 * normalize(texts.flatten(1), dim=-1).unflatten(-1, (QUERIES, 8))
    output_with_texts = output._replace(object_queries=queries, text_queries=texts)
    losses = Criterion(CLASSES, CONFIG)(output_with_texts, targets, sampler=FixedPoints(points))
    numbers = [(c.double().numpy(), m.double().numpy()) for c, m in layers]
    total, *terms = reference_losses(numbers, targets, points.double().numpy())
    total += 0.5 * contrast(queries.numpy(), texts.numpy())
    np.testing.assert_allclose([float(value) for value in losses], (total, *terms), rtol=1e-5)


def write_gradients(rank: int, world: int, folder: str) -> None:
    """Write the loss and gradients of one process."""
    with process_group(rank, folder, world=world):
        queries, texts = draw(4)
        share = slice(rank * 4 // world, (rank + 1) * 4 // world)
        queries, texts = queries[share].requires_grad_(), texts[share].requires_grad_()
        loss = contrastive_loss(queries, texts)
        loss.backward()
        torch.save((loss.detach(), queries.grad, texts.grad), f"{folder}/{rank}.pt")


def test_gradients_of_two_processes_equal_those_of_one(tmp_path):
    processes.spawn(write_gradients, (2, str(tmp_path)), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    queries, texts = (tensor.requires_grad_() for tensor in draw(4))
    whole = contrastive_loss(queries, texts)
    whole.backward()
    torch.testing.assert_close(sum(part[0] for part in parts) / 2, whole.detach())
    # Data-parallel training averages gradients over processes.
    for index, grad in ((1, queries.grad), (2, texts.grad)):
        gathered = torch.cat([part[index] for part in parts]) / 2
        torch.testing.assert_close(gathered, grad, atol=1e-6, rtol=1e-4)
