"""Two processes learn from their halves of a batch what one learns from the whole."""

import pytest
import torch
import torch.multiprocessing as processes
from losses.test_criterion import CLASSES, FixedPoints, example
from process_group import process_group

from unimask.config import CriterionConfig, DenseCriterionConfig
from unimask.losses import Criterion, DenseCriterion, PixelCriterion
from unimask.outputs import LayerPrediction, SegmenterOutput

POINTS = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))
OBJECTS = ((2, 0, 3, 1), (1, 0, 0, 0), (0, 0, 0, 0))
"""Objects per image: unlike halves, one object in all, none."""
KINDS = ("points", "dense", "pixels")


def judge(kind: str, objects: tuple[int, ...], share: slice, *, apart: bool = False):
    """Give the loss of some images of a batch, and its gradients of every layer's logits."""
    _, targets, layers = example(0, objects)
    layers = [(c[share].requires_grad_(), m[share].requires_grad_()) for c, m in layers]
    output = SegmenterOutput(*layers[-1], tuple(LayerPrediction(*layer) for layer in layers[:-1]))
    if kind == "points":
        criterion = Criterion(CLASSES, CriterionConfig(per_process_means=apart))
        losses = criterion(output, targets[share], sampler=FixedPoints(POINTS))
    elif kind == "dense":
        criterion = DenseCriterion(CLASSES, DenseCriterionConfig(per_process_means=apart))
        losses = criterion(output, targets[share])
    else:
        losses = PixelCriterion()(output, targets[share])
    wanted = [logits for layer in layers for logits in layer]
    losses.total.backward()
    grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in wanted]
    return losses.total.detach(), grads


def learn(rank: int, folder: str) -> None:
    """One process's half of every batch."""
    half = slice(2 * rank, 2 * rank + 2)
    with process_group(rank, folder):
        actual = {(kind, o): judge(kind, o, half) for kind in KINDS for o in OBJECTS}
        actual["apart"] = judge("points", OBJECTS[0], half, apart=True)
        torch.save(actual, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    folder = tmp_path_factory.mktemp("halves")
    processes.spawn(learn, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def together(halves, key):
    """Average over processes, as data-parallel training does."""
    (first, first_grads), (second, second_grads) = (half[key] for half in halves)
    pairs = zip(first_grads, second_grads, strict=True)
    return (first + second) / 2, [torch.cat(pair) / 2 for pair in pairs]


@pytest.mark.parametrize("objects", OBJECTS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_two_processes_equal_those_of_one(halves, kind, objects):
    total, grads = together(halves, (kind, objects))
    whole, expected = judge(kind, objects, slice(None))
    torch.testing.assert_close(total, whole)
    for grad, one in zip(grads, expected, strict=True):
        torch.testing.assert_close(grad, one, rtol=1e-5, atol=1e-8)


def test_the_authors_average_classes_in_each_process(halves):
    total, grads = together(halves, "apart")
    whole, expected = judge("points", OBJECTS[0], slice(None))
    assert not torch.isclose(total, whole, rtol=1e-4)
    assert not torch.allclose(grads[0], expected[0], rtol=1e-2)
    torch.testing.assert_close(grads[1], expected[1])  # masks are counted over all processes
