"""Skeletons have the names and shapes of networks without allocating weights."""

import pytest
import torch
from conftest import TINY_ONEFORMER, TINY_PROPOSALS, TINY_RESNET, TINY_SWIN

from unimask.checkpoints.skeleton import build_skeleton
from unimask.modeling.build import build_segmenter
from unimask.presets import PRESETS, preset


@pytest.mark.parametrize("config", [TINY_RESNET, TINY_SWIN, TINY_PROPOSALS, TINY_ONEFORMER])
def test_names_and_shapes_are_those_of_the_network(config):
    skeleton, network = (build(config).state_dict() for build in (build_skeleton, build_segmenter))
    assert list(skeleton) == list(network)
    assert all(skeleton[name].shape == tensor.shape for name, tensor in network.items())


@pytest.mark.parametrize("name", PRESETS)
def test_no_random_weights_are_drawn(name):
    before = torch.get_rng_state()
    build_skeleton(preset(name, num_classes=3))
    assert torch.equal(torch.get_rng_state(), before)
