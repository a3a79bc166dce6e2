import torch

from unimask.modeling.layers.drop_path import DropPath


def test_whole_samples_are_dropped_and_the_mean_is_kept():
    torch.manual_seed(0)
    branch = torch.ones(4000, 2, 3)
    out = DropPath(0.25).train()(branch)
    retained = out.flatten(1).any(1)
    assert torch.equal(out[retained], torch.full_like(out[retained], 1 / 0.75))
    assert 0.22 < 1 - retained.float().mean() < 0.28


def test_nothing_is_dropped_outside_training_or_without_a_rate():
    branch = torch.randn(5, 3)
    assert torch.equal(DropPath(0.9).eval()(branch), branch)
    assert torch.equal(DropPath(0.0).train()(branch), branch)
