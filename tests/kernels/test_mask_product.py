"""Mask products whose gradients skip unsupervised masks."""

import pytest
import torch

from unimask.kernels import mask_product as kernel
from unimask.kernels.mask_product import layer_groups, layer_mask_logits, mask_logits


def example(dtype=torch.float64):
    torch.manual_seed(0)
    shapes = (2, 6, 5), (2, 6, 1), (2, 5, 3, 4)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def reference(embed, bias, features, count):
    product = torch.baddbmm(bias, embed, features.flatten(2)).unflatten(-1, features.shape[-2:])
    return product.split(count, dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
@pytest.mark.parametrize("images", [1, 2])
def test_fast_products_equal_the_reference(dtype, layout, images):
    inputs = [tensor[:images] for tensor in example(dtype)]
    inputs[2] = inputs[2].contiguous(memory_format=layout)
    with torch.no_grad():
        actual, exact = mask_logits(*inputs), mask_logits(*(tensor.double() for tensor in inputs))
    expected = torch.cat(reference(*(tensor.double() for tensor in inputs), 2), dim=1)
    torch.testing.assert_close(exact, expected)
    assert (actual - exact).abs().max() <= 2 * torch.finfo(dtype).eps * exact.abs().max()


def test_gradients_equal_those_of_the_values():
    assert torch.autograd.gradcheck(lambda *t: layer_mask_logits(*t, 2), example())


@pytest.mark.parametrize("max_copied", [0, 40, 2**25])
@pytest.mark.parametrize("supervised", [[0, 2], [1], [2, 1, 0]], ids=str)
def test_unsupervised_masks_have_no_gradient(supervised, max_copied, monkeypatch):
    """The loss uses some layers, and some masks of a layer, for any number of copies at a time."""
    monkeypatch.setattr(kernel, "MAX_COPIED", max_copied)
    inputs = example()
    actual, expected = layer_mask_logits(*inputs, 2), reference(*inputs, 2)
    losses = []
    for masks in (actual, expected):
        losses.append(sum((masks[layer][0, 1] * masks[layer][1, 0]).sum() for layer in supervised))
    torch.testing.assert_close(losses[0], losses[1])
    pairs = (torch.autograd.grad(loss, inputs) for loss in losses)
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other)


def test_small_layers_share_a_product():
    few, many = torch.arange(600) < 20, torch.arange(600) < 500
    assert layer_groups([few] * 10, 256**2) == [list(range(10))]
    assert layer_groups([many] * 3 + [few, few], 256**2) == [[0], [1], [2], [3, 4]]
    assert layer_groups([few & False, many], 256**2) == [[0, 1]]


def test_non_finite_gradients_are_reported():
    embed, bias, features = example()
    (to_embed,) = torch.autograd.grad(
        (layer_mask_logits(embed, bias, features, 6)[0] * torch.nan).sum(), [embed]
    )
    assert to_embed.isnan().all()


def test_autocast_masks_are_half_and_gradients_float32():
    inputs = example(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (masks,) = layer_mask_logits(*inputs, 6)
    assert masks.dtype == torch.bfloat16
    expected = torch.autograd.grad(reference(*inputs, 6)[0].sum(), inputs)
    for one, other in zip(torch.autograd.grad(masks.sum(), inputs), expected, strict=True):
        assert one.dtype == torch.float32 and (one - other).norm() <= 0.02 * other.norm()
