"""What a run starts from: an untrained architecture, or weights with a fitting class head."""

from dataclasses import replace

import torch

from unimask.checkpoints import Checkpoint
from unimask.config import (
    MaskedDecoderConfig,
    PerPixelConfig,
    PreprocessingConfig,
    SegmenterConfig,
)
from unimask.errors import SettingsError
from unimask.inference.load import read_source
from unimask.labels import TASKS, LabelSet, Task
from unimask.modeling.build import build_segmenter
from unimask.presets import PRESETS, family_rules, family_tasks, preset
from unimask.training.settings import TrainingSettings

CLASS_HEADS = ("transformer_decoder.head.class_embed.", "transformer_decoder.classify.")


def starting_point(
    model: str, labels: LabelSet, task: Task, settings: TrainingSettings
) -> tuple[Checkpoint, bool, str]:
    """Give the checkpoint to train from.

    Args:
        model: A preset's name, or whatever `load` takes.
        labels: Classes of the data.
        task: What is trained.
        settings: Preprocessing and seed.

    Returns:
        The checkpoint, whether its weights were trained before, and a line for a person.

    Raises:
        SettingsError: The network cannot learn the task.
    """
    torch.manual_seed(settings.seed)
    if model in PRESETS:
        config = preset(model, len(labels))
        check_task(model, config, task)
        state = build_segmenter(config).state_dict()
        preprocessing = settings.preprocessing or default_preprocessing(settings)
        checkpoint = Checkpoint(
            config=config,
            state=state,
            labels=labels,
            tasks=tasks_of(task),
            preprocessing=preprocessing,
            postprocessing=replace(family_rules(config), top_k=most_queries(config)),
        )
        return checkpoint, False, f"{model}: untrained, {count(state):.1f} million parameters"
    checkpoint = read_source(model)
    check_task(model, checkpoint.config, task)
    told = f"{model}: trained weights, {count(checkpoint.state):.1f} million parameters"
    if checkpoint.labels != labels:
        old = len(checkpoint.labels)
        checkpoint = replace_head(checkpoint, labels)
        told += f"; its head for {old} classes is new, for {len(labels)}; all else is kept"
    if settings.preprocessing is not None:
        checkpoint = replace(checkpoint, preprocessing=settings.preprocessing)
    return replace(checkpoint, tasks=tasks_of(task)), True, told


def check_task(model: str, config: SegmenterConfig, task: Task) -> None:
    """Refuse a task that the network cannot learn.

    Raises:
        SettingsError: It classifies pixels, and the task asks for objects.
    """
    possible = family_tasks(config)
    if task not in possible:
        raise SettingsError(f"{model} cannot learn {task}, only {', '.join(possible)}: choose that")


def most_queries(config: SegmenterConfig) -> int:
    """Give the number of queries of a large picture."""
    queries = config.transformer_decoder
    if isinstance(queries, PerPixelConfig):
        return config.num_classes
    if isinstance(queries, MaskedDecoderConfig) and queries.proposals:
        return queries.num_queries + queries.max_proposals
    return queries.num_queries


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
        name: fresh[name] if name.startswith(CLASS_HEADS) else tensor
        for name, tensor in checkpoint.state.items()
    }
    return replace(checkpoint, config=config, labels=labels, state=state)


def count(state: dict[str, torch.Tensor]) -> float:
    """Count parameters in millions."""
    return sum(tensor.numel() for tensor in state.values()) / 1e6
