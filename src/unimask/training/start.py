"""What a run starts from: an untrained architecture, or weights with a fitting class head."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from unimask.checkpoints import Checkpoint, fit_channels, read_backbone, read_channels
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
from unimask.inference.untrained import describe_untrained, in_place, normalised_for
from unimask.labels import TASKS, LabelSet, Task, are_with_background
from unimask.modeling.build import build_segmenter
from unimask.presets import PRESETS, family_tasks
from unimask.published.configurations import CONFIGURATIONS
from unimask.text.tokenizers import open_tokenizer
from unimask.training.expectation import expect, fresh_class_loss
from unimask.training.queries import most_queries, raise_queries, with_queries
from unimask.training.rules import rules_for
from unimask.training.settings import TrainingSettings
from unimask.training.texts import tokenizer_for

CLASS_HEADS = ("transformer_decoder.head.class_embed.", "transformer_decoder.classify.")
CLASS_QUERIES = ("transformer_decoder.query_positions.",)
"""The head of networks whose every query is a class."""


class Start(NamedTuple):
    """What is trained from.

    Attributes:
        checkpoint: Architecture, weights, classes and rules.
        pretrained: Whether its backbone was trained before.
        words: A line for a person.
        other_classes: Whether it is trained, and its class head is new.
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
    """Give the checkpoint to train from.

    Args:
        model: Name of a preset or of a published configuration, or whatever `load` takes.
        labels: Classes of the data.
        tasks: What is trained.
        settings: Preprocessing, tokenizer, seed, and the backbone's weights.
        resumed: Whether a saved state brings all weights, so that the backbone's file is not read.

    Raises:
        CheckpointError: Weights cannot be read, or do not fit.
        SettingsError: The network cannot learn the task, several are to be trained and it has no
            task token, or weights of a backbone are given for one that is trained already.
    """
    torch.manual_seed(settings.seed)
    settings = replace(settings, tokenizer=tokenizer_for(model, settings.tokenizer))
    if is_untrained(model):
        start = untrained(model, labels, settings, resumed=resumed)
    else:
        start = trained(model, labels, tasks, settings)
    checkpoint, told = start.checkpoint, start.words
    for task in tasks:
        check_task(model, checkpoint.config, task)
    if checkpoint.config.task_queries is not None:
        checkpoint, texts = add_texts(checkpoint, settings)
        told += texts
    elif len(tasks) > 1:
        raise SettingsError(f"{model} is not told its task: panoptic trains it for all three")
    check_channels(checkpoint)
    told += f"; {count(checkpoint.state):.1f} million parameters"
    if is_untrained(model):
        first = expect(checkpoint.config, settings.criterion)
        told += f"\nexpect a first loss near {first.headline:.1f} = {first.words} (the last of "
        told += f"{first.layers} layers; all of them, which are minimised, {first.total:.0f})"
    known, rules = tasks_of(checkpoint.config, tasks), checkpoint.postprocessing
    if known != ("semantic",):
        rules = replace(rules, resize="masks")  # scores are the rule of semantic networks alone
    before = checkpoint.preprocessing
    before = replace(before, window=before.window if settings.window is None else settings.window)
    checkpoint = replace(checkpoint, tasks=known, preprocessing=before, postprocessing=rules)
    return start._replace(checkpoint=checkpoint, words=told)


def trained(
    model: str, labels: LabelSet, tasks: tuple[Task, ...], settings: TrainingSettings
) -> Start:
    """Give trained weights, with a new class head for other classes, and more queries if asked."""
    for name in ("backbone", "pixel_decoder", "backbone_weights"):
        given = getattr(settings, name)
        if given is not None:
            raise SettingsError(f"{model} is trained: {name} {given} goes with a preset")
    checkpoint, told = read_source(model), f"{model}: trained weights"
    ids = labels.category_ids
    if tasks == ("instance",) and are_with_background(labels, checkpoint.labels):
        labels = checkpoint.labels
    rules, which = rules_for(checkpoint, labels, tasks)
    checkpoint = replace(checkpoint, postprocessing=rules)
    other_classes = checkpoint.labels != labels
    if other_classes:
        old = len(checkpoint.labels)
        checkpoint = replace_head(checkpoint, labels)
        told += f", its head for {old} classes is new, for {len(labels)}; all else is kept"
        told += f" (expect a first class loss near {fresh_class_loss(checkpoint.config):.1f})"
    elif ids:  # results are for the data at hand, which may number the same classes differently
        numbered = replace(checkpoint.labels, category_ids=ids[: len(checkpoint.labels)])
        checkpoint = replace(checkpoint, labels=numbered)
    told += which
    checkpoint, more = raise_queries(model, checkpoint, settings.num_queries)
    before, checkpoint = checkpoint, read_channels(model, checkpoint, settings.channels)
    if checkpoint is not before:
        more += f", its first layer is changed for {settings.channels} channels"
    if settings.preprocessing is not None:
        checkpoint = replace(checkpoint, preprocessing=settings.preprocessing)
    return Start(checkpoint, True, told + more, other_classes)


