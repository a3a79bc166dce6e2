import pytest
import torch

from unimask.modeling.layers.conv_norm import BatchNorm, ConvNorm, FrozenBatchNorm, build_norm


def test_frozen_batch_norm_equals_batch_norm_in_eval():
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


@pytest.mark.parametrize("eps", [1e-5, 1e-3])
@pytest.mark.parametrize("kind", ["frozen_batch", "batch"])
def test_fixed_statistics_are_folded_into_the_weight(kind, eps):
    torch.manual_seed(0)
    conv = ConvNorm(6, 8, 3, norm=kind, stride=2, groups=2, eps=eps).double().eval()
    for tensor in conv.norm.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.01, 2)
    theirs = torch.nn.BatchNorm2d(8, eps=eps).double().eval()
    theirs.load_state_dict(conv.norm.state_dict(), strict=False)
    x = torch.randn(2, 6, 9, 12, dtype=torch.float64)
    plain = torch.nn.functional.conv2d(x, conv.weight, stride=2, padding=1, groups=2)
    torch.testing.assert_close(conv(x), theirs(plain))


def test_batch_norm_trains_with_the_statistics_of_the_batch():
    torch.manual_seed(0)
    conv = ConvNorm(3, 4, 1, norm="batch").train()
    out = conv(torch.randn(8, 3, 16, 16))
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    assert isinstance(conv.norm, BatchNorm) and conv.norm.running_mean.any()
    assert len(list(conv.parameters())) == 3


def test_initial_weights_of_depthwise_convolutions_have_the_scale_of_their_outputs():
    torch.manual_seed(0)
    for groups in (1, 256):
        out = ConvNorm(256, 256, 3, norm="frozen_batch", groups=groups)(torch.randn(2, 256, 32, 32))
        assert 1.2 < out.std() < 1.6
