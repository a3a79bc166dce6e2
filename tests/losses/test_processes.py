"""Gradients of two processes on halves of a batch equal those of one process on all of it."""

import pytest
import torch
import torch.multiprocessing as processes
from losses.test_criterion import CLASSES, FixedPoints, example
from process_group import process_group

from unimask.config import BoxCriterionConfig, CriterionConfig, DenseCriterionConfig
from unimask.losses import BoxCriterion, Criterion, DenseCriterion, PixelCriterion
from unimask.outputs import BoxPrediction, LayerPrediction, SegmenterOutput

POINTS = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))
OBJECTS = ((2, 0, 3, 1), (1, 0, 0, 0), (0, 0, 0, 0))
"""Objects per image: unequal halves, one object in total, none."""
KINDS = ("points", "dense", "boxes", "pixels")


def compute_gradients(
    kind: str, objects: tuple[int, ...], share: slice, *, per_process_means: bool = False
):
    """Return the loss of some images of a batch, and the gradients of every layer's logits."""
    _, targets, layers = example(0, objects)
    layers = [(c[share].requires_grad_(), m[share].requires_grad_()) for c, m in layers]
    output = SegmenterOutput(*layers[-1], tuple(LayerPrediction(*layer) for layer in layers[:-1]))
    if kind == "points":
        criterion = Criterion(CLASSES, CriterionConfig(per_process_means=per_process_means))
        losses = criterion(output, targets[share], sampler=FixedPoints(POINTS))
    elif kind == "dense":
        criterion = DenseCriterion(
            CLASSES, DenseCriterionConfig(per_process_means=per_process_means)
        )
        losses = criterion(output, targets[share])
    elif kind == "boxes":
        boxes = tuple(BoxPrediction(c, m.flatten(2)[..., :4].sigmoid()) for c, m in layers)
        criterion = BoxCriterion(CLASSES, BoxCriterionConfig(per_process_means=per_process_means))
        losses = criterion(output._replace(auxiliary=(), boxes=boxes), targets[share])
    else:
        losses = PixelCriterion()(output, targets[share])
    inputs = [logits for layer in layers for logits in layer]
    losses.total.backward()
    grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in inputs]
    return losses.total.detach(), grads


def write_gradients(rank: int, folder: str) -> None:
    """Write the gradients of one process's half of every batch."""
    half = slice(2 * rank, 2 * rank + 2)
    with process_group(rank, folder):
        actual = {(kind, o): compute_gradients(kind, o, half) for kind in KINDS for o in OBJECTS}
        actual["per process"] = compute_gradients(
            "points", OBJECTS[0], half, per_process_means=True
        )
        torch.save(actual, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    folder = tmp_path_factory.mktemp("halves")
    processes.spawn(write_gradients, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def mean_over_processes(halves, key):
    """Average over processes like data-parallel training."""
    (first, first_grads), (second, second_grads) = (half[key] for half in halves)
    pairs = zip(first_grads, second_grads, strict=True)
    return (first + second) / 2, [torch.cat(pair) / 2 for pair in pairs]


@pytest.mark.parametrize("objects", OBJECTS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_two_processes_equal_those_of_one(halves, kind, objects):
    total, grads = mean_over_processes(halves, (kind, objects))
    whole, expected = compute_gradients(kind, objects, slice(None))
    torch.testing.assert_close(total, whole)
    for grad, one in zip(grads, expected, strict=True):
        torch.testing.assert_close(grad, one, rtol=1e-5, atol=1e-8)


def test_the_authors_average_classes_in_each_process(halves):
    total, grads = mean_over_processes(halves, "per process")
    whole, expected = compute_gradients("points", OBJECTS[0], slice(None))
    assert not torch.isclose(total, whole, rtol=1e-4)
    assert not torch.allclose(grads[0], expected[0], rtol=1e-2)
    torch.testing.assert_close(grads[1], expected[1])  # masks are counted over all processes
