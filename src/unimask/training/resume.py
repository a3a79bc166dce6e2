"""Resuming of a run: what its folder restores, and which settings may change."""

import os
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from unimask.checkpoints import Checkpoint
from unimask.checkpoints.config_validation import expected_tensors
from unimask.datasets import describe
from unimask.errors import CheckpointError, SettingsError, TrainingError, one_line
from unimask.labels import TASKS, Task
from unimask.training.choices import Choices, count_steps, find_machine
from unimask.training.fingerprint import describe_change, take_fingerprint
from unimask.training.plan import Plan, new_plan
from unimask.training.processes import check_device
from unimask.training.request import Request, chosen_tasks, open_splits
from unimask.training.run_folder import RunFolder
from unimask.training.run_record import RunRecord
from unimask.training.saved_state import SavedState
from unimask.training.settings import TrainingSettings
from unimask.training.texts import AUTO

MAY_CHANGE = {
    "device": "where steps are computed, not what they are",
    "steps": "a run may be longer or shorter than planned; the rest follows the longer schedule",
    "epochs": "steps in passes over the data",
    "learning_rate": "what a run that diverges asks for; it holds from the saved step on",
    "precision": "likewise",
    "batch_size": "the images of an update stay the same if --accumulate makes up for it",
    "accumulate": "likewise",
    "recompute": "the same numbers with less memory",
    "workers": "who reads the images, not which",
    "evaluate_every": "when scores are computed, not what is learned",
    "patience": "likewise",
    "save_every": "when states are saved",
    "loggers": "where curves are shown",
    "on_bad_image": "what an unreadable image does",
    "max_bad_steps": "how long a run that diverges goes on",
}
"""Settings that may change when a run is resumed, and the reason; all others are fixed."""

PYTHON_ONLY = frozenset({"save_every", "max_bad_steps"})
"""Settings that the command line has no option for."""

OPTIONS = {"num_queries": "queries", "loggers": "logger"}
"""Names of options that differ from their settings."""


def resumed_plan(request: Request, folder: RunFolder) -> Plan:
    """Restore the plan of a run from its folder.

    Raises:
        DataError: The dataset is missing, or differs.
        SettingsError: An argument contradicts the run.
        TrainingError: The folder holds no run, or is damaged.
    """
    record, settings = folder.read_record()
    state = folder.read_state()
    refuse_contradictions(record, settings, request, folder.path)
    request = replace(
        request,
        data=find_data(record, request, folder.path),
        device=request.device or record.device,
        names=record.names or request.names,
        format=record.format or request.format,
        masks=record.masks or request.masks,
        split=record.split,
        val_split=record.val_split,
    )
    check_device(request.device or "auto")
    if record.network is None:
        plan = old_plan(record, settings, request, folder)
    else:
        plan = restored_plan(record, settings, request, folder, state)
    check_weights(plan, state, folder)
    compare_data(plan, request, folder)
    changed = change_settings(plan, request, folder.path)
    words = f"{plan.record.model}: goes on after step {state.step} of {changed.steps}"
    words += "".join(f"; {change}" for change in describe_changes(settings, changed))
    counts = len(plan.dataset), len(plan.validation)
    machine = find_machine(plan.device)
    schedule = Choices({}, changed, [], machine).in_words(changed, *counts)
    words += f"\n{describe(plan.dataset)}\n{schedule}"
    record = replace(plan.record, data=request.place(), processes=machine.processes)
    return replace(plan, record=record, settings=changed, words=words, state=state)


def restored_plan(
    record: RunRecord,
    settings: TrainingSettings,
    request: Request,
    folder: RunFolder,
    state: SavedState,
) -> Plan:
    """Restore the network from the run's own files, and open its dataset."""
    assert record.network is not None
    checkpoint = Checkpoint(record.network, state.network)
    tasks: tuple[Task, ...] = TASKS if record.task == "all" else known_task(record, folder)
    try:
        dataset, validation = open_splits(
            request, checkpoint.description.config.backbone.in_channels
        )
    except SettingsError as error:  # the options are the run's own, so the data are not
        raise TrainingError(
            f"{request.place()} is not the dataset of the run in {folder.path}, whose options do "
            f"not suit it ({error}): give that dataset, or start a new run in another --out"
        ) from error
    return Plan(
        record=replace(record, device=request.device),
        settings=settings,
        checkpoint=checkpoint,
        tasks=tasks,
        dataset=dataset,
        validation=validation,
        words="",
    )


