"""Adapting networks for RGB to other channels: predictions before fine-tuning."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY_RESNET, TINY_SWIN, tiny_checkpoint, with_description
from contracts.test_backbones import TINY
from hypothesis import given
from hypothesis import strategies as st

from unimask.checkpoints import (
    Checkpoint,
    adapt_channels,
    read_authors,
    read_huggingface,
    with_channels,
)
from unimask.checkpoints import write_huggingface as write
from unimask.checkpoints.authors.mask2former_names import NAMES
from unimask.checkpoints.channels import adapt_first_layer
from unimask.checkpoints.keymap import to_theirs
from unimask.checkpoints.skeleton import build_skeleton
from unimask.config import PreprocessingConfig
from unimask.errors import CheckpointError
from unimask.modeling.build import build_segmenter


def adapt_checkpoint_channels(model, checkpoint, channels):
    description = with_channels(model, checkpoint.description, channels)
    if description is checkpoint.description:
        return checkpoint
    expected_state = build_skeleton(description.config).state_dict()
    return Checkpoint(description, adapt_channels(checkpoint.state, expected_state, channels))


def predicted(checkpoint, pixel_values):
    network = build_segmenter(checkpoint.description.config).eval()
    network.load_state_dict(checkpoint.state)
    with torch.no_grad():
        return network(pixel_values).mask_logits


def repeat_channels(pixel_values):
    """Fill three channels by repeating the given ones cyclically."""
    return pixel_values[:, [index % pixel_values.shape[1] for index in range(3)]]


@pytest.mark.parametrize("backbone", TINY.values(), ids=TINY)
def test_additional_channels_start_with_zero_weights(backbone):
    before = tiny_checkpoint(replace(TINY_RESNET, backbone=backbone))
    after = adapt_checkpoint_channels("tiny", before, 5)
    assert after.description.config.backbone == replace(backbone, in_channels=5)
    changed = [n for n, t in after.state.items() if t.shape != before.state[n].shape]
    assert len(changed) == 1
    pixel_values = torch.randn(1, 5, 64, 64)
    torch.testing.assert_close(
        predicted(after, pixel_values), predicted(before, pixel_values[:, :3]), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("config", [TINY_RESNET, TINY_SWIN], ids=["resnet", "swin"])
def test_fewer_channels_equal_cyclically_repeated_rgb(config, channels):
    before = tiny_checkpoint(config)
    after = adapt_checkpoint_channels("tiny", before, channels)
    pixel_values = torch.randn(1, channels, 64, 64)
    torch.testing.assert_close(
        predicted(after, pixel_values), predicted(before, repeat_channels(pixel_values)),
        atol=1e-4, rtol=1e-4,
    )  # fmt: skip


@given(channels=st.integers(1, 9), seed=st.integers(0, 9))
def test_adapted_first_layers_sum_the_rgb_weights(channels, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(4, 3, 3, 3, generator=generator)
    image = torch.randn(1, channels, 7, 7, generator=generator)
    actual = torch.nn.functional.conv2d(image, adapt_first_layer(weight, channels))
    expected = torch.nn.functional.conv2d(repeat_channels(image), weight)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_normalisation_is_adapted_to_the_channels():
    rules = PreprocessingConfig()
    assert rules.with_channels(3) is rules
    average = pytest.approx((123.675 + 116.28 + 103.53) / 3)
    assert rules.with_channels(5).mean == (*rules.mean, average, average)
    assert rules.with_channels(1).mean == (average,) and len(rules.with_channels(2).std) == 2
    four = adapt_checkpoint_channels("tiny", tiny_checkpoint(), 4).description.preprocessing
    assert four.std[:3] == rules.std


def test_equal_channels_leave_the_checkpoint_unchanged():
    checkpoint = tiny_checkpoint()
    assert adapt_checkpoint_channels("tiny", checkpoint, None) is checkpoint
    assert adapt_checkpoint_channels("tiny", checkpoint, 3) is checkpoint


def test_unadaptable_weights_are_refused():
    four = adapt_checkpoint_channels("tiny", tiny_checkpoint(), 4)
    with pytest.raises(CheckpointError, match="tiny reads 4 channels, and only weights for RGB"):
        adapt_checkpoint_channels("tiny", four, 5)
    expected_state = {"a": torch.zeros(2, 5, 3, 3)}
    for shape in ((2, 12, 3, 3), (3, 3, 3, 3), (2, 3)):
        with pytest.raises(CheckpointError, match=r"a is .* only first layers"):
            adapt_channels({"a": torch.zeros(shape)}, expected_state, 5)


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("backbone", TINY.values(), ids=TINY)
def test_folders_round_trip(tmp_path, backbone, channels):
    checkpoint = tiny_checkpoint(replace(TINY_RESNET, backbone=backbone))
    checkpoint = adapt_checkpoint_channels("tiny", checkpoint, channels)
    write(tmp_path, checkpoint)
    again = read_huggingface(tmp_path)
    assert (
        again.description.config == checkpoint.description.config
        and again.description.preprocessing == checkpoint.description.preprocessing
    )
    assert all(torch.equal(again.state[name], t) for name, t in checkpoint.state.items())


def test_a_folder_that_contradicts_itself_is_refused(tmp_path):
    checkpoint = adapt_checkpoint_channels("tiny", tiny_checkpoint(), 4)
    write(tmp_path, with_description(checkpoint, preprocessing=PreprocessingConfig()))
    with pytest.raises(CheckpointError, match="reads 4 channels, but there are 3 means and 3"):
        read_huggingface(tmp_path)


@pytest.mark.parametrize("name", ["resnet-frozen", "swin", "convnext", "efficientnet-lite"])
def test_authors_files_determine_the_number_of_channels(tmp_path, name):
    config = replace(TINY_RESNET, backbone=replace(TINY[name], in_channels=6))
    state = build_segmenter(config).state_dict()
    torch.save({"model": to_theirs(state, NAMES)}, tmp_path / "model.pth")
    checkpoint, _ = read_authors(tmp_path / "model.pth")
    assert checkpoint.description.config.backbone.in_channels == 6
    assert (
        len(checkpoint.description.preprocessing.mean)
        == len(checkpoint.description.preprocessing.std)
        == 6
    )
