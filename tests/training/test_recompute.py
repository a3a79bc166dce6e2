from dataclasses import replace
from functools import partial

import pytest
import torch
from conftest import TINY_DETR, TINY_MASKFORMER, TINY_RESNET, TINY_SWIN
from contracts.test_backbones import TINY_LITE

from unimask.config import ConvNeXtConfig, DiNATConfig
from unimask.modeling.build import build_segmenter
from unimask.modeling.layers.recomputable import RecomputableLayer
from unimask.training.recompute import recompute_layers

CONVNEXT = ConvNeXtConfig(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1))
DINAT = DiNATConfig(
    embed_dim=8, num_heads=(1, 2, 2, 4), kernel_size=3,
    dilations=((1,), (1,), (1,), (1,)),
)  # fmt: skip
NETWORKS = {
    "swin": TINY_SWIN,
    "resnet": TINY_RESNET,
    "convnext": replace(TINY_SWIN, backbone=CONVNEXT),
    "dinat": replace(TINY_SWIN, backbone=DINAT),
    "efficientnet-lite": replace(TINY_SWIN, backbone=TINY_LITE),
    "maskformer": TINY_MASKFORMER,
    "detr": TINY_DETR,
}


def gradients(network, pixel_values):
    torch.manual_seed(1)  # seed of drop path
    output = network(pixel_values)
    (output.mask_logits.square().mean() + output.class_logits.square().mean()).backward()
    return {n: p.grad for n, p in network.named_parameters() if p.grad is not None}


def count_call(calls, network, *_):
    calls[network] += 1


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_gradients_equal_those_without_recomputation(config):
    torch.manual_seed(0)
    pixel_values = torch.randn(1, 3, 64, 64)
    plain, recomputing = build_segmenter(config).train(), build_segmenter(config).train()
    recomputing.load_state_dict(plain.state_dict())
    recompute_layers(recomputing)
    calls = {plain: 0, recomputing: 0}
    for network in calls:
        for module in network.modules():
            if isinstance(module, RecomputableLayer):
                module.register_forward_pre_hook(partial(count_call, calls, network))
    expected, found = gradients(plain, pixel_values), gradients(recomputing, pixel_values)
    assert calls[recomputing] == 2 * calls[plain] > 0
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


def test_a_network_that_recomputes_saves_and_predicts_as_before():
    network = build_segmenter(TINY_SWIN).eval()
    names = list(network.state_dict())
    pixel_values = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = network(pixel_values)
        recompute_layers(network)
        torch.testing.assert_close(network(pixel_values).mask_logits, expected.mask_logits)
    assert list(network.state_dict()) == names
