import pytest
import torch
import torch.nn.functional as F

from unimask.kernels.relu6 import relu6


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format], ids=str)
def test_outputs_and_gradients_equal_pytorchs(memory_format):
    torch.manual_seed(0)
    x = (4 * torch.randn(2, 6, 5, 7)).contiguous(memory_format=memory_format)
    x[0, 0, 0, :3] = torch.tensor([0.0, 6.0, -0.0])  # bounds have no gradient
    x.requires_grad_()
    grad = torch.randn_like(x)
    expected = torch.autograd.grad(F.relu6(x * 1), x, grad)
    torch.testing.assert_close(torch.autograd.grad(relu6(x * 1), x, grad), expected)
    with torch.no_grad():
        torch.testing.assert_close(relu6(x.clone()), F.relu6(x))


def test_the_input_is_overwritten():
    x = torch.full((1, 1, 1, 2), 9.0, requires_grad=True)
    maps = x * 1
    assert relu6(maps).data_ptr() == maps.data_ptr() and maps[0, 0, 0, 0] == 6
