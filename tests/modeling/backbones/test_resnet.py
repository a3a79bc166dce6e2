import pytest
import torch

from unimask.modeling.backbones.resnet import BasicBlock, FrozenBatchNorm, ResNet, build_norm


def test_frozen_batch_norm_is_batch_norm_that_nothing_changes():
    torch.manual_seed(0)
    theirs, ours = torch.nn.BatchNorm2d(6).eval(), FrozenBatchNorm(6).train()
    for name, tensor in theirs.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
            ours.get_buffer(name).copy_(tensor)
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    x = 3 + torch.randn(4, 6, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))
    assert not list(ours.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in ours.state_dict().items())


@pytest.mark.parametrize(("channels", "groups"), [(256, 32), (32, 32), (24, 8), (40, 8), (7, 1)])
def test_groups_divide_the_channels(channels, groups):
    norm = build_norm("group", channels)
    assert norm.num_groups == groups
    assert norm(torch.randn(1, channels, 1, 1)).shape == (1, channels, 1, 1)


def test_shortcuts_project_only_where_the_shape_changes():
    assert isinstance(BasicBlock(8, 8, stride=1, norm="group").shortcut, torch.nn.Identity)
    for outputs, stride in ((8, 2), (16, 1)):
        shortcut = BasicBlock(8, outputs, stride=stride, norm="group").shortcut
        assert shortcut(torch.randn(1, 8, 6, 6)).shape == (1, outputs, 6 // stride, 6 // stride)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_untrained_maps_neither_vanish_nor_explode(block):
    torch.manual_seed(0)
    network = ResNet(
        block=block, stem_channels=16, channels=(16, 32, 64, 128), depths=(2, 2, 2, 2), norm="group"
    )
    for feature in network(torch.randn(1, 3, 96, 96)):
        assert 0.1 < feature.std() < 10
