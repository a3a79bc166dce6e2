"""Boxes of masks, and generalized IoU, against plain definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unimask.losses.boxes import box_costs, box_losses, generalized_iou, mask_boxes


def plain_box(mask):
    """Compute the box of one mask from the coordinates of its pixels."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return [0.0] * 4
    height, width = mask.shape
    left, right = columns.min() / width, (columns.max() + 1) / width
    top, bottom = rows.min() / height, (rows.max() + 1) / height
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


@settings(max_examples=60)
@given(
    masks=st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 9)).flatmap(
        lambda shape: arrays(bool, shape)
    )
)
def test_boxes_reach_from_pixel_edge_to_pixel_edge(masks):
    found = mask_boxes(torch.from_numpy(masks))
    assert found.shape == (len(masks), 4)
    expected = np.array([plain_box(mask) for mask in masks]).reshape(-1, 4)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


SIDE = 12


def cells(box):
    """Mark the cells of a grid that a box (left, top, right, bottom) covers."""
    left, top, right, bottom = box
    grid = np.zeros((SIDE, SIDE), bool)
    grid[top:bottom, left:right] = True
    return grid


def plain_iou(first, second):
    """Compute the generalized IoU by counting cells."""
    a, b = cells(first), cells(second)
    lows, highs = np.minimum(first[:2], second[:2]), np.maximum(first[2:], second[2:])
    hull = cells((*lows, *highs)).sum()
    union = (a | b).sum()
    return (a & b).sum() / union - (hull - union) / hull


def to_fractions(box):
    left, top, right, bottom = (value / SIDE for value in box)
    return torch.tensor([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])


def draw_box(draw):
    left, top = draw(st.integers(0, SIDE - 1)), draw(st.integers(0, SIDE - 1))
    return left, top, draw(st.integers(left + 1, SIDE)), draw(st.integers(top + 1, SIDE))


BOXES = st.lists(st.composite(draw_box)(), min_size=1, max_size=4)


@settings(max_examples=100)
@given(first=BOXES, second=BOXES)
def test_generalized_iou_counts_cells(first, second):
    expected = np.array([[plain_iou(a, b) for b in second] for a in first])
    ours = [torch.stack([to_fractions(box) for box in boxes]) for boxes in (first, second)]
    l1, loss = box_costs(*ours)
    np.testing.assert_allclose(1 - loss.numpy(), expected, atol=1e-5)
    distances = [[float((a - b).abs().sum()) for b in ours[1]] for a in ours[0]]
    np.testing.assert_allclose(l1.numpy(), distances, atol=1e-6)
    pairs = min(len(first), len(second))
    sums = box_losses(ours[0][:pairs], ours[1][:pairs])
    assert float(sums[0]) == pytest.approx(float(l1.diagonal()[:pairs].sum()), abs=1e-5)
    assert float(sums[1]) == pytest.approx(float(loss.diagonal()[:pairs].sum()), abs=1e-5)


def test_boxes_without_area_have_finite_losses_and_gradients():
    point = torch.tensor([[0.5, 0.5, 0.0, 0.0]], requires_grad=True)
    for other in (torch.zeros(1, 4), point.detach(), torch.tensor([[0.5, 0.5, 0.2, 0.2]])):
        found = generalized_iou(point, other).sum()
        (gradient,) = torch.autograd.grad(found, point)
        assert found.isfinite() and gradient.isfinite().all()
