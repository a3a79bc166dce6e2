"""Plan of a resumed run, from the files of its folder."""

from dataclasses import replace
from pathlib import Path

from unimask.checkpoints.config_validation import expected_tensors
from unimask.checkpoints.skeleton import build_skeleton
from unimask.config import SegmenterConfig
from unimask.datasets import describe
from unimask.errors import CheckpointError, SettingsError, TrainingError, one_line
from unimask.labels import TASKS, Task
from unimask.modeling.segmenter import Segmenter
from unimask.training.fingerprint import describe_change, take_fingerprint
from unimask.training.plan.changes import change_settings, find_changes, refuse_contradictions
from unimask.training.plan.facts import (
    AllStepsTaken,
    Fact,
    Resumed,
    Schedule,
    StoppedEarly,
    TrainingData,
)
from unimask.training.plan.hardware import find_machine
from unimask.training.plan.plan import Plan, find_range_warnings, plan_run
from unimask.training.processes import check_device
from unimask.training.request import Request, open_splits
from unimask.training.run_folder import RunFolder
from unimask.training.run_record import RunRecord
from unimask.training.saved_state import SavedState
from unimask.training.settings import TrainingSettings


def plan_resumed_run(request: Request, folder: RunFolder) -> Plan:
    """Plan the continuation of a run from its folder.

    Raises:
        DataError: The dataset is missing, or differs.
        SettingsError: An argument contradicts the run.
        TrainingError: The folder holds no run, or is damaged.
    """
    record, settings = folder.read_record()
    state = folder.read_state()
    refuse_contradictions(record, settings, request, folder.path)
    request = with_recorded(request, record, folder.path)
    check_device(request.device or "auto")
    if record.network is None:
        plan = plan_old_run(record, settings, request, folder, state)
    else:
        plan = plan_recorded_run(record, settings, request, folder, state)
    compare_data(plan, request, folder)
    changed = change_settings(plan, request, folder.path)
    machine = find_machine(plan.device)
    schedule = Schedule(
        images=len(plan.dataset),
        validation_images=len(plan.validation),
        processes=machine.processes,
        settings=changed,
    )
    over = nothing_left(state, changed)
    facts: tuple[Fact, ...] = (
        Resumed(model=str(plan.record.model), step=state.progress.step, steps=changed.steps),
        *find_changes(settings, changed),
        TrainingData(description=describe(plan.dataset)),
        schedule,
    )
    return replace(
        plan,
        record=replace(plan.record, data=request.place(), processes=machine.processes),
        settings=changed,
        facts=facts if over is None else (over,),
        state=state,
        finished=over is not None,
    )


def with_recorded(request: Request, record: RunRecord, folder: Path) -> Request:
    """Complete the arguments of a resumed run by those of its start."""
    return replace(
        request,
        data=find_data(record, request, folder),
        device=request.device or record.device,
        names=record.names or request.names,
        format=record.format or request.format,
        masks=record.masks or request.masks,
        split=record.split,
        val_split=record.val_split,
        bands=record.bands,
        chip=record.chip,
        slices=record.slices,
    )


def plan_recorded_run(
    record: RunRecord,
    settings: TrainingSettings,
    request: Request,
    folder: RunFolder,
    state: SavedState,
) -> Plan:
    """Restore the network from the run's own files, and open its dataset."""
    description = record.network
    assert description is not None
    tasks: tuple[Task, ...] = TASKS if record.task == "all" else known_task(record, folder)
    try:
        channels, slices = description.config.backbone.in_channels, description.preprocessing.slices
        dataset, validation = open_splits(request, channels, slices)
    except SettingsError as error:  # the options are the run's own, so the data are not
        raise TrainingError(
            f"{request.place()} is not the dataset of the run in {folder.path}, whose options do "
            f"not suit it ({error}): pass that dataset, or start a new run in another --out"
        ) from error
    return Plan(
        record=replace(record, device=request.device),
        settings=settings,
        description=description,
        network=restore_network(description.config, state, folder),
        tasks=tasks,
        dataset=dataset,
        validation=validation,
        range_warnings=find_range_warnings(dataset, validation, description),
    )


def restore_network(config: SegmenterConfig, state: SavedState, folder: RunFolder) -> Segmenter:
    """Build a network with the saved weights, after checking them.

    Raises:
        TrainingError: Tensors are missing, unknown, or of another shape.
    """
    try:
        state.check_shapes(expected_tensors(config, state.network))
    except (ValueError, CheckpointError) as error:
        raise TrainingError(
            f"{folder.state_path} is of another network, or damaged ({one_line(error)}): start anew"
        ) from error
    network = build_skeleton(config)
    network.load_state_dict(state.network)
    return network


def known_task(record: RunRecord, folder: RunFolder) -> tuple[Task, ...]:
    """Return the single task of a run.

    Raises:
        TrainingError: The recorded task is unknown.
    """
    for task in TASKS:
        if task == record.task:
            return (task,)
    raise TrainingError(f"{folder.path}: settings.json is damaged (task is {record.task!r})")


def plan_old_run(
    record: RunRecord,
    settings: TrainingSettings,
    request: Request,
    folder: RunFolder,
    state: SavedState,
) -> Plan:
    """Plan the run of an earlier release again from the arguments of its start.

    Raises:
        TrainingError: The arguments are not recorded, or the dataset has other classes.
    """
    model, task = request.model or record.model, request.task or record.task
    if model is None or task is None:
        lacks = "--model" if model is None else "--task"
        raise TrainingError(
            f"{folder.path} was written by an earlier release and does not record its {lacks}: "
            "pass it as at the start"
        )
    request = replace(request, model=model, task=task, settings=settings, changes={})
    plan = plan_run(request, restored=True)
    names = plan.dataset.labels.names
    if record.labels and names != record.labels:
        raise TrainingError(
            f"{folder.path} was written by an earlier release, with the classes "
            f"{', '.join(record.labels[:6])}; the dataset has "
            f"{', '.join(names[:6])}: pass --names and --format as at the start"
        )
    return replace(plan, network=restore_network(plan.description.config, state, folder))


def find_data(record: RunRecord, request: Request, folder: Path) -> str:
    """Return the path or Hub name of the dataset: the given one, else the recorded one.

    Raises:
        TrainingError: The recorded folder does not exist.
    """
    if request.data is not None:
        return str(request.data)
    if record.data is None:
        raise TrainingError(f"{folder} does not record its dataset: pass DATA")
    path = Path(record.data)
    if path.is_absolute() and not path.exists():
        raise TrainingError(
            f"the dataset of the run in {folder} was {record.data}, which is gone: pass its new "
            "place before --resume"
        )
    return record.data


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
            f"{place} is not the dataset of the run in {folder.path}: {change}; pass that dataset, "
            "or start a new run in another --out"
        )


def nothing_left(
    state: SavedState, settings: TrainingSettings
) -> StoppedEarly | AllStepsTaken | None:
    """Return why a run has nothing left to do, or None if it has."""
    progress = state.progress
    if progress.validation_pending:
        all_taken = progress.step > settings.steps
        return AllStepsTaken(step=progress.step, steps=settings.steps) if all_taken else None
    if settings.patience and progress.bad_validations >= settings.patience:
        return StoppedEarly(step=progress.step, bad_validations=progress.bad_validations)
    if progress.step >= settings.steps:
        return AllStepsTaken(step=progress.step, steps=settings.steps)
    return None
