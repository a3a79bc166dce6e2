"""The networks of `benchmarks/peers/run.py` as `transformers` builds them, with random weights."""

import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from benchmarks.peers.cases import Network
from unimask.text.task_sentences import task_tokens

STAGES = ["stage1", "stage2", "stage3", "stage4"]


def backbone_config(network: Network) -> transformers.PreTrainedConfig:
    """Return the published sizes of a backbone; without drop path, so that training compares."""
    if network.backbone == "resnet50":
        return transformers.ResNetConfig(out_features=STAGES)  # pyright: ignore[reportCallIssue]
    large = network.backbone == "swin-large"
    return transformers.SwinConfig(
        embed_dim=192 if large else 96,
        depths=[2, 2, 18, 2] if large else [2, 2, 6, 2],
        num_heads=[6, 12, 24, 48] if large else [3, 6, 12, 24],
        window_size=12 if large else 7,
        drop_path_rate=0.0,
        out_features=STAGES,  # pyright: ignore[reportCallIssue]
    )


def build(network: Network) -> nn.Module:
    """Build the network with the weights that `transformers` draws for seed 0."""
    torch.manual_seed(0)
    shared = {
        "backbone_config": backbone_config(network),
        "num_labels": network.classes,
        "num_queries": network.queries,
        "output_auxiliary_logits": True,
    }
    if network.family == "mask2former":
        return transformers.Mask2FormerForUniversalSegmentation(
            transformers.Mask2FormerConfig(**shared)
        )
    # Its pixel decoder would apply dropout even in eval mode.
    config = transformers.OneFormerConfig(**shared, dropout=0.0, is_training=False)
    return transformers.OneFormerForUniversalSegmentation(config)


def write(network: Network, folder: Path) -> None:
    """Write the network in the schema that both read, unless the folder exists."""
    if (folder / "done").is_file():
        return
    build(network).save_pretrained(folder)  # pyright: ignore[reportCallIssue]
    (folder / "done").touch()


def read(network: Network, folder: Path) -> nn.Module:
    """Read the network as `transformers` does."""
    kinds = {
        "mask2former": transformers.Mask2FormerForUniversalSegmentation,
        "oneformer": transformers.OneFormerForUniversalSegmentation,
    }
    return kinds[network.family].from_pretrained(folder)


class Logits(nn.Module):
    """A network of `transformers` that returns only class and mask logits.

    Args:
        model: The network.
        network: Description of the network; OneFormer predicts panoptic segmentation.
        batch: Number of images per pass.
    """

    def __init__(self, model: nn.Module, network: Network, batch: int) -> None:
        super().__init__()
        self.model, self.is_oneformer = model, network.family == "oneformer"
        tokens = torch.tensor([task_tokens("panoptic", 77)] * batch).float()
        self.register_buffer("tokens", tokens)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits (b, q, k + 1) and mask logits (b, q, h / 4, w / 4)."""
        more = {"task_inputs": self.tokens} if self.is_oneformer else {}
        output = self.model(pixel_values=pixel_values, output_auxiliary_logits=False, **more)
        return output.class_queries_logits, output.masks_queries_logits


def images(batch: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    """Return normalised images of blurred spots with some noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, 3, -(-size[0] // 16), -(-size[1] // 16), generator=generator)
    spots = F.interpolate(coarse, size=size, mode="bicubic")
    return spots + 0.2 * torch.randn(batch, 3, *size, generator=generator)


def silence_logs() -> None:
    """Silence the peers' own log messages."""
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
