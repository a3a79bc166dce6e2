import torch

from unimask.kernels import rows
from unimask.kernels.rows import rowwise


def test_blocks_equal_a_single_call(monkeypatch):
    torch.manual_seed(0)
    a, b, codes = torch.randn(2, 11, 3), torch.randn(2, 11, 3), torch.randn(11, 3)
    calls = []

    def mix(a, b, codes):
        calls.append(a.shape[1])
        return torch.cat([a + codes, b], dim=-1)

    expected = mix(a, b, codes)
    monkeypatch.setattr(rows, "BLOCK", 8)
    with torch.no_grad():
        assert torch.equal(rowwise(mix)(a, b, codes), expected)
    assert calls == [11, 4, 4, 3]
    assert torch.equal(rowwise(mix)(a, b, codes), expected) and calls[-1] == 11


def test_more_images_than_rows_are_processed(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK", 2)
    x = torch.randn(5, 3, 2)
    with torch.inference_mode():
        assert torch.equal(rowwise(torch.neg)(x), -x)
