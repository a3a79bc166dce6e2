import pytest
import torch
from torch import nn

from unimask.modeling.layers.group_norm import GroupNorm


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("size", [(2, 24, 1, 1), (1, 24, 3, 5), (3, 24, 90, 70)], ids=str)
@pytest.mark.parametrize("mean", [0.0, 100.0])
def test_digits_are_kept_where_the_mean_is_large(layout, size, mean):
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(*size, generator=generator) + mean).contiguous(memory_format=layout)
    layer = GroupNorm(8, 24)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    exact = nn.functional.group_norm(
        x.double(), 8, layer.weight.double(), layer.bias.double(), layer.eps
    )
    learned = layer(x)
    with torch.no_grad():
        found = layer(x.clone())
    for result in (found, learned):
        torch.testing.assert_close(result.double(), exact, atol=2e-6 * max(1, mean), rtol=1e-6)


def test_half_precision_is_normalised_in_full():
    layer = GroupNorm(4, 8).bfloat16()
    x = torch.randn(1, 8, 6, 7).add(5).bfloat16()
    exact = nn.functional.group_norm(x.double(), 4)
    with torch.no_grad():
        torch.testing.assert_close(layer(x).double(), exact, atol=0.05, rtol=0.02)
