"""The feed-forward layer against PyTorch's functions, with and without gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unimask.kernels import feed_forward as kernel
from unimask.kernels.feed_forward import (
    Weights,
    feed_forward,
    feed_forward_autograd,
    post_norm_feed_forward,
)
from unimask.kernels.layer_norm import Norm

ACTIVATIONS = {"relu": torch.relu, "gelu": F.gelu}


def reference(x, activation, residual, widen, widen_bias, narrow, narrow_bias, *norm):
    rows = F.layer_norm(x, x.shape[-1:], *norm, 1e-5) if norm else x
    hidden = ACTIVATIONS[activation](F.linear(rows, widen, widen_bias))
    return F.linear(hidden, narrow, narrow_bias) + (rows if residual else 0)


def ours(x, activation, residual, *parameters):
    norm = Norm(*parameters[4:], 1e-5) if parameters[4:] else None
    return feed_forward_autograd(x, Weights(*parameters[:4]), activation, norm, residual=residual)


def example(*, normed, dtype=torch.float32, rows=(2, 3, 5)):
    torch.manual_seed(0)
    shapes = [(*rows, 6), (10, 6), (10,), (6, 10), (6,)] + [(6,), (6,)] * normed
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normed", [True, False], ids=["normed", "bare"])
@pytest.mark.parametrize("residual", [True, False], ids=["residual", "alone"])
@pytest.mark.parametrize("block", [40, 280, 40_000])
@pytest.mark.parametrize("narrow", [0, 192], ids=["saved", "recomputed"])
def test_values_and_gradients_equal_pytorch(
    monkeypatch, activation, normed, residual, block, narrow
):
    monkeypatch.setattr(kernel, "BLOCK_BYTES", block)
    monkeypatch.setattr(kernel, "MAX_RECOMPUTED_CHANNELS", narrow)
    x, *parameters = example(normed=normed)
    actual = ours(x, activation, residual, *parameters)
    expected = reference(x, activation, residual, *parameters)
    torch.testing.assert_close(actual, expected)
    weights = torch.randn(actual.shape)
    pairs = (torch.autograd.grad(out, [x, *parameters], weights) for out in (actual, expected))
    for our_gradient, expected_gradient in zip(*pairs, strict=True):
        torch.testing.assert_close(our_gradient, expected_gradient, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("narrow", "saved"), [(0, 1), (192, 0)], ids=["saved", "recomputed"])
def test_narrow_hidden_rows_are_recomputed(monkeypatch, narrow, saved):
    monkeypatch.setattr(kernel, "MAX_RECOMPUTED_CHANNELS", narrow)
    x, *parameters = example(normed=True)
    actual = ours(x, "gelu", False, *parameters).grad_fn.saved_tensors
    assert len(actual) == 1 + len(parameters) + saved


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_equal_those_of_the_values(activation):
    inputs = example(normed=True, dtype=torch.float64, rows=(4,))
    assert torch.autograd.gradcheck(lambda *t: ours(t[0], activation, True, *t[1:]), inputs)


def test_autocast_multiplies_in_half_precision_and_sums_in_full():
    x, *parameters = example(normed=True, rows=(300,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = ours(x, "gelu", False, *parameters)
    expected = reference(x, "gelu", False, *parameters)
    assert actual.dtype == torch.bfloat16
    torch.testing.assert_close(actual.float(), expected, atol=0.2, rtol=0.05)
    weights = torch.randn(actual.shape)
    our_gradient = torch.autograd.grad(actual, [x, *parameters], weights.bfloat16())
    for one, other in zip(
        our_gradient, torch.autograd.grad(expected, [x, *parameters], weights), strict=True
    ):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.02 * other.norm()


def layers(dropout=0.0):
    torch.manual_seed(0)
    return nn.LayerNorm(6), nn.Linear(6, 10), nn.Linear(10, 6), nn.Dropout(dropout)


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no grad"])
@pytest.mark.parametrize("normed", [True, False], ids=["normed", "bare"])
def test_layers_are_equal_with_and_without_gradients(grad, normed):
    norm, expand, project, _ = layers()
    x = torch.randn(2, 3, 5, 6)
    with torch.set_grad_enabled(grad):
        actual = feed_forward(x, expand, project, "gelu", norm=norm if normed else None)
    expected = project(F.gelu(expand(norm(x) if normed else x)))
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no grad"])
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_norm_residual_and_dropout(grad, rate):
    norm, expand, project, dropout = layers(rate)
    x = torch.randn(2, 5, 6)
    torch.manual_seed(1)
    with torch.set_grad_enabled(grad):
        actual = post_norm_feed_forward(x, norm, expand, project, dropout=dropout)
    torch.manual_seed(1)
    y = norm(x)
    expected = y + dropout(project(dropout(torch.relu(expand(y)))))
    torch.testing.assert_close(actual, expected)


def test_a_fused_optimizer_between_two_predictions_invalidates_cached_weights():
    norm, expand, project, _ = layers()
    parameters = [*norm.parameters(), *expand.parameters(), *project.parameters()]
    x = torch.randn(1, 5, 6)
    optimizer = torch.optim.AdamW(parameters, lr=0.1, fused=True)
    with torch.no_grad():
        feed_forward(x, expand, project, "gelu", norm=norm)
    feed_forward(x, expand, project, "gelu", norm=norm).sum().backward()
    optimizer.step()
    with torch.no_grad():
        actual = feed_forward(x, expand, project, "gelu", norm=norm)
        torch.testing.assert_close(actual, project(F.gelu(expand(norm(x)))))
