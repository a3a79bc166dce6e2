"""Selection of the points at which masks are compared."""

import pytest
import torch
import torch.nn.functional as F

from unimask.config import CriterionConfig
from unimask.losses import points as points_module
from unimask.losses.point_sampler import PointSampler
from unimask.losses.points import (
    known_map,
    known_weights,
    pool_masks,
    sample_logits,
    sample_logits_shared,
    sample_masks,
    sample_masks_shared,
    uncertain_points,
)

CPU = torch.device("cpu")
CONFIG = CriterionConfig(num_points=64)


def blobs(count: int) -> torch.Tensor:
    """Draw smooth logits, so that uncertain cells form lines."""
    coarse = torch.randn(1, count, 3, 3, generator=torch.Generator().manual_seed(4))
    return 6 * F.interpolate(coarse, (12, 12), mode="bicubic")[0]


def test_the_most_uncertain_candidates_are_kept():
    logits, candidates = blobs(5), torch.rand(200, 2)
    selected = uncertain_points(logits, candidates, None, 50)
    certainty = sample_logits_shared(logits, candidates).abs().sort(dim=1).values
    actual = sample_logits(logits, selected).abs().sort(dim=1).values
    torch.testing.assert_close(actual, certainty[:, :50])


def test_unknown_candidates_come_last():
    logits, candidates = blobs(2), torch.rand(60, 2)
    unknown = candidates[:, 0] < 0.5
    selected = uncertain_points(logits, candidates, unknown, 20)
    assert unknown.sum() > 20
    assert (selected[..., 0] >= 0.5).all()
    assert (uncertain_points(logits, candidates, None, 20)[..., 0] < 0.5).any()


def test_the_points_of_a_mask_do_not_depend_on_other_masks():
    logits = blobs(6)
    together = (
        PointSampler(CONFIG, torch.Generator().manual_seed(0)).candidates(None, CPU).select(logits)
    )
    for i in range(6):
        generator = torch.Generator().manual_seed(0)
        alone = PointSampler(CONFIG, generator).candidates(None, CPU).select(logits[i : i + 1])
        assert torch.equal(alone[0], together[i])


def test_shared_candidates_leave_the_mean_of_every_mask_alone():
    """Shared candidates have the same distribution of points as separate ones."""
    logits, draws = blobs(3), 400
    generator = torch.Generator().manual_seed(1)
    sampler = PointSampler(CONFIG, generator)
    shared, own = [], []
    for _ in range(draws):
        points = sampler.candidates(None, CPU).select(logits)
        shared.append(sample_logits(logits, points).mean(1))
        each = torch.rand(3, 192, 2, generator=generator)
        order = sample_logits(logits, each).abs().argsort(dim=1)[:, :48]
        selected = each.gather(1, order[..., None].expand(-1, -1, 2))
        fresh = torch.rand(3, 16, 2, generator=generator)
        own.append(sample_logits(logits, torch.cat([selected, fresh], dim=1)).mean(1))
    shared, own = torch.stack(shared), torch.stack(own)
    error = (shared.var(0) / draws + own.var(0) / draws).sqrt()
    assert ((shared.mean(0) - own.mean(0)).abs() < 4 * error).all()
    torch.testing.assert_close(shared.std(0), own.std(0), rtol=0.2, atol=0)


@pytest.mark.parametrize("at_once", [1, 9 * 13 * 2, 2**22])
def test_bit_masks_are_sampled_as_float_masks(at_once, monkeypatch):
    monkeypatch.setattr("unimask.losses.points.MAX_FLOAT_PIXELS", {"cpu": at_once})
    masks = torch.rand(5, 9, 13) > 0.5
    layers = [1.2 * torch.rand(5, 40, 2) - 0.1 for _ in range(2)]
    for points, sampled in zip(layers, sample_masks(masks, layers), strict=True):
        assert torch.equal(sampled, sample_logits(masks.float(), points))
    shared = sample_masks_shared(masks, layers[0][0])
    expected = sample_logits(masks.float(), layers[0][:1].expand(5, -1, -1))
    torch.testing.assert_close(shared, expected)


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (5, 11)], ids=str)
def test_known_points_never_read_an_unknown_pixel_or_cell(size):
    ignored = torch.rand(1, 24, 32) > 0.8
    ignored[:, 8:20, 4:24] = True
    points = torch.rand(1, 4000, 2)
    weights = known_weights(known_map(ignored, size)[0], points)
    cells = F.adaptive_max_pool2d((~ignored).float(), size) == 0
    assert cells.any()
    reads = sample_logits(ignored.float(), points) + sample_logits(cells.float(), points)
    known = weights == 1
    assert not reads[known].any()
    assert 0 < known.float().mean() < 1
    if size == (6, 8):  # cells and pixels are aligned: exactly the unknown points are left out
        assert torch.equal(known, reads == 0)


def test_most_points_lie_where_the_prediction_is_undecided():
    config = CriterionConfig(num_points=400)
    logits = torch.linspace(9, -9, 40).expand(1, 40, 40)  # uncertain along the middle
    sampler = PointSampler(config, torch.Generator().manual_seed(0))
    points = sampler.candidates(None, CPU).select(logits)
    near = (points[0, :, 0] - 0.5).abs() < 0.2
    assert points.shape == (1, 400, 2)
    assert near.float().mean() > 0.75
    assert (~near).float().mean() > 0.1


def test_masks_are_averaged_over_cells(monkeypatch):
    masks = torch.rand(5, 24, 32, generator=torch.Generator().manual_seed(0)) > 0.5
    expected = masks.float().unflatten(2, (8, 4)).unflatten(1, (6, 4)).mean((2, 4)).flatten(1)
    monkeypatch.setitem(points_module.MAX_FLOAT_PIXELS, "cpu", 2 * 24 * 32)
    torch.testing.assert_close(pool_masks(masks, (6, 8)), expected)
    assert pool_masks(masks[:0], (6, 8)).shape == (0, 48)
