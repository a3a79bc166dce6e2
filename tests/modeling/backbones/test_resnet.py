import pytest
import torch
import torch.nn.functional as F

from unimask.config import ResNetConfig
from unimask.modeling.backbones.resnet import BasicBlock, Bottleneck, build_stem
from unimask.modeling.build import build_backbone


def test_shortcuts_project_only_where_the_shape_changes():
    assert isinstance(
        BasicBlock(8, 8, stride=1, norm="group", dilation=1).shortcut, torch.nn.Identity
    )
    for outputs, stride in ((8, 2), (16, 1)):
        shortcut = BasicBlock(8, outputs, stride=stride, norm="group", dilation=1).shortcut
        assert shortcut(torch.randn(1, 8, 6, 6)).shape == (1, outputs, 6 // stride, 6 // stride)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_untrained_maps_neither_vanish_nor_explode(block):
    torch.manual_seed(0)
    config = ResNetConfig(
        block=block, stem_channels=16, channels=(16, 32, 64, 128), depths=(2, 2, 2, 2), norm="group"
    )
    network = build_backbone(config)
    for feature in network(torch.randn(1, 3, 96, 96)):
        assert 0.1 < feature.std() < 10


def test_deeplabs_stem_is_three_convolutions_and_a_pool():
    torch.manual_seed(0)
    stem, x = build_stem("deeplab", 3, 12, norm="group"), torch.randn(2, 3, 37, 50)
    expected = x
    for conv, width, stride in ((stem.conv1, 6, 2), (stem.conv2, 6, 1), (stem.conv3, 12, 1)):
        assert conv.weight.shape[2:] == (3, 3) and len(conv.weight) == width
        expected = conv.norm(F.conv2d(expected, conv.weight, stride=stride, padding=1)).relu()
    torch.testing.assert_close(stem(x), F.max_pool2d(expected, 3, 2, 1))
    assert len(build_stem("basic", 3, 12, norm="group").conv1.weight[0, 0]) == 7


def test_the_last_stage_is_spread_block_by_block():
    config = ResNetConfig(
        stem_channels=8, channels=(16, 16, 32, 32), depths=(1, 1, 2, 4), last_dilations=(1, 2, 4)
    )
    network = build_backbone(config)
    assert [block.conv2.dilation[0] for block in network.res4] == [1, 1]
    assert [block.conv2.dilation[0] for block in network.res5] == [1, 2, 4, 1]


def test_dilated_blocks_have_the_expected_receptive_field():
    block = Bottleneck(16, 16, stride=1, norm="frozen_batch", dilation=3).double()
    x = torch.zeros(1, 16, 11, 11, dtype=torch.float64)
    x[:, :, 5, 5] = torch.rand(16) + 1
    changed = (block(x) != 0).any(1)[0].nonzero().tolist()
    reach = [[row, column] for row in (2, 5, 8) for column in (2, 5, 8)]
    assert [5, 5] in changed and all(place in reach for place in changed) and len(changed) > 4
