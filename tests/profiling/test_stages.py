"""Timing and FLOP counts of parts, and synthetic outputs for post-processing."""

from dataclasses import replace

import pytest
import torch
from conftest import (
    NUCLEI,
    TINY_DETR,
    TINY_FAPN,
    TINY_MASKFORMER,
    TINY_PER_PIXEL,
    TINY_RESNET,
    TINY_SWIN,
)
from contracts.test_backbones import TINY_LITE
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from unimask.kernels.linear import product
from unimask.modeling.build import build_segmenter
from unimask.outputs import SegmenterOutput
from unimask.processing import postprocess
from unimask.profiling.stages import NUM_OBJECTS, PARTS, PartsClock, count_flops, synthetic_output

CPU = torch.device("cpu")
SIZE = (128, 160)
# OneFormer and proposals do not run on "meta"; their layers are those of the others.
NETWORKS = {
    "resnet": TINY_RESNET,
    "swin": TINY_SWIN,
    "efficientnet-lite": replace(TINY_RESNET, backbone=TINY_LITE),
    "maskformer": TINY_MASKFORMER,
    "detr": TINY_DETR,
    "fapn": TINY_FAPN,
    "per-pixel": TINY_PER_PIXEL,
}


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_the_fast_paths_hide_no_arithmetic_from_the_counter(config):
    """On "meta" there are no fast paths, only operators that PyTorch's counter supports."""
    with torch.device("meta"):
        plain = build_segmenter(config).eval().requires_grad_(False)
    with torch.no_grad(), FlopCounterMode(display=False, depth=2) as counter:
        plain(torch.empty(1, 3, *SIZE, device="meta"))
    expected = counter.get_flop_counts()
    network = build_segmenter(config).eval().requires_grad_(False)
    with torch.no_grad():
        found = count_flops(network, lambda: network(torch.randn(1, 3, *SIZE)))
    for part in PARTS:
        theirs = sum(expected[f"Segmenter.{part}"].values())
        assert found[part] == pytest.approx(theirs, rel=0.03) and theirs > 0
    assert found["network"] == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_products_are_counted_by_their_shapes():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(40, 30), requires_grad=False)

        def forward(self, rows):
            return product(self.weight, None)(rows)

    network = Plain()
    with torch.no_grad():
        found = count_flops(network, lambda: network(torch.randn(2, 10, 30)))
    assert found["network"] == 2 * 2 * 10 * 30 * 40


def test_other_operations_do_not_count_towards_the_network():
    network = build_segmenter(TINY_RESNET).eval().requires_grad_(False)
    images, square = torch.randn(1, 3, 64, 64), torch.randn(500, 500)
    with torch.no_grad():
        bare = count_flops(network, lambda: network(images))
        both = count_flops(network, lambda: (square @ square, network(images)))
    assert bare == both


def test_parts_are_timed_without_modifying_the_network():
    network = build_segmenter(TINY_RESNET).eval().requires_grad_(False)
    with torch.no_grad(), PartsClock(network, CPU) as clock:
        network(torch.randn(1, 3, 64, 64))
        network(torch.randn(1, 3, 64, 64))
    assert all(len(clock.times[part]) == 2 and min(clock.times[part]) > 0 for part in PARTS)
    assert not any(module._forward_hooks for module in network.modules())
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_synthetic_objects_are_found(dtype):
    like = SegmenterOutput(
        torch.zeros(2, 50, len(NUCLEI) + 1, dtype=dtype), torch.zeros(2, 50, 64, 80, dtype=dtype)
    )
    output = synthetic_output(like)
    assert output.class_logits.shape == like.class_logits.shape
    assert output.mask_logits.shape == like.mask_logits.shape
    assert output.mask_logits.dtype == dtype
    for image in range(2):
        result = postprocess(
            output.class_logits[image],
            output.mask_logits[image],
            task="panoptic",
            labels=[f"class {n}" for n in range(len(NUCLEI))],
            is_thing=(True,) * len(NUCLEI),
            padded_size=(256, 320),
            input_size=(256, 320),
            original_size=(200, 250),
        )
        assert len(result.segments) == NUM_OBJECTS
        assert min(segment.area for segment in result.segments) > 200


def test_few_queries_show_few_objects():
    like = SegmenterOutput(torch.zeros(1, 3, 2), torch.zeros(1, 3, 16, 16))
    output = synthetic_output(like)
    assert (output.class_logits.argmax(-1) == 0).all()
    assert (output.mask_logits.amax((-2, -1)) > 0).all()
