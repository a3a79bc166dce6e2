"""`unimask export` on the command line."""

import torch

import unimask
from unimask.checkpoints import read_huggingface


def test_an_exported_model_is_the_same(command, tiny_model, tmp_path):
    code, printed, _ = command("export", tiny_model, "--out", tmp_path / "out")
    assert code == 0 and "2 classes" in printed
    one, other = read_huggingface(tiny_model), read_huggingface(tmp_path / "out")
    assert one.config == other.config and one.labels == other.labels
    assert all(torch.equal(other.state[name], value) for name, value in one.state.items())
    assert unimask.load(tmp_path / "out", device="cpu").tasks == one.tasks


def test_a_model_is_not_overwritten_and_formats_are_named(command, one_line, tiny_model, tmp_path):
    code, _, err = command("export", tiny_model, "--out", tiny_model)
    one_line(code, err, "already holds a model")
    code, _, err = command("export", tiny_model, "--out", tmp_path / "o", "--format", "onyx")
    one_line(code, err, "--format onyx", "huggingface")
