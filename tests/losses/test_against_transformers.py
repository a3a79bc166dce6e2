"""The same predictions, targets and points give the losses that `transformers` gives."""

import pytest
import torch

from unimask.config import CriterionConfig
from unimask.losses import Criterion
from unimask.losses.criterion import PointSampler
from unimask.outputs import LayerPrediction, SegmenterOutput, Target

transformers = pytest.importorskip("transformers")

CLASSES, QUERIES, LAYERS, POINTS = 4, 12, 3, 40


class TwoSets(PointSampler):
    """One fixed set of points for matching, another for the losses."""

    def __init__(self, matching, loss):
        self.sets = matching, loss

    def matching(self, device):
        return self.sets[0]

    def loss(self, logits, known, pictures):
        return self.sets[1].expand(len(logits), -1, -1)


def their_losses(layers, targets, sampler, monkeypatch):
    module = transformers.models.mask2former.modeling_mask2former
    config = transformers.Mask2FormerConfig(
        num_labels=CLASSES, num_queries=QUERIES, train_num_points=POINTS
    )
    loss = module.Mask2FormerLoss(config, weight_dict={})
    matching, judged = sampler.sets
    with monkeypatch.context() as patch:
        patch.setattr(torch, "rand", lambda *size, **_: matching.expand(*size))
        patch.setattr(
            loss,
            "sample_points_using_uncertainty",
            lambda logits, *_: judged.expand(len(logits), -1, -1),
        )
        return loss(
            masks_queries_logits=layers[-1].mask_logits,
            class_queries_logits=layers[-1].class_logits,
            mask_labels=[target.masks.float() for target in targets],
            class_labels=[target.labels for target in targets],
            auxiliary_predictions=[
                {
                    "masks_queries_logits": layer.mask_logits,
                    "class_queries_logits": layer.class_logits,
                }
                for layer in layers[:-1]
            ],
        )


@pytest.mark.parametrize("objects", [(5, 3), (12, 12), (1,)], ids=str)
def test_losses_and_gradients_are_those_of_transformers(objects, monkeypatch):
    generator = torch.Generator().manual_seed(len(objects))
    layers = [
        LayerPrediction(
            torch.randn(len(objects), QUERIES, CLASSES + 1, generator=generator).requires_grad_(),
            torch.randn(len(objects), QUERIES, 8, 10, generator=generator).mul(4).requires_grad_(),
        )
        for _ in range(LAYERS)
    ]
    targets = [
        Target(
            torch.randint(CLASSES, (count,), generator=generator),
            torch.rand(count, 32, 40, generator=generator) > 0.6,
        )
        for count in objects
    ]
    sampler = TwoSets(
        torch.rand(POINTS, 2, generator=generator), torch.rand(POINTS, 2, generator=generator)
    )
    theirs = their_losses(layers, targets, sampler, monkeypatch)
    weights = {"cross_entropy": 2, "mask": 5, "dice": 5}
    their_total = torch.stack(
        [weights[name.split("_", 1)[1].rstrip("_012")] * term for name, term in theirs.items()]
    ).sum()
    output = SegmenterOutput(*layers[-1], auxiliary=tuple(layers[:-1]))
    ours = Criterion(CLASSES, CriterionConfig())(output, targets, sampler=sampler)

    last = [theirs[f"loss_{name}"] for name in weights]
    torch.testing.assert_close(torch.stack(ours[1:4]), torch.stack(last), rtol=1e-5, atol=1e-6)
    assert len(theirs) == 3 * LAYERS
    torch.testing.assert_close(ours.total, their_total, rtol=1e-5, atol=0)
    inputs = [logits for layer in layers for logits in layer]
    pairs = zip(
        torch.autograd.grad(ours.total, inputs),
        torch.autograd.grad(their_total, inputs),
        strict=True,
    )
    for our_gradient, their_gradient in pairs:
        torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-4, atol=1e-6)
