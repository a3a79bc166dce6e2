"""Small backbones of `transformers`, with random weights."""

import pytest
import torch

from unimask.checkpoints import read_huggingface
from unimask.modeling.build import build_segmenter

transformers = pytest.importorskip("transformers")

STAGES = ["stage1", "stage2", "stage3", "stage4"]


def swin(window: int = 3) -> "transformers.SwinConfig":
    return transformers.SwinConfig(
        embed_dim=8,
        depths=[1, 2, 2, 1],
        num_heads=[1, 2, 2, 4],
        window_size=window,
        out_features=STAGES,
    )


def resnet(layer_type: str) -> "transformers.ResNetConfig":
    return transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[16, 24, 32, 40],
        depths=[1, 2, 1, 2],
        layer_type=layer_type,
        out_features=STAGES,
    )


def random_weights(model: torch.nn.Module) -> None:
    """Randomise all weights: zeros and ones at initialisation would hide mistakes."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if "running_var" in name:
                tensor.copy_(noise.abs() + 0.5)
            elif "sampling_offsets.bias" in name:
                tensor.copy_(2 * noise)
            elif tensor.ndim > 1 and "embed" not in name and "queries" not in name:
                tensor.copy_(0.6 * noise / tensor[0].numel() ** 0.5)
            elif "norm" in name and name.endswith("weight"):
                tensor.copy_(1 + 0.3 * noise)
            else:
                tensor.copy_(0.5 * noise)


def assert_same_logits(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Compare logits relative to the largest, as those near zero are sums of large terms.

    Either side differed by up to 1.5e-6 of the largest logit from the network in float64.
    """
    atol = max(1e-4, 3e-6 * float(expected.detach().abs().max()))
    torch.testing.assert_close(found, expected, atol=atol, rtol=1e-4)


def load_ours(folder) -> torch.nn.Module:
    """Load a saved folder as a network of unimask."""
    checkpoint = read_huggingface(folder)
    network = build_segmenter(checkpoint.description.config).eval()
    network.load_state_dict(checkpoint.state)
    return network
