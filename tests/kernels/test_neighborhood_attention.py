"""Neighborhood attention: both implementations against the paper's definition in loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from unimask.kernels import neighborhood_attention as room
from unimask.kernels.neighborhood_attention import (
    neighborhood_attention,
    neighborhood_attention_reference,
    neighborhood_attention_tiles,
    tiles,
)

PATHS = [neighborhood_attention_reference, neighborhood_attention_tiles]


def example(size, kernel, *, images=1, heads=2, channels=3, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (3, images, *size, heads, channels)
    parts = torch.randn(shape, generator=generator, dtype=dtype)
    r = 2 * kernel - 1
    return [*parts, torch.randn(heads, r, r, generator=generator, dtype=dtype)]


def nearest(position: int, length: int, kernel: int, dilation: int) -> list[int]:
    """Return the nearest positions, including the pixel, at multiples of the dilation."""
    others = [p for p in range(length) if (p - position) % dilation == 0]
    return sorted(others, key=lambda p: abs(p - position))[:kernel]


def reference_loop(query, key, value, bias, *, dilation):
    """Compute attention of every pixel to the nearest ones of each axis, in loops."""
    images, h, w, heads, channels = query.shape
    kernel = (bias.shape[-1] + 1) // 2
    out = torch.zeros_like(query)
    for b in range(images):
        for y in range(h):
            for x in range(w):
                neighbours = [
                    (i, j)
                    for i in nearest(y, h, kernel, dilation)
                    for j in nearest(x, w, kernel, dilation)
                ]
                assert len(neighbours) == kernel**2
                for m in range(heads):
                    logits = [
                        (query[b, y, x, m] @ key[b, i, j, m]) / math.sqrt(channels)
                        + bias[
                            m, (i - y) // dilation + kernel - 1, (j - x) // dilation + kernel - 1
                        ]
                        for i, j in neighbours
                    ]
                    weights = torch.stack(logits).softmax(0)
                    out[b, y, x, m] = sum(
                        weight * value[b, i, j, m]
                        for weight, (i, j) in zip(weights, neighbours, strict=True)
                    )
    return out


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("size", "kernel", "dilation"),
    [
        ((3, 3), 3, 1),  # one window for all
        ((5, 9), 3, 1),
        ((6, 7), 3, 2),  # each grid is one window high
        ((7, 11), 3, 2),  # grids of different sizes
        ((5, 11), 5, 1),
        ((10, 13), 3, 3),
        ((20, 3), 3, 1),  # several squares
    ],
)
def test_each_pixel_attends_to_its_nearest_neighbours(path, size, kernel, dilation):
    inputs = example(size, kernel, heads=1)
    expected = reference_loop(*inputs, dilation=dilation)
    torch.testing.assert_close(path(*inputs, dilation=dilation), expected)


@settings(max_examples=40)
@given(
    kernel=st.sampled_from([3, 5, 7]),
    dilation=st.integers(1, 5),
    more=st.tuples(st.integers(0, 21), st.integers(0, 21)),
    images=st.integers(1, 2),
)
def test_the_fast_path_equals_the_reference(kernel, dilation, more, images):
    size = (kernel * dilation + more[0], kernel * dilation + more[1])
    inputs = example(size, kernel, images=images)
    expected = neighborhood_attention_reference(*inputs, dilation=dilation)
    actual = neighborhood_attention_tiles(*inputs, dilation=dilation)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize(
    ("size", "kernel", "dilation"), [((19, 26), 5, 1), ((24, 33), 3, 5), ((23, 22), 7, 3)], ids=str
)
def test_gradients_equal_those_of_the_definition(size, kernel, dilation):
    inputs = [part.requires_grad_() for part in example(size, kernel, images=2)]
    grads = [
        torch.autograd.grad(path(*inputs, dilation=dilation).cos().sum(), inputs) for path in PATHS
    ]
    for expected, actual in zip(*grads, strict=True):
        assert expected.any()
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("path", PATHS)
def test_gradients_equal_finite_differences(path):
    inputs = [part.requires_grad_() for part in example((7, 9), 3, heads=1, channels=2)]
    assert torch.autograd.gradcheck(lambda *parts: path(*parts, dilation=2), inputs)


@pytest.mark.parametrize("side", [1, 3, 20])
def test_neither_squares_nor_steps_change_the_result(monkeypatch, side):
    inputs = [part.requires_grad_() for part in example((14, 17), 3, images=2)]
    output = neighborhood_attention_tiles(*inputs, dilation=2)
    expected = torch.autograd.grad(output.cos().sum(), inputs)
    monkeypatch.setattr(tiles, "MAX_SIDE", side)
    monkeypatch.setattr(tiles, "MAX_VALUES", {"other": 1 if side == 3 else 5000})
    tiles.segment_arrays.cache_clear()
    try:
        again = neighborhood_attention_tiles(*inputs, dilation=2)
        torch.testing.assert_close(again, output)
        actual = torch.autograd.grad(again.cos().sum(), inputs)
        torch.testing.assert_close(actual, expected)
    finally:
        tiles.segment_arrays.cache_clear()


class LargestTensor(TorchDispatchMode):
    """Mode that records the number of elements of the largest created tensor."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


