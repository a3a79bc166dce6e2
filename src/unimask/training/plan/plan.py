"""Plan of a run: everything that it is built from, decided before anything runs."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from unimask.checkpoints import Checkpoint, ModelDescription
from unimask.checkpoints.channels import RGB
from unimask.config import PerPixelConfig, PerPixelPlusConfig
from unimask.datasets import Dataset, describe
from unimask.datasets.interface import chip_side
from unimask.datasets.statistics import MOST_PLAIN
from unimask.datasets.transforms import Augmentation
from unimask.datasets.windows import check_value_ranges, set_window
from unimask.errors import SettingsError
from unimask.inference.dtypes import FastestDtype, fastest_dtype
from unimask.inference.load import read_source
from unimask.inference.names import is_untrained
from unimask.label_sides import mirrored_label_ids, one_sided_names
from unimask.labels import LabelSet, Task
from unimask.modeling.segmenter import Segmenter
from unimask.processing.preprocess import input_size
from unimask.processing.value_ranges import RangeWarning, ignore_range_warnings
from unimask.training.plan.choices import Basis, choose_course, crop_side, image_sizes
from unimask.training.plan.default_model import with_model
from unimask.training.plan.facts import (
    Fact,
    NetworkSize,
    PrecisionChosen,
    PredictionSizeChanged,
    RareClasses,
    Schedule,
    Sides,
    TrainingData,
)
from unimask.training.plan.first_loss import expected_first_loss
from unimask.training.plan.hardware import Machine, find_machine
from unimask.training.plan.network import InitialNetwork, choose_network
from unimask.training.plan.queries import find_crowding, max_queries
from unimask.training.plan.rare_classes import choose_balance, measure_plain_share
from unimask.training.plan.scale import at_edge, choose_scale
from unimask.training.plan.volumes import with_volume_rules
from unimask.training.plan.weights import build_network
from unimask.training.request import Request, chosen_tasks, open_splits, whole_path
from unimask.training.run_record import RunRecord
from unimask.training.settings import TrainingSettings

if TYPE_CHECKING:
    from unimask.training.saved_state import SavedState

CHOSEN_OPTIONS = ("size", "batch_size", "accumulate", "learning_rate", "steps", "precision")
"""Options that are named if they were chosen rather than given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that a run is built from.

    Attributes:
        record: Record of the run's start, stored in its folder.
        settings: Settings of the run.
        description: Architecture, classes, tasks and settings of prediction.
        network: Network with its initial weights, or with the saved weights of a resumed run.
        tasks: Tasks to train for.
        dataset: Training images.
        validation: Validation images.
        facts: Facts to report before training starts.
        range_warnings: Warnings on training images that lose most of their range of values.
        state: Saved state to resume from; None for a new run.
        finished: Whether a resumed run has nothing left to do.
    """

    record: RunRecord
    settings: TrainingSettings
    description: ModelDescription
    network: Segmenter
    tasks: tuple[Task, ...]
    dataset: Dataset
    validation: Dataset
    facts: tuple[Fact, ...] = ()
    range_warnings: tuple[RangeWarning, ...] = ()
    state: "SavedState | None" = None
    finished: bool = False

    @property
    def device(self) -> str:
        """Device of the run."""
        return self.record.device or "auto"


def plan_run(request: Request, *, restored: bool = False) -> Plan:
    """Plan a new run: choose what was not given, and build the initial network.

    Args:
        request: Arguments of `train`, including data and model.
        restored: Whether saved weights follow, so that no file of backbone weights is read.

    Raises:
        CheckpointError: Weights cannot be read, or do not fit.
        DataError, TaskError: The dataset cannot be read, or does not match the task.
        SettingsError: An option does not apply to the model or to the data.
    """
    trained = read_trained(request)
    dataset, validation = open_images(request, request.requested_settings(), trained)
    request, model_chosen = with_model(request, dataset)
    model, requested = str(request.model), request.requested_settings()
    task, tasks = chosen_tasks(requested_task(request, requested, trained), model, dataset)
    machine = find_machine(request.device or "auto")
    sizes = [] if request.fixes_crop else image_sizes(dataset)
    crop = requested.augmentation.crop if request.fixes_crop else crop_side(sizes, machine)
    initial = choose_network(model, trained, dataset.labels, tasks, requested, crop)
    initial = adapt_to_parts(initial, dataset, request)
    check_requested(requested, initial)
    network = build_network(initial, requested.seed, read_backbone=not restored)
    basis = Basis(
        machine=machine,
        images=len(dataset),
        validation_images=len(validation),
        elements=sum(tensor.numel() for tensor in network.state_dict().values()),
        trained=initial.trained is not None,
        pretrained=initial.pretrained,
        fastest=find_fastest_dtype(request, machine, network),
        one_sided=one_sided_names(dataset.labels.names),
        plain_share=0.0 if request.settings is not None else measure_plain_share(dataset),
    )
    chosen, change = choose_settings(request, requested, dataset, initial, sizes, basis)
    settings = replace(requested, **chosen)
    preprocessing = chosen.get("preprocessing", initial.description.preprocessing)
    description = replace(initial.description, preprocessing=preprocessing)
    return Plan(
        record=new_record(request, task, dataset.labels, description, basis),
        settings=settings,
        description=description,
        network=network,
        tasks=tasks,
        dataset=dataset,
        validation=validation,
        range_warnings=find_range_warnings(dataset, validation, initial.description),
        facts=(
            *([] if model_chosen is None else [model_chosen]),
            *network_facts(initial, requested, basis.elements, change),
            *data_facts(request, settings, dataset, tasks, description, basis),
        ),
    )


def read_trained(request: Request) -> Checkpoint | None:
    """Read the weights that are trained further; None for an untrained network."""
    model = request.model
    return None if model is None or is_untrained(str(model)) else read_source(str(model))


def requested_task(
    request: Request, requested: TrainingSettings, trained: Checkpoint | None
) -> str | None:
    """Return the task that was given, or that of a network of clips; None for neither."""
    clips = requested.clips or (trained is not None and trained.description.config.clips)
    return request.task or ("instance" if clips else None)


def open_images(
    request: Request, requested: TrainingSettings, trained: Checkpoint | None
) -> tuple[Dataset, Dataset]:
    """Open the training and validation images with the channels and slices given, or the model's.

    Raises:
        DataError: A split cannot be opened, or their classes differ.
        SettingsError: Both splits are the same, or an option does not apply.
    """
    slices = request.slices or (trained.description.preprocessing.slices if trained else 1)
    return open_splits(request, image_channels(requested, trained), slices)


def adapt_to_parts(initial: InitialNetwork, dataset: Dataset, request: Request) -> InitialNetwork:
    """Set the pre-processing of chips of scenes and of slices of volumes."""
    initial = keep_scale_of_chips(initial, dataset, request)
    return with_volume_rules(initial, dataset, request)


def keep_scale_of_chips(
    initial: InitialNetwork, dataset: Dataset, request: Request
) -> InitialNetwork:
    """Set that a network that is trained on chips of scenes sees pixels at their own scale."""
    side = chip_side(dataset)
    if side is None or request.requested_settings().preprocessing is not None:
        return initial
    rules = at_edge(initial.description.preprocessing, side)
    rules = replace(rules, squash=None, keep_scale=True, bands=request.bands)
    return replace(initial, description=replace(initial.description, preprocessing=rules))


def find_fastest_dtype(request: Request, machine: Machine, network: Segmenter) -> FastestDtype:
    """Find the dtype in which the network trains fastest, unless the precision was given."""
    if request.settings is not None or "precision" in request.changes:
        return FastestDtype(torch.float32)
    return fastest_dtype(torch.device(machine.device), network, training=True)


def image_channels(requested: TrainingSettings, trained: Checkpoint | None) -> int:
    """Return the number of channels with which images are read."""
    if requested.channels is not None:
        return requested.channels
    return RGB if trained is None else trained.description.config.backbone.in_channels


def choose_settings(
    request: Request,
    requested: TrainingSettings,
    dataset: Dataset,
    initial: InitialNetwork,
    sizes: list[tuple[int, int]],
    basis: Basis,
) -> tuple[dict[str, Any], PredictionSizeChanged | None]:
    """Choose the settings that were not given, unless complete settings were.

    Args:
        request: Arguments of `train`.
        requested: Settings that were given, with defaults for all others.
        dataset: Training images.
        initial: Network that training starts from.
        sizes: Sizes (height, width) of some images; ignored if the crop was given.
        basis: Facts to choose from.

    Returns:
        The chosen settings by name, and a changed size of prediction, if any.
    """
    if request.settings is not None:
        return {}, None
    model, crop = initial.description, requested.augmentation.crop
    if not request.fixes_crop:  # crops as large as images in prediction
        resized = [input_size(size, model.preprocessing) for size in sizes]
        crop = crop_side(resized, basis.machine)
    with ignore_range_warnings():
        scale, change = choose_scale(dataset, model, crop, requested, new_head=initial.has_new_head)
    balance = choose_balance(model.config, basis.plain_share, request.changes)
    return choose_course(requested, request.changes, crop, basis) | scale | balance, change


def check_requested(requested: TrainingSettings, initial: InitialNetwork) -> None:
    """Raise SettingsError if settings do not go with the initial network."""
    check_class_weights(requested, initial.description)
    check_frozen(requested, initial)


def check_class_weights(requested: TrainingSettings, model: ModelDescription) -> None:
    """Raise SettingsError if class weights are requested for a network without queries.

    Raises:
        SettingsError: The network classifies pixels, whose loss has no class weights.
    """
    decoder = model.config.transformer_decoder
    if requested.weigh_classes and isinstance(decoder, PerPixelConfig | PerPixelPlusConfig):
        raise SettingsError("weigh_classes goes with networks of queries, not of pixels")


def check_frozen(requested: TrainingSettings, initial: InitialNetwork) -> None:
    """Raise SettingsError if a backbone with random weights is to be frozen.

    Raises:
        SettingsError: It is.
    """
    if requested.freeze == "backbone" and not initial.pretrained:
        raise SettingsError(
            "freeze backbone needs a pretrained backbone: pass a trained model, or backbone_weights"
        )


def find_range_warnings(
    dataset: Dataset, validation: Dataset, model: ModelDescription
) -> tuple[RangeWarning, ...]:
    """Set the model's window in both datasets, and check the values of some training images.

    Raises:
        DataError: All checked images become black.
    """
    for images in (dataset, validation):
        set_window(images, model.preprocessing.window)
    return tuple(check_value_ranges(dataset))


def network_facts(
    initial: InitialNetwork,
    requested: TrainingSettings,
    elements: int,
    change: PredictionSizeChanged | None,
) -> tuple[Fact, ...]:
    """Collect the facts about the network."""
    facts: list[Fact] = [*initial.facts, NetworkSize(elements=elements)]
    if initial.trained is None:
        facts.append(expected_first_loss(initial.description.config, requested.criterion))
    return tuple(facts if change is None else [*facts, change])


def data_facts(
    request: Request,
    settings: TrainingSettings,
    dataset: Dataset,
    tasks: tuple[Task, ...],
    model: ModelDescription,
    basis: Basis,
) -> tuple[Fact, ...]:
    """Collect the facts about the data and the course of the run."""
    given = set(CHOSEN_OPTIONS) if request.settings is not None else set(request.changes)
    schedule = Schedule(
        images=basis.images,
        validation_images=basis.validation_images,
        processes=basis.machine.processes,
        settings=settings,
        chosen=tuple(name for name in CHOSEN_OPTIONS if name not in given),
    )
    data = TrainingData(description=describe(dataset))
    facts: list[Fact] = [data, schedule]
    if basis.fastest.speedup is not None:
        facts.append(PrecisionChosen(precision=basis.precision, speedup=basis.fastest.speedup))
    facts += find_sides(dataset.labels, settings.augmentation, basis.one_sided)
    if {"repeat_rare", "weigh_classes"} - given and basis.plain_share > MOST_PLAIN:
        facts.append(
            RareClasses(
                share=basis.plain_share,
                repeat_rare=settings.repeat_rare,
                weigh_classes=settings.weigh_classes,
            )
        )
    with ignore_range_warnings():
        crowding = find_crowding(dataset, max_queries(model.config), tasks)
    return tuple(facts if crowding is None else [*facts, crowding])


def find_sides(
    labels: LabelSet, augmentation: Augmentation, one_sided: tuple[str, ...]
) -> list[Sides]:
    """Return the classes of the left and the right side, if mirrored images concern any."""
    mirrored = mirrored_label_ids(labels.names)
    pairs = tuple(
        (labels.names[first], labels.names[second])
        for first, second in enumerate(mirrored)
        if first < second
    )
    flip = augmentation.flip or augmentation.rotate
    concerned = bool(pairs) if flip else bool(one_sided)
    return [Sides(pairs=pairs, one_sided=one_sided, flip=flip)] if concerned else []


def new_record(
    request: Request, task: str, labels: LabelSet, description: ModelDescription, basis: Basis
) -> RunRecord:
    """Record the arguments of a new run."""
    return RunRecord(
        model=whole_path(str(request.model)),
        task=task,
        data=request.place(),
        labels=labels.names,
        split=request.split,
        val_split=request.val_split,
        names=request.names,
        format=request.format,
        masks=request.masks,
        bands=request.bands,
        chip=request.chip,
        slices=request.slices,
        device=request.device,
        network=description,
        processes=basis.machine.processes,
        pretrained=basis.pretrained,
        bfloat16_speedup=basis.fastest.speedup,
    )
