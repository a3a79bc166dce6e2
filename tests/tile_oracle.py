"""A network that knows the truth, which images encode."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from conftest import tiny_checkpoint
from torch import nn

from unimask.config import PostprocessingConfig, PreprocessingConfig
from unimask.datasets.rendered_town import TOWN_LABELS, TownScene
from unimask.inference.predictor import Predictor
from unimask.labels import LabelSet
from unimask.outputs import SegmenterOutput


class Oracle(nn.Module):
    """Network whose images encode the truth: the number of a segment and its class + 1.

    Args:
        stride: Pixels per mask logit.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.stride = stride

    def forward(self, pixel_values, task=None):
        codes = pixel_values.long()
        numbers, labels = codes[:, 0] + 256 * codes[:, 1], codes[:, 2] - 1
        names = numbers.unique()
        names = names[names > 0]
        masks = numbers[:, None] == names[:, None, None]
        kinds = (masks * labels[:, None].clamp(min=0)).flatten(2).amax(2)
        kinds = kinds.where(masks.flatten(2).any(2), len(TOWN_LABELS))
        class_logits = 12 * F.one_hot(kinds, len(TOWN_LABELS) + 1).float()
        logits = F.avg_pool2d(16 * masks.float() - 8, self.stride) if len(names) else masks.float()
        return SegmenterOutput(class_logits, logits)


def oracle(stride: int) -> Predictor:
    description = replace(
        tiny_checkpoint().description,
        labels=TOWN_LABELS,
        preprocessing=PreprocessingConfig(
            shortest_edge=300, longest_edge=410, mean=(0, 0, 0), std=(1, 1, 1)
        ),
        postprocessing=PostprocessingConfig(),
    )
    return Predictor(Oracle(stride), description, "oracle")  # type: ignore[arg-type]


def encoded_town(size):
    """Return an image that encodes a rendered scene, its map of segments, and their classes."""
    scene = TownScene(seed=5, size=size).render()
    keys = np.where(scene.ids > 0, scene.ids, -1 - scene.label_ids.astype(np.int32))
    _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
    numbers = numbers.reshape(size) + 1
    labels = scene.label_ids.ravel()[first]
    image = np.stack([numbers % 256, numbers // 256, scene.label_ids + 1], axis=2)
    return image.astype(np.uint8), numbers, dict(enumerate(labels.tolist(), start=1))


class Brightness(nn.Module):
    """Network whose class is 1 at pixels brighter than a threshold, else 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, pixel_values, task=None):
        logits = (pixel_values.mean(1) - 60.5) / 8
        class_logits = 12 * torch.eye(3)[:2].expand(len(logits), 2, 3)
        return SegmenterOutput(class_logits, torch.stack([-logits, logits], dim=1))


def brightness() -> Predictor:
    description = replace(
        tiny_checkpoint().description,
        labels=LabelSet(("dark", "bright"), (True, True)),
        preprocessing=PreprocessingConfig(mean=(0, 0, 0), std=(1, 1, 1), size_divisor=1),
        postprocessing=PostprocessingConfig(),
    )
    return Predictor(Brightness(), description, "brightness")  # type: ignore[arg-type]
