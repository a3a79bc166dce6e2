"""Where both sides of `training_beside_transformers.py` start: network, weights, settings."""

from pathlib import Path

import torch

from unimask.checkpoints import Checkpoint, ModelDescription, write_huggingface
from unimask.config import (
    CriterionConfig,
    DeformablePixelDecoderConfig,
    MaskedDecoderConfig,
    PostprocessingConfig,
    PreprocessingConfig,
    SegmenterConfig,
    SwinConfig,
)
from unimask.labels import TASKS, LabelSet
from unimask.modeling.build import build_segmenter
from unimask.training import TrainingSettings

SIDE, POINTS = 96, 1024
"""Of the squares that are learned from; and where their masks are compared."""


def network(classes: int) -> SegmenterConfig:
    """Give a Mask2Former of a million parameters."""
    return SegmenterConfig(
        backbone=SwinConfig(
            embed_dim=24, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8), window_size=4, drop_path=0.0
        ),
        pixel_decoder=DeformablePixelDecoderConfig(
            dim=64, mask_dim=64, num_layers=1, num_heads=4, ffn_dim=128
        ),
        transformer_decoder=MaskedDecoderConfig(
            dim=64, num_queries=30, num_layers=3, num_heads=4, ffn_dim=128
        ),
        num_classes=classes,
    )


def write_start(folder: Path, labels: LabelSet, seed: int) -> None:
    """Write untrained weights in the schema that both sides read."""
    torch.manual_seed(seed)
    config = network(len(labels))
    description = ModelDescription(
        config=config,
        labels=labels,
        tasks=tuple(reversed(TASKS)),
        preprocessing=PreprocessingConfig(shortest_edge=SIDE, longest_edge=2 * SIDE),
        postprocessing=PostprocessingConfig(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_huggingface(folder, Checkpoint(description, build_segmenter(config).state_dict()))


def shared_settings(steps: int, seed: int) -> TrainingSettings:
    """Give what both sides are told; everything else in here are our defaults."""
    return TrainingSettings(
        steps=steps,
        batch_size=4,
        learning_rate=5e-4,
        backbone_rate=1.0,  # the weights are a folder's, yet nothing was trained
        warmup_steps=min(100, steps // 10),
        seed=seed,
        criterion=CriterionConfig(num_points=POINTS),
    )