def known_task(record: RunRecord, folder: RunFolder) -> tuple[Task, ...]:
    """Return the single task of a run.

    Raises:
        TrainingError: The recorded task is unknown.
    """
    for task in TASKS:
        if task == record.task:
            return (task,)
    raise TrainingError(f"{folder.path}: settings.json is damaged (task is {record.task!r})")


def old_plan(
    record: RunRecord, settings: TrainingSettings, request: Request, folder: RunFolder
) -> Plan:
    """Build the plan of a run of an earlier release again from the arguments of its start.

    Raises:
        TrainingError: The arguments are not recorded, or the dataset has other classes.
    """
    model, task = request.model or record.model, request.task or record.task
    if model is None or task is None:
        lacks = "--model" if model is None else "--task"
        raise TrainingError(
            f"{folder.path} was written by an earlier release and does not record its {lacks}: "
            "give it as at the start"
        )
    request = replace(request, model=model, settings=settings, changes={})
    splits = open_splits(request)
    if record.labels and splits[0].labels.names != record.labels:
        raise TrainingError(
            f"{folder.path} was written by an earlier release, with the classes "
            f"{', '.join(record.labels[:6])}; the dataset has "
            f"{', '.join(splits[0].labels.names[:6])}: give --names and --format as at the start"
        )
    return new_plan(request, splits, *chosen_tasks(task, model, splits[0]), resumed=True)


def find_data(record: RunRecord, request: Request, folder: Path) -> str:
    """Return the path or Hub name of the dataset: the given one, else the recorded one.

    Raises:
        TrainingError: The recorded folder does not exist.
    """
    if request.data is not None:
        return str(request.data)
    if record.data is None:
        raise TrainingError(f"{folder} does not record its dataset: give DATA")
    path = Path(record.data)
    if path.is_absolute() and not path.exists():
        raise TrainingError(
            f"the dataset of the run in {folder} was {record.data}, which is gone: give its new "
            "place before --resume"
        )
    return record.data


def check_weights(plan: Plan, state: SavedState, folder: RunFolder) -> None:
    """Raise TrainingError if a saved state does not match the network, before building it.

    Raises:
        TrainingError: Tensors are missing, unknown, or of another shape.
    """
    try:
        state.check_shapes(expected_tensors(plan.checkpoint.description.config, state.network))
    except (ValueError, CheckpointError) as error:
        raise TrainingError(
            f"{folder.state_path} is of another network, or damaged ({one_line(error)}): start anew"
        ) from error


def compare_data(plan: Plan, request: Request, folder: RunFolder) -> None:
    """Raise TrainingError if the dataset differs from that of the run; it may have been moved.

    Raises:
        TrainingError: It differs; the message describes how.
    """
    before = folder.read_fingerprint()
    if before is None:
        return
    place = Path(request.place())
    change = describe_change(before, take_fingerprint(plan.dataset, plan.validation, place))
    if change:
        raise TrainingError(
            f"{place} is not the dataset of the run in {folder.path}: {change}; give that dataset, "
            "or start a new run in another --out"
        )


def refuse_contradictions(
    record: RunRecord, settings: TrainingSettings, request: Request, folder: Path
) -> None:
    """Raise SettingsError if a given argument differs from that of the run.

    Raises:
        SettingsError: There is one; the message has both values.
    """
    for option, value, own in contradictions(record, settings, request):
        allowed = ", ".join(
            f"--{option_name(name).replace('_', '-')}"
            for name in MAY_CHANGE
            if name not in PYTHON_ONLY
        )
        raise SettingsError(
            f"--{option_name(option).replace('_', '-')} {value} contradicts the run in {folder}, "
            f"which has {own}: leave it out, or start a new run in another --out (a resumed run "
            f"may change {allowed}, and where DATA lies)"
        )