def test_no_tensor_holds_the_neighbours_of_every_pixel(monkeypatch):
    monkeypatch.setattr(tiles, "MAX_VALUES", {"other": 50_000})
    inputs = [
        part.requires_grad_() for part in example((64, 64), 7, channels=8, dtype=torch.float32)
    ]
    with LargestTensor() as largest:
        neighborhood_attention(*inputs, dilation=1).sum().backward()
    assert largest.elements < 2 * inputs[0].numel()
    with LargestTensor() as largest:
        neighborhood_attention_reference(*inputs, dilation=1)
    assert largest.elements == 49 * inputs[0].numel()


def test_the_fast_path_is_used():
    assert room.neighborhood_attention is neighborhood_attention_tiles


def test_inputs_need_not_be_contiguous_and_are_not_modified():
    inputs = example((12, 18), 5)
    expected = neighborhood_attention_reference(*inputs, dilation=2)
    strided = [part.transpose(0, -1).contiguous().transpose(0, -1) for part in inputs]
    copies = [part.clone() for part in strided]
    torch.testing.assert_close(neighborhood_attention(*strided, dilation=2), expected)
    assert all(torch.equal(part, copy) for part, copy in zip(strided, copies, strict=True))


def test_half_precision_is_close_and_differentiable():
    inputs = example((16, 16), 3, channels=8, dtype=torch.float32)
    expected = neighborhood_attention_reference(*inputs, dilation=2)
    halves = [part.bfloat16().requires_grad_() for part in inputs[:3]]
    bias = inputs[3].requires_grad_()  # parameters stay float32 under autocast
    actual = neighborhood_attention(*halves, bias, dilation=2)
    assert actual.dtype == torch.bfloat16
    torch.testing.assert_close(actual.float(), expected, atol=0.05, rtol=0.05)
    actual.float().sum().backward()
    assert bias.grad.dtype == torch.float32 and all(part.grad is not None for part in halves)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("size", "kernel", "dilation", "reason"),
    [((5, 9), 3, 2, "5x9 map is too small"), ((9, 9), 4, 1, "odd")],
    ids=str,
)
def test_invalid_arguments_are_refused(path, size, kernel, dilation, reason):
    with pytest.raises(ValueError, match=reason):
        path(*example(size, kernel), dilation=dilation)


class Layer(torch.nn.Module):
    def forward(self, query, key, value, bias):
        return neighborhood_attention(query, key, value, bias, dilation=2)


def test_it_can_be_exported():
    inputs = tuple(example((13, 22), 3, dtype=torch.float32))
    program = torch.export.export(Layer(), inputs)
    actual = program.module()(*example((13, 22), 3, dtype=torch.float32, seed=1))
    expected = neighborhood_attention_reference(
        *example((13, 22), 3, dtype=torch.float32, seed=1), dilation=2
    )
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    # Tracing must not change the cache.
    torch.testing.assert_close(Layer()(*inputs), Layer()(*(part.clone() for part in inputs)))
