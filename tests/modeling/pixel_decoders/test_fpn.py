"""Feature pyramids against reference implementations."""

import pytest
import torch
import torch.nn.functional as F

from unimask.kernels.positions import sine_positions
from unimask.modeling.layers.detr import DetrEncoderLayer
from unimask.modeling.pixel_decoders import FPNPixelDecoder, MapEncoder, PyramidStep

CHANNELS = (8, 12, 16, 20)


def pyramid(encoder=None, dim=32):
    torch.manual_seed(0)
    steps = [PyramidStep(input_dim=channels, dim=dim) for channels in (16, 12, 8)]
    return FPNPixelDecoder(
        input_channels=CHANNELS, dim=dim, mask_dim=6, steps=steps, encoder=encoder
    ).eval()


def maps(height=50, width=70):
    """Draw maps whose sides are no multiples of each other."""
    generator = torch.Generator().manual_seed(1)
    sizes = [(-(-height // s), -(-width // s)) for s in (1, 2, 4, 8)]
    return tuple(
        torch.randn(2, channels, *size, generator=generator)
        for channels, size in zip(CHANNELS, sizes, strict=True)
    )


def smooth(part, x):
    return F.group_norm(F.conv2d(x, part[0].weight, padding=1), 32, part[1].weight, part[1].bias)


def test_the_pyramid_is_laterals_nearest_cells_and_smoothing():
    decoder, features = pyramid(), maps()
    actual = decoder(features)
    y = smooth(decoder.stem, features[3]).relu()
    expected = [y]
    for step, feature in zip(decoder.steps, (features[2], features[1], features[0]), strict=True):
        height, width = feature.shape[-2:]
        rows = torch.arange(height) * y.shape[-2] // height
        columns = torch.arange(width) * y.shape[-1] // width
        left = F.group_norm(
            F.conv2d(feature, step.lateral[0].weight), 32,
            step.lateral[1].weight, step.lateral[1].bias,
        )  # fmt: skip
        y = smooth(step.output, left + y[:, :, rows][..., columns]).relu()
        expected.append(y)
    for ours, theirs in zip(actual.multi_scale_features, expected[:3], strict=True):
        torch.testing.assert_close(ours, theirs)
    masks = F.conv2d(y, decoder.mask_features.weight, decoder.mask_features.bias, padding=1)
    torch.testing.assert_close(actual.mask_features.projected(), masks)
    assert actual.coarse is features[3]


def test_the_encoder_runs_under_the_pyramid():
    torch.manual_seed(2)
    layers = [DetrEncoderLayer(dim=32, num_heads=4, ffn_dim=16, dropout=0.5) for _ in range(2)]
    encoder = MapEncoder(input_dim=20, dim=32, layers=layers)
    decoder, features = pyramid(encoder), maps()
    actual = decoder(features)
    size = tuple(features[3].shape[-2:])
    memory = encoder.input_proj(features[3]).flatten(2).transpose(1, 2)
    codes = sine_positions(size, 32, memory.device, memory.dtype).flatten(1).T
    for layer in layers:
        reference = torch.nn.TransformerEncoderLayer(32, 4, 16, dropout=0, batch_first=True).eval()
        reference.load_state_dict(layer.state_dict())
        # PyTorch's layer adds no position encodings: compute attention outside of it.
        mixed = reference.self_attn(memory + codes, memory + codes, memory, need_weights=False)[0]
        memory = reference.norm1(memory + mixed)
        memory = reference.norm2(memory + reference.linear2(reference.linear1(memory).relu()))
    coarse = memory.transpose(1, 2).unflatten(-1, size)
    torch.testing.assert_close(actual.coarse, coarse, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        actual.multi_scale_features[0], decoder.stem(coarse), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("dim", [24, 32])
def test_batched_results_equal_single_image_results(dim):
    decoder, features = pyramid(dim=dim), maps()
    together = decoder(features)
    alone = decoder(tuple(feature[1:] for feature in features))
    torch.testing.assert_close(together.mask_features.maps[1:], alone.mask_features.maps)