def untrained(model: str, labels: LabelSet, settings: TrainingSettings, *, resumed: bool) -> Start:
    """Give a network with random weights, but for the backbone's if there are any.

    A preset predicts at the size of training, a published configuration at its authors' test size.
    """
    checkpoint = describe_untrained(
        model,
        labels,
        backbone=settings.backbone,
        pixel_decoder=settings.pixel_decoder,
        channels=settings.channels,
    )
    config = with_queries(model, checkpoint.config, settings.num_queries)
    state = build_segmenter(config).state_dict()
    parts = in_place(settings.backbone, settings.pixel_decoder)
    told, file = f"{model}: untrained{parts}", settings.backbone_weights
    if file is not None and not resumed:
        state |= backbone_weights(config, state, file)
        told += f", its backbone is that of {file}"
    checkpoint = replace(checkpoint, config=config, state=state, tasks=())
    before, rules = checkpoint.preprocessing, checkpoint.postprocessing
    if model in PRESETS:
        before = normalised_for(config, default_preprocessing(settings))
    if model in PRESETS or settings.num_queries is not None:
        rules = replace(rules, top_k=most_queries(config))
    before = settings.preprocessing or before
    checkpoint = replace(checkpoint, preprocessing=before, postprocessing=rules)
    return Start(checkpoint, file is not None, told)


def usual_task(model: str, dataset: Dataset) -> str:
    """Give what is trained unless somebody says.

    A configuration's own task, else the one of the data that asks for the most.
    """
    known = model in CONFIGURATIONS
    return CONFIGURATIONS[model].publication.task if known else widest_task(dataset)


def backbone_weights(
    config: SegmenterConfig, state: dict[str, torch.Tensor], file: str
) -> dict[str, torch.Tensor]:
    """Read a backbone of RGB pictures, fitted to the channels that the network reads."""
    channels = config.backbone.in_channels
    rgb = replace(config, backbone=replace(config.backbone, in_channels=RGB))
    wanted = state if rgb == config else build_skeleton(rgb).state_dict()
    found = read_backbone(Path(file).expanduser(), rgb.backbone, wanted)
    return fit_channels(found, state, channels)


def add_texts(checkpoint: Checkpoint, settings: TrainingSettings) -> tuple[Checkpoint, str]:
    """Give a OneFormer without text branch a new one, for the tokens that it will read."""
    vocabulary = open_tokenizer(settings.tokenizer).vocabulary
    text = checkpoint.config.text
    if text is not None and text.vocabulary == vocabulary:
        return checkpoint, ""
    text = replace(text or TextConfig(), vocabulary=vocabulary)
    config = replace(checkpoint.config, text=text)
    fresh = build_segmenter(config).state_dict()
    state = {n: fresh[n] if n.startswith("text_mapper.") else checkpoint.state[n] for n in fresh}
    told = f", its text branch is new, for {settings.tokenizer}"
    return replace(checkpoint, config=config, state=state), told


def check_channels(checkpoint: Checkpoint) -> None:
    """Refuse a normalisation of other channels than the network reads.

    Raises:
        SettingsError: There are more or fewer means or deviations.
    """
    channels, rules = checkpoint.config.backbone.in_channels, checkpoint.preprocessing
    if (len(rules.mean), len(rules.std)) != (channels, channels):
        raise SettingsError(
            f"preprocessing has {len(rules.mean)} means and {len(rules.std)} deviations, but the "
            f"network reads {channels} channels: give as many (PreprocessingConfig.for_channels)"
        )


def check_task(model: str, config: SegmenterConfig, task: Task) -> None:
    """Refuse a task that the network cannot learn.

    Raises:
        SettingsError: It classifies pixels, and the task asks for objects.
    """
    possible = family_tasks(config)
    if task not in possible:
        raise SettingsError(f"{model} cannot learn {task}, only {', '.join(possible)}: choose that")


def tasks_of(config: SegmenterConfig, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """Give what weights can do, widest first: panoptic ones answer all three if not told which."""
    told = config.task_queries is not None
    known = TASKS if tasks == ("panoptic",) and not told else tasks
    return tuple(task for task in reversed(TASKS) if task in known)


def default_preprocessing(settings: TrainingSettings) -> PreprocessingConfig:
    """Predict pictures at the size of the training crop."""
    crop = settings.augmentation.crop
    return PreprocessingConfig(shortest_edge=crop, longest_edge=2 * crop)


def replace_head(checkpoint: Checkpoint, labels: LabelSet) -> Checkpoint:
    """Give the class head new weights for other classes, and keep everything else."""
    config = replace(checkpoint.config, num_classes=len(labels))
    fresh = build_segmenter(config).state_dict()
    per_class = isinstance(config.transformer_decoder, PerPixelPlusConfig)
    heads = CLASS_QUERIES if per_class else CLASS_HEADS
    state = {
        name: fresh[name] if name.startswith(heads) else tensor
        for name, tensor in checkpoint.state.items()
    }
    return replace(checkpoint, config=config, labels=labels, state=state)


def count(state: dict[str, torch.Tensor]) -> float:
    """Count parameters in millions."""
    return sum(tensor.numel() for tensor in state.values()) / 1e6
