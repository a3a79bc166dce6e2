"""Initial network of a run: an untrained architecture, or trained weights with a fitting head."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from unimask.checkpoints import Checkpoint, adapt_channels, adapt_checkpoint_channels, read_backbone
from unimask.checkpoints.channels import RGB
from unimask.checkpoints.skeleton import build_skeleton
from unimask.config import (
    PerPixelPlusConfig,
    PreprocessingConfig,
    SegmenterConfig,
    TextConfig,
)
from unimask.datasets import Dataset, widest_task
from unimask.errors import SettingsError
from unimask.inference.load import read_source
from unimask.inference.names import is_untrained
from unimask.inference.untrained import describe_replacements, describe_untrained, normalised_for
from unimask.labels import TASKS, LabelSet, Task, adds_background
from unimask.modeling.build import build_segmenter
from unimask.presets import PRESETS, family_tasks
from unimask.published.model_configs import MODEL_CONFIGS
from unimask.text.tokenizers import open_tokenizer
from unimask.training.expectation import expect, fresh_class_loss
from unimask.training.queries import most_queries, raise_queries, with_queries
from unimask.training.rules import rules_for
from unimask.training.settings import TrainingSettings
from unimask.training.texts import tokenizer_for

CLASS_HEADS = ("transformer_decoder.head.class_embed.", "transformer_decoder.classify.")
CLASS_QUERIES = ("transformer_decoder.query_positions.",)
"""Prefix of the class head of networks whose queries each stand for one class."""


class Start(NamedTuple):
    """Initial network of a run.

    Attributes:
        checkpoint: Architecture, weights, classes and rules.
        pretrained: Whether the backbone has trained weights.
        words: Description for the log.
        other_classes: Whether a trained network has a new class head.
    """

    checkpoint: Checkpoint
    pretrained: bool
    words: str
    other_classes: bool = False


def starting_point(
    model: str,
    labels: LabelSet,
    tasks: tuple[Task, ...],
    settings: TrainingSettings,
    resumed: bool = False,
) -> Start:
    """Build the checkpoint that training starts from.

    Args:
        model: Name of a preset or of a published configuration, or any source of `load`.
        labels: Label set of the data.
        tasks: Tasks to train for.
        settings: Settings, of which preprocessing, tokenizer, seed and network options are used.
        resumed: Whether all weights come from a saved state, so that no backbone file is read.

    Raises:
        CheckpointError: Weights cannot be read, or do not fit.
        SettingsError: The network cannot learn the task, several tasks are given for a network
            without task token, or backbone weights are given for trained weights.
    """
    torch.manual_seed(settings.seed)
    settings = replace(settings, tokenizer=tokenizer_for(model, settings.tokenizer))
    if is_untrained(model):
        start = untrained(model, labels, settings, resumed=resumed)
    else:
        start = trained(model, labels, tasks, settings)
    checkpoint, words = start.checkpoint, start.words
    for task in tasks:
        check_task(model, checkpoint.description.config, task)
    if checkpoint.description.config.task_queries is not None:
        checkpoint, texts = add_texts(checkpoint, settings)
        words += texts
    elif len(tasks) > 1:
        raise SettingsError(f"{model} is not told its task: panoptic trains it for all three")
    check_channels(checkpoint)
    words += f"; {count(checkpoint.state):.1f} million parameters"
    if is_untrained(model):
        first = expect(checkpoint.description.config, settings.criterion)
        words += f"\nexpect a first loss near {first.headline:.1f} = {first.words} (the last of "
        words += f"{first.layers} layers; all of them, which are minimised, {first.total:.0f})"
    trained_tasks, rules = (
        tasks_of(checkpoint.description.config, tasks),
        checkpoint.description.postprocessing,
    )
    if trained_tasks != ("semantic",):
        rules = replace(rules, resize="masks")  # the rule "scores" is for semantic networks only
    before = checkpoint.description.preprocessing
    before = replace(before, window=before.window if settings.window is None else settings.window)
    checkpoint = described(
        checkpoint, tasks=trained_tasks, preprocessing=before, postprocessing=rules
    )
    return start._replace(checkpoint=checkpoint, words=words)


def trained(
    model: str, labels: LabelSet, tasks: tuple[Task, ...], settings: TrainingSettings
) -> Start:
    """Load trained weights; replace the head for other classes, and add queries if requested."""
    for name in ("backbone", "pixel_decoder", "backbone_weights"):
        value = getattr(settings, name)
        if value is not None:
            raise SettingsError(f"{model} is trained: {name} {value} goes with a preset")
    checkpoint, words = read_source(model), f"{model}: trained weights"
    ids = labels.category_ids
    if tasks == ("instance",) and adds_background(labels, checkpoint.description.labels):
        labels = checkpoint.description.labels
    rules, which = rules_for(checkpoint, labels, tasks)
    checkpoint = described(checkpoint, postprocessing=rules)
    other_classes = checkpoint.description.labels != labels
    if other_classes:
        old = len(checkpoint.description.labels)
        checkpoint = replace_head(checkpoint, labels)
        words += f", its head for {old} classes is new, for {len(labels)}; all else is kept"
        loss = fresh_class_loss(checkpoint.description.config)
        words += f" (expect a first class loss near {loss:.1f})"
    elif ids:  # results use the data's category ids, which may differ for the same classes
        numbered = replace(
            checkpoint.description.labels, category_ids=ids[: len(checkpoint.description.labels)]
        )
        checkpoint = described(checkpoint, labels=numbered)
    words += which
    checkpoint, more = raise_queries(model, checkpoint, settings.num_queries)
    before, checkpoint = checkpoint, adapt_checkpoint_channels(model, checkpoint, settings.channels)
    if checkpoint is not before:
        more += f", its first layer is changed for {settings.channels} channels"
    if settings.preprocessing is not None:
        checkpoint = described(checkpoint, preprocessing=settings.preprocessing)
    return Start(checkpoint, True, words + more, other_classes)


def untrained(model: str, labels: LabelSet, settings: TrainingSettings, *, resumed: bool) -> Start:
    """Build a network with random weights, except for a backbone's weights from a file.

    A preset predicts at the crop size of training, a published configuration at its test size.
    """
    description = describe_untrained(
        model,
        labels,
        backbone=settings.backbone,
        pixel_decoder=settings.pixel_decoder,
        channels=settings.channels,
    )
    config = with_queries(model, description.config, settings.num_queries)
    state = build_segmenter(config).state_dict()
    parts = describe_replacements(settings.backbone, settings.pixel_decoder)
    words, file = f"{model}: untrained{parts}", settings.backbone_weights
    if file is not None and not resumed:
        state |= backbone_weights(config, state, file)
        words += f", its backbone is that of {file}"
    before, rules = description.preprocessing, description.postprocessing
    if model in PRESETS:
        before = normalised_for(config, default_preprocessing(settings))
    if model in PRESETS or settings.num_queries is not None:
        rules = replace(rules, top_k=most_queries(config))
    before = settings.preprocessing or before
    description = replace(
        description, config=config, tasks=(), preprocessing=before, postprocessing=rules
    )
    return Start(Checkpoint(description, state), file is not None, words)


def usual_task(model: str, dataset: Dataset) -> str:
    """Return the default task.

    It is that of a published configuration, else the most general task of the labels.
    """
    is_published = model in MODEL_CONFIGS
    return MODEL_CONFIGS[model].publication.task if is_published else widest_task(dataset)


def backbone_weights(
    config: SegmenterConfig, state: dict[str, torch.Tensor], file: str
) -> dict[str, torch.Tensor]:
    """Read a backbone for RGB images, adapted to the network's number of channels."""
    channels = config.backbone.in_channels
    rgb = replace(config, backbone=replace(config.backbone, in_channels=RGB))
    template = state if rgb == config else build_skeleton(rgb).state_dict()
    loaded = read_backbone(Path(file).expanduser(), rgb.backbone, template)
    return adapt_channels(loaded, state, channels)


