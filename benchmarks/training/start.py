"""Initial network, weights and settings of both sides of `beside_transformers.py`."""

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
"""Side of the training squares in pixels, and number of points where their masks are compared."""


def network(classes: int) -> SegmenterConfig:
    """Return the configuration of a Mask2Former of a million parameters."""
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
    """Return the settings that both sides share; all other settings of ours are defaults."""
    return TrainingSettings(
        steps=steps,
        batch_size=4,
        learning_rate=5e-4,
        backbone_rate=1.0,  # the weights are read from a folder, but they are untrained
        warmup_steps=min(100, steps // 10),
        seed=seed,
        criterion=CriterionConfig(num_points=POINTS),
    )
