"""What a run starts from: an untrained architecture, or weights with a fitting class head."""

from dataclasses import replace
from pathlib import Path

import torch

from unimask.checkpoints import Checkpoint, read_backbone
from unimask.config import PostprocessingConfig, PreprocessingConfig, SegmenterConfig
from unimask.errors import SettingsError
from unimask.inference.load import read_source
from unimask.labels import TASKS, LabelSet, Task
from unimask.modeling.build import build_segmenter
from unimask.presets import PRESETS, preset
from unimask.training.settings import TrainingSettings

CLASS_HEAD = "transformer_decoder.head.class_embed."


def starting_point(
    model: str, labels: LabelSet, task: Task, settings: TrainingSettings
) -> tuple[Checkpoint, bool, str]:
    """Give the checkpoint to train from.

    Args:
        model: A preset's name, or whatever `load` takes.
        labels: Classes of the data.
        task: What is trained.
        settings: Preprocessing, seed, and the backbone's weights.

    Returns:
        The checkpoint, whether its backbone was trained before, and a line for a person.

    Raises:
        CheckpointError: Weights cannot be read, or do not fit.
        SettingsError: Weights of a backbone are given for a network that is trained already.
    """
    torch.manual_seed(settings.seed)
    if model in PRESETS:
        return untrained(model, labels, task, settings)
    if settings.backbone_weights is not None:
        raise SettingsError(
            f"{model} is trained: backbone_weights {settings.backbone_weights} go with a preset"
        )
    checkpoint = read_source(model)
    told = f"{model}: trained weights, {count(checkpoint.state):.1f} million parameters"
    if checkpoint.labels != labels:
        old = len(checkpoint.labels)
        checkpoint = replace_head(checkpoint, labels)
        told += f"; its head for {old} classes is new, for {len(labels)}; all else is kept"
    if settings.preprocessing is not None:
        checkpoint = replace(checkpoint, preprocessing=settings.preprocessing)
    return replace(checkpoint, tasks=tasks_of(task)), True, told


def untrained(
    model: str, labels: LabelSet, task: Task, settings: TrainingSettings
) -> tuple[Checkpoint, bool, str]:
    """Give a preset's network with random weights, but for the backbone's if there are any."""
    config = preset(model, len(labels))
    state = build_segmenter(config).state_dict()
    told = f"{model}: untrained, {count(state):.1f} million parameters"
    file = settings.backbone_weights
    if file is not None:
        state |= read_backbone(Path(file).expanduser(), config.backbone, state)
        told += f"; its backbone is that of {file}"
    checkpoint = Checkpoint(
        config=config,
        state=state,
        labels=labels,
        tasks=tasks_of(task),
        preprocessing=settings.preprocessing or default_preprocessing(settings),
        postprocessing=PostprocessingConfig(top_k=most_queries(config)),
    )
    return checkpoint, file is not None, told


def most_queries(config: SegmenterConfig) -> int:
    """Give the number of queries of a large picture."""
    queries = config.transformer_decoder
    return queries.num_queries + (queries.max_proposals if queries.proposals else 0)


def tasks_of(task: Task) -> tuple[Task, ...]:
    """Give what weights trained for a task can do: panoptic ones answer all three."""
    return tuple(reversed(TASKS)) if task == "panoptic" else (task,)


def default_preprocessing(settings: TrainingSettings) -> PreprocessingConfig:
    """Predict pictures at the size of the training crop."""
    crop = settings.augmentation.crop
    return PreprocessingConfig(shortest_edge=crop, longest_edge=2 * crop)


def replace_head(checkpoint: Checkpoint, labels: LabelSet) -> Checkpoint:
    """Give the class head new weights for other classes, and keep everything else."""
    config = replace(checkpoint.config, num_classes=len(labels))
    fresh = build_segmenter(config).state_dict()
    state = {
        name: fresh[name] if name.startswith(CLASS_HEAD) else tensor
        for name, tensor in checkpoint.state.items()
    }
    return replace(checkpoint, config=config, labels=labels, state=state)


def count(state: dict[str, torch.Tensor]) -> float:
    """Count parameters in millions."""
    return sum(tensor.numel() for tensor in state.values()) / 1e6
