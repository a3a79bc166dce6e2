import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unimask.kernels import rows
from unimask.kernels.window_attention.bands import bands
from unimask.modeling.backbones.swin import (
    PatchMerging,
    Swin,
    WindowAttention,
)


def tiny(drop_path: float = 0.0) -> Swin:
    torch.manual_seed(0)
    return Swin(
        embed_dim=8, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4),
        window_size=4, mlp_ratio=2.0, drop_path=drop_path,
    )  # fmt: skip


def test_windows_of_several_images_keep_their_own_mask():
    torch.manual_seed(0)
    attention, norm = WindowAttention(8, num_heads=2, window=2), torch.nn.LayerNorm(8)
    torch.nn.init.normal_(attention.relative_position_bias_table)
    images = torch.randn(3, 4, 6, 8)
    with torch.no_grad():
        together = attention(images, norm, 1)
        for image, out in zip(images, together, strict=True):
            torch.testing.assert_close(attention(image[None], norm, 1)[0], out)


def test_odd_maps_merge_with_zeros():
    merging = PatchMerging(4)
    x = torch.randn(1, 5, 3, 4)
    padded = torch.zeros(1, 6, 4, 4)
    padded[:, :5, :3] = x
    torch.testing.assert_close(merging(x), merging(padded))


def test_weights_start_narrow():
    network = tiny()
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            assert 0.01 < module.weight.std() < 0.03
            assert module.bias is None or not module.bias.any()
        if isinstance(module, WindowAttention):
            assert 0.01 < module.relative_position_bias_table.std() < 0.03


def test_drop_rates_rise_to_the_last_block():
    blocks = [block for layer in tiny(0.4).layers for block in layer.blocks]
    rates = [block.drop_path.rate for block in blocks]
    torch.testing.assert_close(torch.tensor(rates), torch.linspace(0, 0.4, 5))


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (2, 5), (3, 5), (31, 18), (1, 1)])
@pytest.mark.parametrize("images", [1, 2])
def test_bands_equal_the_output_of_the_whole_map(monkeypatch, size, images):
    """One row of windows at a time, including wrapped-around and padded ones."""
    network = tiny().eval()
    block = network.layers[1].blocks[1]
    assert block.shift
    x = torch.randn(images, *size, 16)
    expected = block(x)
    monkeypatch.setattr(rows, "BLOCK", 1)
    with torch.no_grad():
        torch.testing.assert_close(block(x), expected)


@given(rows=st.integers(1, 40), window=st.integers(1, 7), lines=st.integers(1, 9), data=st.data())
def test_bands_partition_the_map(rows, window, lines, data):
    shift = data.draw(st.integers(0, window - 1))
    whole, *parts = bands(rows, window, shift, lines)
    taken = torch.cat([torch.arange(rows)[part.rows] for part in parts or [whole]])
    assert taken.sort().values.tolist() == list(range(rows))
    for part in (whole, *parts):
        x = torch.randn(1, len(torch.arange(rows)[part.rows]), 2, 1)
        assert part.pad(x).shape[1] == window * len(range(*part.window_rows.indices(99)))
        assert torch.equal(part.crop(part.pad(x)), x)