def add_texts(checkpoint: Checkpoint, settings: TrainingSettings) -> tuple[Checkpoint, str]:
    """Add a new text branch to a OneFormer without one for this tokenizer."""
    vocabulary = open_tokenizer(settings.tokenizer).vocabulary
    text = checkpoint.description.config.text
    if text is not None and text.vocabulary == vocabulary:
        return checkpoint, ""
    text = replace(text or TextConfig(), vocabulary=vocabulary)
    config = replace(checkpoint.description.config, text=text)
    fresh = build_segmenter(config).state_dict()
    state = {n: fresh[n] if n.startswith("text_mapper.") else checkpoint.state[n] for n in fresh}
    words = f", its text branch is new, for {settings.tokenizer}"
    return Checkpoint(replace(checkpoint.description, config=config), state), words


def check_channels(checkpoint: Checkpoint) -> None:
    """Raise SettingsError unless the normalisation has the network's number of channels.

    Raises:
        SettingsError: The number of means or deviations differs.
    """
    channels, rules = (
        checkpoint.description.config.backbone.in_channels,
        checkpoint.description.preprocessing,
    )
    if (len(rules.mean), len(rules.std)) != (channels, channels):
        raise SettingsError(
            f"preprocessing has {len(rules.mean)} means and {len(rules.std)} deviations, but the "
            f"network reads {channels} channels: give as many (PreprocessingConfig.with_channels)"
        )


def check_task(model: str, config: SegmenterConfig, task: Task) -> None:
    """Raise SettingsError if the network cannot learn a task.

    Raises:
        SettingsError: The network classifies pixels, and the task has objects.
    """
    possible = family_tasks(config)
    if task not in possible:
        raise SettingsError(f"{model} cannot learn {task}, only {', '.join(possible)}: choose that")


def tasks_of(config: SegmenterConfig, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """Return the tasks of trained weights, the most general first; panoptic includes all three."""
    has_task_token = config.task_queries is not None
    trained_tasks = TASKS if tasks == ("panoptic",) and not has_task_token else tasks
    return tuple(task for task in reversed(TASKS) if task in trained_tasks)


def default_preprocessing(settings: TrainingSettings) -> PreprocessingConfig:
    """Return the preprocessing that resizes images to the training crop."""
    crop = settings.augmentation.crop
    return PreprocessingConfig(shortest_edge=crop, longest_edge=2 * crop)


def replace_head(checkpoint: Checkpoint, labels: LabelSet) -> Checkpoint:
    """Replace the class head with a new one for other classes."""
    config = replace(checkpoint.description.config, num_classes=len(labels))
    fresh = build_segmenter(config).state_dict()
    per_class = isinstance(config.transformer_decoder, PerPixelPlusConfig)
    heads = CLASS_QUERIES if per_class else CLASS_HEADS
    state = {
        name: fresh[name] if name.startswith(heads) else tensor
        for name, tensor in checkpoint.state.items()
    }
    return Checkpoint(replace(checkpoint.description, config=config, labels=labels), state)


def described(checkpoint: Checkpoint, **changes: Any) -> Checkpoint:
    """Replace values in a checkpoint's description."""
    return replace(checkpoint, description=replace(checkpoint.description, **changes))


def count(state: dict[str, torch.Tensor]) -> float:
    """Compute the number of parameters in millions."""
    return sum(tensor.numel() for tensor in state.values()) / 1e6
