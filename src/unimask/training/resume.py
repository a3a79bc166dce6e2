"""How an interrupted run goes on: what its folder restores, and what may be given anew."""

import os
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from unimask.checkpoints.plausible import wanted_tensors
from unimask.datasets import describe
from unimask.errors import CheckpointError, SettingsError, TrainingError
from unimask.labels import TASKS, Task
from unimask.training.choices import Choices, count_steps, find_machine
from unimask.training.fingerprint import describe_change, take_fingerprint
from unimask.training.plan import Plan, new_plan
from unimask.training.processes import check_device
from unimask.training.request import Request, chosen_tasks, open_splits
from unimask.training.run_folder import RunFolder, one_line
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
    "on_bad_picture": "what an unreadable image does",
    "max_bad_steps": "how long a run that diverges goes on",
}
"""Settings that a resumed run may be given anew, and why; all others are the run's own."""

OPTIONS = {"num_queries": "queries", "loggers": "logger"}
"""Names of options where they are not those of settings."""


def resumed_plan(request: Request, folder: RunFolder) -> Plan:
    """Restore everything from a run's folder.

    Raises:
        DataError: The dataset is not there, or is another one.
        SettingsError: Something was given that contradicts the run.
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
    checkpoint = record.network.with_weights(state.network)
    tasks: tuple[Task, ...] = TASKS if record.task == "all" else known_task(record, folder)
    dataset, validation = open_splits(request, checkpoint.config.backbone.in_channels)
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
    """Return the one task of a run.

    Raises:
        TrainingError: It has no such name.
    """
    for task in TASKS:
        if task == record.task:
            return (task,)
    raise TrainingError(f"{folder.path}: settings.json is damaged (task is {record.task!r})")


def old_plan(
    record: RunRecord, settings: TrainingSettings, request: Request, folder: RunFolder
) -> Plan:
    """Build the network of a run of an earlier release anew, from what it was started with.

    Raises:
        TrainingError: Its folder does not say what, or the classes of the dataset are others.
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
    """Return where the dataset is: where it was given, else where it was.

    Raises:
        TrainingError: It is not there any more.
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
    """Refuse a state of another network before one is built.

    Raises:
        TrainingError: Its tensors are not those of the network.
    """
    try:
        state.check_shapes(wanted_tensors(plan.checkpoint.config, state.network))
    except (ValueError, CheckpointError) as error:
        raise TrainingError(
            f"{folder.state_path} is of another network, or damaged ({one_line(error)}): start anew"
        ) from error


def compare_data(plan: Plan, request: Request, folder: RunFolder) -> None:
    """Refuse another dataset than the one that the run began with; it may have been moved.

    Raises:
        TrainingError: It differs; the message says how.
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
    """Refuse what was given and differs from what the run was started with.

    Raises:
        SettingsError: There is such an option; the message has both values.
    """
    for option, given, own in contradictions(record, settings, request):
        allowed = ", ".join(f"--{name.replace('_', '-')}" for name in map(option_name, MAY_CHANGE))
        raise SettingsError(
            f"--{option_name(option).replace('_', '-')} {given} contradicts the run in {folder}, "
            f"which has {own}: leave it out, or start a new run in another --out (a resumed run "
            f"may change {allowed}, and where DATA lies)"
        )


def option_name(setting: str) -> str:
    """Return the name of the option that a setting has."""
    return OPTIONS.get(setting, setting)


def contradictions(
    record: RunRecord, settings: TrainingSettings, request: Request
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name of each contradicting option, what was given, and what the run has."""
    old = record.network is None
    for name in ("model", "task", "names", "format", "masks", "split", "val_split"):
        given, own = getattr(request, name), getattr(record, name)
        unknown = old and own is None  # by a run of an earlier release
        if given is not None and not unknown and not same_place(given, own):
            yield name, listed(given), listed(own)
    for name, given in given_settings(request).items():
        if name in MAY_CHANGE:
            continue
        size = name == "size"
        own = settings.augmentation.crop if size else getattr(settings, name)
        automatic = name == "tokenizer" and given == AUTO
        if not automatic and not same_place(given, own):
            yield name, given, own


def given_settings(request: Request) -> dict[str, Any]:
    """Return the settings that were given, by name."""
    known = {field.name for field in fields(TrainingSettings)}
    for name in request.changes:
        if name not in known | {"size", "epochs"}:
            raise SettingsError(f"{name!r} is no setting: see TrainingSettings")
    whole = request.settings
    values = {} if whole is None else {name: getattr(whole, name) for name in sorted(known)}
    return values | dict(request.changes)


def same_place(given: Any, own: Any) -> bool:
    """Return whether two values are equal, or name the same file."""
    if isinstance(given, str) and isinstance(own, str):
        given, own = (os.path.abspath(os.path.expanduser(name)) for name in (given, own))
    return given == own


def listed(value: Any) -> str:
    """Return a value as its option is written."""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def change_settings(plan: Plan, request: Request, folder: Path) -> TrainingSettings:
    """Return the run's settings with what was given anew.

    Raises:
        SettingsError: An update would take another number of images.
    """
    given = {k: v for k, v in given_settings(request).items() if k in MAY_CHANGE}
    epochs = given.pop("epochs", None)
    if epochs is not None and "steps" in request.changes:
        raise SettingsError("give --steps or --epochs, not both")
    changed = replace(plan.settings, **given)
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
    """Yield what differs between two settings."""
    for name in MAY_CHANGE:
        old, new = getattr(before, name, None), getattr(now, name, None)
        if old != new:
            yield f"{option_name(name)} is now {listed(new)}, not {listed(old)}"


def is_over(plan: Plan) -> str:
    """Return why nothing is left to do, for a person; empty if something is."""
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
