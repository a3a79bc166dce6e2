"""Networks of clips: weights of networks for images, attention to all frames, encodings of time."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import TINY_ONEFORMER, TINY_PROPOSALS, TINY_SWIN

from unimask.config import SegmenterConfig
from unimask.kernels.positions import clip_positions
from unimask.modeling.build import build_segmenter
from unimask.outputs import FactoredOutput

CLOSE = {"atol": 1e-3, "rtol": 1e-4}
"""Tolerance of sums in another order, behind random weights that amplify them."""


def clip_config(config: SegmenterConfig) -> SegmenterConfig:
    return replace(config, transformer_decoder=replace(config.transformer_decoder, clips=True))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = build_segmenter(clip_config(TINY_SWIN)).eval()
    for name, value in network.state_dict().items():
        if value.is_floating_point() and "norm" not in name:
            value.copy_(torch.randn_like(value) * (0.3 if value.ndim > 1 else 1))
    return network


def clip(*frames: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*frames, 3, 64, 96, generator=generator)


def test_tensors_are_those_of_a_network_for_images(network):
    images = build_segmenter(TINY_SWIN).state_dict()
    assert {name: value.shape for name, value in network.state_dict().items()} == {
        name: value.shape for name, value in images.items()
    }


@torch.no_grad()
def test_queries_of_a_clip_share_classes_and_have_a_mask_per_frame(network):
    output = network(clip(2, 3), auxiliary=True)
    queries = TINY_SWIN.transformer_decoder.num_queries
    assert output.class_logits.shape == (2, queries, 3)
    assert output.mask_logits.shape == (2, queries, 3, 16, 24)
    assert all(layer.mask_logits.shape == (2, queries, 3, 16, 24) for layer in output.auxiliary)


@torch.no_grad()
def test_clips_of_a_batch_do_not_affect_each_other(network):
    both = clip(2, 3)
    whole = network(both)
    for index in range(2):
        alone = network(both[index : index + 1])
        torch.testing.assert_close(whole.mask_logits[index], alone.mask_logits[0], **CLOSE)
        torch.testing.assert_close(whole.class_logits[index], alone.class_logits[0], **CLOSE)


@torch.no_grad()
def test_an_image_is_a_clip_of_one_frame(network):
    images = clip(2)
    for index, image in enumerate(images):
        output, alone = network(images), network(image[None, None])
        torch.testing.assert_close(output.mask_logits[index], alone.mask_logits[0, :, 0], **CLOSE)
        torch.testing.assert_close(output.class_logits[index], alone.class_logits[0], **CLOSE)


@torch.no_grad()
def test_every_frame_and_the_order_of_frames_affect_all_masks(network):
    frames = clip(1, 3)
    output = network(frames)
    changed = frames.clone()
    changed[0, 2] = clip(1, seed=1)[0]
    for other in (network(changed), network(frames.flip(1))):
        assert (other.class_logits - output.class_logits).abs().max() > 1e-3
    assert (network(changed).mask_logits[:, :, 0] - output.mask_logits[:, :, 0]).abs().max() > 1e-3


@torch.no_grad()
def test_factors_of_a_clip_multiply_to_its_masks(network):
    frames = clip(2, 3)
    whole, factored = network(frames, auxiliary=True), network(frames, factored=True)
    assert isinstance(factored, FactoredOutput)
    factors, layers = factored.masks, len(factored.class_logits)
    masks = torch.einsum("nqc,nchw->nqhw", factors.embed, factors.features)
    masks = (masks + factors.bias[..., None]).unflatten(0, (2, 3))
    for index, part in enumerate(masks.chunk(layers, dim=2)):
        layer = [*whole.auxiliary, whole][index]
        torch.testing.assert_close(part.transpose(1, 2), layer.mask_logits, **CLOSE)
        torch.testing.assert_close(factored.class_logits[index], layer.class_logits, **CLOSE)


def test_positions_are_sines_of_place_plus_sines_of_time():
    """Equation of `position_encoding.py`, one number at a time."""
    sizes, frames, dim = [(2, 3), (4, 5)], 3, 8
    found = clip_positions(sizes, frames, dim, torch.zeros(1))

    def wave(step: int, length: int, channel: int, channels: int) -> float:
        angle = step / (length + 1e-6) * 2 * math.pi
        angle /= 10000 ** (2 * (channel // 2) / channels)
        return math.cos(angle) if channel % 2 else math.sin(angle)

    for (h, w), code in zip(sizes, found, strict=True):
        rows = code.view(frames, h, w, dim)
        for t, y, x, c in torch.cartesian_prod(*map(torch.arange, (frames, h, w, dim))).tolist():
            half = dim // 2
            place = wave(y + 1, h, c, half) if c < half else wave(x + 1, w, c - half, half)
            expected = place + wave(t + 1, frames, c, dim)
            assert float(rows[t, y, x, c]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("config", [TINY_ONEFORMER, TINY_PROPOSALS], ids=["tasks", "proposals"])
def test_options_of_networks_for_images_are_refused(config):
    with pytest.raises(ValueError, match="clips have no local positions, task queries or"):
        build_segmenter(clip_config(config))
