"""Values derived from weights are recomputed when the weights change, and only then."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn

from unimask.kernels.linear import cached_for_weights, product


def cached_product(layer, x):
    """Return the layer's output with a cached weight, and how often this call prepacked it."""
    calls = []

    def make():
        calls.append(1)
        return product(layer.weight, layer.bias)

    return cached_for_weights(layer, make)(x), len(calls)


def halve(layer):
    layer.weight.mul_(0.5)


def load(layer):
    layer.load_state_dict(nn.Linear(4, 3).state_dict())


def step(layer):
    with torch.enable_grad():
        optimizer = torch.optim.AdamW(layer.parameters(), lr=1.0, fused=True)
        cached_product(layer, torch.ones(1, 4))[0].sum().backward()
        optimizer.step()


def replace(layer):
    layer.weight = nn.Parameter(torch.randn(3, 4))


def round_trip(layer):
    layer.bfloat16().float()


CHANGES = [halve, load, step, replace, round_trip]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@torch.no_grad()
def test_changed_weights_invalidate_the_cache(change):
    layer, x = nn.Linear(4, 3), torch.randn(2, 4)
    assert cached_product(layer, x)[1] == 1
    assert cached_product(layer, x)[1] == 0
    change(layer)
    actual, prepacked = cached_product(layer, x)
    assert prepacked == 1
    torch.testing.assert_close(actual, layer(x))


@torch.no_grad()
def test_copied_modules_have_their_own_cache():
    layer, x = nn.Linear(4, 3), torch.randn(2, 4)
    cached_product(layer, x)
    other = copy.deepcopy(layer)
    halve(other)
    torch.testing.assert_close(cached_product(other, x)[0], other(x))
    torch.testing.assert_close(cached_product(layer, x)[0], layer(x))


def test_with_gradients_nothing_is_cached():
    layer, x = nn.Linear(4, 3), torch.randn(2, 4)
    with torch.no_grad():
        cached_product(layer, x)
    assert cached_product(layer, x)[1] == cached_product(layer, x)[1] == 1


def test_inference_mode_weights_are_not_cached():
    with torch.inference_mode():
        layer, x = nn.Linear(4, 3), torch.randn(2, 4)
        assert cached_product(layer, x)[1] == cached_product(layer, x)[1] == 1


def test_the_cache_does_not_keep_a_module_alive():
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        cached_product(layer, torch.randn(2, 4))
    reference = weakref.ref(layer)
    del layer
    gc.collect()
    assert reference() is None