def option_name(setting: str) -> str:
    """Return the name of a setting's option."""
    return OPTIONS.get(setting, setting)


def contradictions(
    record: RunRecord, settings: TrainingSettings, request: Request
) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, given value and run's value of each contradicting argument."""
    old = record.network is None
    for name in ("model", "task", "names", "format", "masks", "split", "val_split"):
        value, own = getattr(request, name), getattr(record, name)
        unknown = old and own is None  # not recorded by an earlier release
        if value is not None and not unknown and not same_place(value, own):
            yield name, listed(value), listed(own)
    for name, value in given_settings(request).items():
        if name in MAY_CHANGE:
            continue
        size = name == "size"
        own = settings.augmentation.crop if size else getattr(settings, name)
        automatic = name == "tokenizer" and value == AUTO
        if not automatic and not same_place(value, own):
            yield name, listed(value), listed(own)


def given_settings(request: Request) -> dict[str, Any]:
    """Return the given settings by name."""
    field_names = {field.name for field in fields(TrainingSettings)}
    for name in request.changes:
        if name not in field_names | {"size", "epochs"}:
            raise SettingsError(f"{name!r} is no setting: see TrainingSettings")
    whole = request.settings
    values = {} if whole is None else {name: getattr(whole, name) for name in sorted(field_names)}
    return values | dict(request.changes)


def same_place(given: Any, own: Any) -> bool:
    """Return whether two values are equal, or paths of the same file."""
    if isinstance(given, str) and isinstance(own, str):
        given, own = (os.path.abspath(os.path.expanduser(name)) for name in (given, own))
    return given == own


def listed(value: Any) -> str:
    """Format a value as on the command line."""
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def change_settings(plan: Plan, request: Request, folder: Path) -> TrainingSettings:
    """Return the run's settings with the changes that were given.

    Raises:
        SettingsError: The number of images per step would change.
    """
    changes = {k: v for k, v in given_settings(request).items() if k in MAY_CHANGE}
    epochs = changes.pop("epochs", None)
    if epochs is not None and "steps" in request.changes:
        raise SettingsError("give --steps or --epochs, not both")
    changed = replace(plan.settings, **changes)
    machine = find_machine(plan.device)
    processes = machine.processes
    images = changed.batch_size * changed.accumulate * processes
    before = plan.settings.batch_size * plan.settings.accumulate
    before *= plan.record.processes or processes
    if images != before:
        passes = before / (changed.batch_size * processes)
        advice = f"--accumulate {passes:g}" if passes.is_integer() else "another --batch-size"
        raise SettingsError(
            f"an update of the run in {folder} takes {before} images, this would take {images} "
            f"({changed.batch_size} at a time, {changed.accumulate} passes, {processes} "
            f"processes): give {advice}"
        )
    if epochs is not None:
        steps = count_steps(len(plan.dataset), images, epochs, machine)
        changed = replace(changed, steps=steps)
    return changed


def describe_changes(before: TrainingSettings, now: TrainingSettings) -> Iterator[str]:
    """Describe the settings that differ."""
    for name in MAY_CHANGE:
        old, new = getattr(before, name, None), getattr(now, name, None)
        if old != new:
            yield f"{option_name(name)} is now {listed(new)}, not {listed(old)}"


def is_over(plan: Plan) -> str:
    """Describe why nothing is left to do; empty if something is."""
    state, settings = plan.state, plan.settings
    if state is None:
        return ""
    if settings.patience and state.worse >= settings.patience and not state.unjudged:
        return (
            f"the run ended after step {state.step}, as its score had not risen for {state.worse} "
            "validations: raise --patience to go on"
        )
    if state.step > settings.steps or (state.step == settings.steps and not state.unjudged):
        return (
            f"the run has taken {state.step} steps, and {settings.steps} are asked for: nothing is "
            "left to do, the weights stay as they are"
        )
    return ""
