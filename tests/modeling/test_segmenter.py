"""Inputs that a network cannot take are refused in one line."""

import pytest
import torch

from unimask.errors import SettingsError
from unimask.modeling.segmenter import check_images

WEIGHT = torch.zeros(8, 3, 4, 4)
IMAGES = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (IMAGES.numpy(), "is a ndarray: pass a tensor"),
        (IMAGES[0], r"has shape \(3, 32, 32\): pass \(b, c, h, w\)"),
        (IMAGES[:, :, :0], r"has shape \(1, 3, 0, 32\)"),
        (IMAGES.byte(), r"has dtype torch.uint8, the network torch.float32"),
        (IMAGES.half(), r"has dtype torch.float16, the network torch.float32"),
        (IMAGES.to("meta"), "is on meta, the network on cpu: move one"),
    ],
    ids=["an array", "no batch", "empty", "bytes", "half precision", "another device"],
)
def test_inputs_of_another_kind_are_refused(value, reason):
    with pytest.raises(SettingsError, match=f"^pixel_values {reason}"):
        check_images(value, WEIGHT)


def test_clips_are_taken_by_networks_of_clips_only():
    check_images(IMAGES[None], WEIGHT, clips=True)
    check_images(IMAGES, WEIGHT, clips=True)
    with pytest.raises(
        SettingsError, match=r"shape \(1, 1, 3, 32, 32\): pass \(b, c, h, w\), norm"
    ):
        check_images(IMAGES[None], WEIGHT)
    with pytest.raises(SettingsError, match=r"pass \(b, c, h, w\) or \(b, t, c, h, w\)"):
        check_images(IMAGES[0], WEIGHT, clips=True)


def test_autocast_takes_floats_of_another_precision():
    with torch.autocast("cpu", torch.bfloat16):
        check_images(IMAGES.bfloat16(), WEIGHT)
        with pytest.raises(SettingsError, match=r"torch\.uint8"):
            check_images(IMAGES.byte(), WEIGHT)
    check_images(IMAGES, WEIGHT)
