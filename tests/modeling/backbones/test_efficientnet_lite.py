import pytest
import torch
import torch.nn.functional as F
from contracts.test_backbones import TINY_LITE

from unimask.kernels.inverted_bottleneck import same_padding
from unimask.modeling.backbones.efficientnet_lite import MBConv, SameConvNorm
from unimask.modeling.build import build_backbone
from unimask.modeling.layers.conv_norm import affine
from unimask.presets import BACKBONES


@pytest.mark.parametrize("size", [(8, 8), (7, 8), (8, 7), (5, 5), (1, 2), (2, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("groups", [1, 6])
def test_convolutions_pad_and_fold_as_written_out(size, stride, side, groups):
    torch.manual_seed(0)
    conv = SameConvNorm(6, 6, side, norm="frozen_batch", stride=stride, groups=groups).double()
    for tensor in conv.norm.buffers():
        tensor.uniform_(0.1, 2)
    maps = 9 * torch.randn(2, 6, *size, dtype=torch.float64)
    x = maps.contiguous(memory_format=torch.channels_last).requires_grad_()
    top, bottom, left, right = (
        part for length in size for part in same_padding(length, side, stride)
    )
    scale, shift = (part[:, None, None] for part in affine(conv.norm))
    padded = F.pad(x, (left, right, top, bottom))
    convolved = F.conv2d(padded, conv.weight, stride=stride, groups=groups)
    expected = F.relu6(convolved * scale + shift)
    actual = conv(x)
    assert actual.shape[2:] == tuple(-(-length // stride) for length in size)
    torch.testing.assert_close(actual, expected)
    with torch.no_grad():
        torch.testing.assert_close(conv(x), expected)
    slope = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(actual, (x, conv.weight), slope),
        torch.autograd.grad(expected, (x, conv.weight), slope),
    )


def test_blocks_of_equal_shape_have_a_shortcut():
    torch.manual_seed(0)
    x = torch.randn(1, 8, 6, 6)
    for outputs, stride, shortcut in ((8, 1, True), (16, 1, False), (8, 2, False)):
        block = MBConv(8, outputs, 3, stride=stride, expansion=6, norm="frozen_batch")
        torch.nn.init.zeros_(block.project.weight)
        assert block.has_shortcut == shortcut
        assert torch.equal(block(x), x if shortcut else torch.zeros_like(block(x)))


def test_untrained_maps_with_group_norm_neither_vanish_nor_explode():
    torch.manual_seed(0)
    config = BACKBONES["efficientnet-lite0"]
    network = build_backbone(type(config)(norm="group"))
    for feature in network(torch.randn(1, 3, 96, 96)):
        assert 0.1 < feature.std() < 10


def test_frozen_statistics_stay_while_batch_statistics_move():
    torch.manual_seed(0)
    for norm, moves in (("frozen_batch", False), ("batch", True)):
        network = build_backbone(type(TINY_LITE)(norm=norm)).train()
        before = {name: buffer.clone() for name, buffer in network.named_buffers()}
        network(torch.randn(2, 3, 64, 64))
        changed = [n for n, b in network.named_buffers() if not torch.equal(b, before[n])]
        assert bool(changed) == moves


@pytest.mark.parametrize("norm", ["frozen_batch", "batch"])
def test_predictions_follow_changes_of_weights_and_statistics(norm):
    torch.manual_seed(0)
    network = build_backbone(type(TINY_LITE)(norm=norm)).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = network(images)[-1]
    for name in ("stages.3.0.depthwise.norm.running_mean", "stages.3.0.project.weight"):
        network.state_dict()[name].add_(0.3)
        with torch.inference_mode():
            after = network(images)[-1]
        exact = build_backbone(type(TINY_LITE)(norm=norm)).double().eval()
        exact.load_state_dict(network.state_dict())
        assert not torch.allclose(before, after)
        torch.testing.assert_close(after.double(), exact(images.double())[-1], atol=1e-4, rtol=1e-4)
        before = after
