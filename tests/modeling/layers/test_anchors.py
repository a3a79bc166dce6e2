import math

import pytest
import torch

from unimask.kernels.ellipses import STEEPNESS, ellipse_logits
from unimask.modeling.layers.anchors import Anchors, EllipseHead


def anchors(x: float, y: float, radius: float, extent=(64, 32)) -> Anchors:
    return Anchors(torch.tensor([[[x, y]]]), torch.tensor([[radius]]), extent)


def test_an_untrained_ellipse_is_a_circle_around_its_anchor():
    logits = EllipseHead(8)(torch.randn(1, 1, 8), anchors(20.5, 12.5, 8), (32, 64))[0, 0]
    assert logits[12, 20].item() == pytest.approx(STEEPNESS, abs=0.1)
    for row, column in [(12, 28), (12, 12), (20, 20), (4, 20)]:
        assert logits[row, column].item() == pytest.approx(0, abs=0.01)
    assert logits[12, 36].item() == pytest.approx(-STEEPNESS, abs=0.01)


@pytest.mark.parametrize("size", [(8, 16), (4, 8), (2, 5)], ids=str)
def test_ellipses_are_equal_on_maps_of_any_size(size):
    """Compare with the definition, pixel by pixel in float64."""
    torch.manual_seed(0)
    where = anchors(20, 12, 8)
    shift_x, shift_y, axis_x, axis_y, slant, steep = numbers = torch.randn(6).double()
    logits = ellipse_logits(numbers[None, None], *where, size)[0, 0]
    for row in range(size[0]):
        for column in range(size[1]):
            x = (column + 0.5) * 64 / size[1] - (20 + 8 * shift_x)
            y = (row + 0.5) * 32 / size[0] - (12 + 8 * shift_y)
            x, y = x * math.exp(axis_x) / 8, y * math.exp(axis_y) / 8
            distance = math.sqrt((x + slant * y) ** 2 + y**2 + 1e-4)
            expected = STEEPNESS * math.exp(steep) * (1 - distance)
            assert logits[row, column].item() == pytest.approx(expected, rel=1e-5)


def test_extreme_values_stay_finite():
    shape = torch.full((1, 1, 6), 1e4)
    assert ellipse_logits(shape, *anchors(20, 12, 8), (8, 16)).isfinite().all()


def test_ellipses_are_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        logits = EllipseHead(8)(torch.randn(1, 1, 8), anchors(20, 12, 8), (8, 16))
    assert logits.dtype == torch.float32
